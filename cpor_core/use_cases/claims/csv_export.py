"""
The export: an organisation's claims as a table for a spreadsheet (decision 49).

A small export is answered at once. A large export is stored and made page by page, like a batch. The rows of a page are
a blob, and the file is put together when it is fetched.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from cpor_core.due_work import RETENTION, Kind, Outcome
from cpor_core.errors import Conflict, Refused
from cpor_core.model.export import MOST_ROWS, ClaimFilter, Export, ExportProgress, PageMade, PageOfKeys
from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.rules.identifiers import export_id, is_export_id, tenant_of
from cpor_core.rules.spreadsheet import spreadsheet, without_columns
from cpor_core.use_cases.claims import pages
from cpor_core.use_cases.claims.csv_rows import COLUMNS, rows_of

MOST_LOOKED_AT = 2 * MOST_ROWS
"""The most claims that an export with filters reads."""
MOST_AT_ONCE = 10_000
"""The most claims that are read for one answer. An export of more claims is a large export."""
KEYS_AT_ONCE = 1_000
"""The most keys of one request."""
PAGE_KEYS = 500
"""How many claims a page has. One queue message makes one page."""
BLOBS_AT_ONCE = 16
"""How many blobs are read or deleted at the same time."""
CSV = "text/csv"


async def export(ports: Ports, organisation: str, wanted: ClaimFilter, now: datetime) -> bytes | ExportProgress:
    """
    Return the organisation's claims as CSV, newest first. For more than 10,000 claims, return a large export.

    The large export is the newest with the same filters, if it is unfinished. Otherwise a new one begins. Makes two
    requests for each claim, and one more for each 1,000 claims; for a large export at least five, and one for each
    page. Raises `ExportTooLarge`. Without filters that need the claim itself, this is raised before any claim is read.
    """
    keys = await _keys(ports, organisation, wanted)
    if len(keys) > MOST_AT_ONCE:
        newest = await ports.exports.newest(organisation, wanted)
        if newest is not None and newest.missing:
            return newest
        return await _begin(ports, organisation, wanted, keys, now)
    rows: list[Sequence[str]] = []
    for first in range(0, len(keys), PAGE_KEYS):
        rows += await rows_of(ports, organisation, wanted, keys[first : first + PAGE_KEYS], now)
    return spreadsheet(COLUMNS, rows)


async def _keys(ports: Ports, organisation: str, wanted: ClaimFilter) -> list[IndexRow]:
    """Return the keys of the organisation's claims at the wanted tenant. Raises `ExportTooLarge`."""
    most = MOST_LOOKED_AT if wanted.reads_claims else MOST_ROWS
    keys: list[IndexRow] = []
    after = ""
    while page := await ports.partner_claims.page(organisation, after=after, limit=KEYS_AT_ONCE):
        keys += _of_tenant(page, wanted)
        after = page[-1].position
        if len(keys) > most:
            raise too_large()
        if len(page) < KEYS_AT_ONCE:
            break
    return keys


def _of_tenant(keys: Sequence[IndexRow], wanted: ClaimFilter) -> Sequence[IndexRow]:
    """Return the keys of claims at the wanted tenant. The tenant is a part of each claim id."""
    return [key for key in keys if wanted.tenant_id in (None, tenant_of(key.claim_id))]


def too_large() -> Refused:
    """Return the refusal of an export of too many claims."""
    return Refused(
        "ExportTooLarge",
        f"An export has at most {MOST_ROWS} claims, and searches at most {MOST_LOOKED_AT} claims.",
        resolution="Filter the export by customerTenantId first, then by status, engagement or partnerId. Or use "
        "GET /claims.",
    )


# --- a large export --------------------------------------------------------------------------------------------------


async def _begin(
    ports: Ports, organisation: str, wanted: ClaimFilter, keys: Sequence[IndexRow], now: datetime
) -> ExportProgress:
    """Write due rows and export, then send the messages."""
    groups = [keys[first : first + PAGE_KEYS] for first in range(0, len(keys), PAGE_KEYS)]
    begun = Export(
        id=export_id(organisation, wanted.model_dump_json(), now),
        organisation=organisation,
        at=now,
        filter=wanted,
        pages=tuple(PageOfKeys(first=keys[0].position, last=keys[-1].position, count=len(keys)) for keys in groups),
    )
    await ports.duework.add(due_rows(ports, begun))
    progress = await ports.exports.store(begun)
    await pages.send_messages(ports.queue_messages.claim_export, begun.id, progress.missing)
    return progress


def due_rows(ports: Ports, begun: Export) -> Sequence[DueRow]:
    """Return the two due rows of an export: the first finishes the export, the second deletes the export later."""
    delete = expiry(Kind.DELETE_EXPORT, begun.id, begun.at, ports.exports.row_ref(begun.id))
    return DueRow(begun.at + pages.LOOK_AGAIN, begun.id, Kind.FINISH_EXPORT), delete


async def process_page(ports: Ports, name: str, page: int, now: datetime) -> None:
    """
    Store the rows of a page as a blob. A finished page is skipped.

    Makes two requests for each claim, and four or more for the page. If two runs make the same page, a claim can change
    between the two. Both results are right, and the first blob stays.
    """
    progress = await ports.exports.find(name)
    if progress is None or page not in progress.missing:
        return
    begun = progress.export
    rows = await rows_of(ports, begun.organisation, begun.filter, await _keys_of(ports, begun, page), now)
    if rows:
        with suppress(Conflict):
            await ports.batch_bodies.put(begun.blob(page), without_columns(rows), CSV)
    try:
        await ports.exports.finish(begun, page, PageMade(rows=len(rows), at=now))
    except Conflict:  # the export was deleted since it was read
        await ports.batch_bodies.delete(begun.blob(page))


async def _keys_of(ports: Ports, begun: Export, page: int) -> Sequence[IndexRow]:
    """Return the keys of a page. Keys of newer claims come before the first page, and are not in any page."""
    span = begun.pages[page - 1]
    after = begun.pages[page - 2].last if page > 1 else ""
    keys: list[IndexRow] = []
    while after < span.last and (
        read := await ports.partner_claims.page(begun.organisation, after=after, limit=KEYS_AT_ONCE)
    ):
        keys += [key for key in read if span.first <= key.position <= span.last]
        after = read[-1].position
    return _of_tenant(keys, begun.filter)


async def finish(ports: Ports, name: str, now: datetime) -> Outcome:
    """Send the messages of unfinished pages again."""
    progress = await ports.exports.find(name)
    if progress is None:
        return Outcome()
    return await pages.finish(ports.queue_messages.claim_export, name, progress.missing, progress.export.at, now)


async def expire(ports: Ports, name: str, now: datetime) -> Outcome:
    """Delete an export 24 hours after its last page was made. Until then the due row is moved. Raises `Conflict`."""
    progress = await ports.exports.find(name)
    if progress is None:
        return Outcome()
    expires_at = progress.changed_at + RETENTION[Kind.DELETE_EXPORT]
    if expires_at > now:
        return Outcome(delayed=True, not_before=expires_at)
    await _delete(ports, progress)
    return Outcome()


async def delete_with_blob(ports: Ports, name: str, blob: str) -> None:
    """Delete an export with all its blobs. *blob* is deleted even without an export. Raises `Conflict`."""
    progress = await ports.exports.find(name)
    if progress is not None:
        await _delete(ports, progress)
    await ports.batch_bodies.delete(blob)


async def _delete(ports: Ports, progress: ExportProgress) -> None:
    """Delete the blobs and then the rows. Raises `Conflict` if a page was finished since the progress was read."""
    names = [progress.export.blob(page) for page in range(1, len(progress.export.pages) + 1)]
    for first in range(0, len(names), BLOBS_AT_ONCE):
        await asyncio.gather(*map(ports.batch_bodies.delete, names[first : first + BLOBS_AT_ONCE]))
    await ports.exports.delete(progress)


# --- what callers see -------------------------------------------------------------------------------------------------


async def own(ports: Ports, organisation: str, wanted: str) -> ExportProgress | None:
    """Return an export, in one request. None if the export is unknown, deleted, or of another organisation."""
    found = await ports.exports.find(wanted) if is_export_id(wanted) else None
    return found if found is not None and found.export.organisation == organisation else None


async def file_of(ports: Ports, progress: ExportProgress) -> bytes | None:
    """Return the file of a finished export, in one request for each page with rows. None if the export is deleted."""
    names = [progress.export.blob(page) for page, made in sorted(progress.pages.items()) if made.rows]
    parts: list[bytes] = [spreadsheet(COLUMNS, ())]
    for first in range(0, len(names), BLOBS_AT_ONCE):
        for part in await asyncio.gather(*map(ports.batch_bodies.get, names[first : first + BLOBS_AT_ONCE])):
            if part is None:
                return None
            parts.append(part)
    return b"".join(parts)
