"""
Batches: a partner sends many claims at once, and the service makes drafts of them page by page (decision 47).

A batch is stored as it was sent. Queue messages spread its pages over instances, and a due row sends the messages of
unfinished pages again. A claim's id is derived from batch and row, and claims are only inserted. So a page can be
processed again, even if the first run stopped half-way.
"""

import asyncio
import hashlib
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from pydantic import TypeAdapter, ValidationError

from cpor_core.due_work import Kind, Outcome
from cpor_core.errors import Conflict, Detail, Refused
from cpor_core.model.batch import (
    MOST_ROWS,
    PAGE_ROWS,
    Batch,
    PageDone,
    PageSpan,
    Progress,
    RowError,
    RowOutcome,
    RowStatus,
    blob_of,
)
from cpor_core.model.claim import MAX_CLAIM_BYTES, NewClaim
from cpor_core.model.history import Actor
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules.identifiers import batch_id, derived_claim_id, is_batch_id
from cpor_core.rules.input_faults import not_in_form
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.claims import pages
from cpor_core.use_cases.claims.drafts import created, draft, store_draft
from cpor_core.use_cases.feed.changes import catch_up, tell_created
from cpor_core.use_cases.idempotency import key_reused
from cpor_core.use_cases.together import read_together, together

IN_FLIGHT = 8
"""How many rows of a page are written at the same time."""
MOST_LINES = 2 * MOST_ROWS
"""The most lines that a batch can have, including blank lines."""
MOST_ERRORS, LONGEST_TARGET = 10, 100
"""
The most stored errors of a batch's row, and the most characters of an error's target.

With these limits the outcomes of a page fit into one row of a table.
"""
_ROW = TypeAdapter(NewClaim)


# --- taking in --------------------------------------------------------------------------------------------------------


async def take_in(
    ports: Ports, organisation: str, actor: Actor, body: bytes, key: IdempotencyKey | None, now: datetime
) -> Progress:
    """
    Store a batch, and send a queue message for each page. If the same batch is sent again, nothing changes.

    Makes five requests, and one more for each page. Raises `IdempotencyKeyReused` if the key was used for another body,
    `PayloadTooLarge` for too many rows or lines, and `ValidationFailed` if there is no row.
    """
    digest = hashlib.sha256(body).hexdigest()
    name = batch_id(organisation, f"key|{key.hash}" if key is not None else f"body|{digest}")
    found = await ports.batches.find(name)
    if found is None:
        total, spans = _paged(body)
        batch = Batch(
            id=name,
            organisation=organisation,
            body=digest,
            keeping=ports.new_id(),
            at=now,
            actor=actor,
            total=total,
            pages=spans,
        )
        found = await _store_batch(ports, batch, body)
    if found.batch.body != digest:
        raise key_reused()
    return found


def _paged(body: bytes) -> tuple[int, tuple[PageSpan, ...]]:
    """Return the number of rows in a body, and the span of each page. Raises `PayloadTooLarge`, `ValidationFailed`."""
    total, place = 0, len(body) - len(body.removeprefix(BOM_UTF8))  # some programs begin a file with a byte order mark
    begins: list[tuple[int, int]] = []
    for number, line in enumerate(BytesIO(body[place:]), start=1):
        if number > MOST_LINES:
            raise Refused(
                "PayloadTooLarge",
                f"A batch has at most {MOST_ROWS} rows, and at most {MOST_LINES} lines, including blank lines.",
                resolution="Send it in several batches.",
            )
        if line.strip():
            if total % PAGE_ROWS == 0:
                begins.append((place, number))
            total += 1
        place += len(line)
    if total > MOST_ROWS:
        raise Refused(
            "PayloadTooLarge", f"A batch has at most {MOST_ROWS} rows.", resolution="Send it in several batches."
        )
    if total == 0:
        raise Refused(
            "ValidationFailed",
            "The batch has no rows.",
            resolution="Send one claim per line, in the form of POST /claims.",
        )
    ends = [*(start for start, _ in begins[1:]), place]
    return total, tuple(
        PageSpan(start=start, length=end - start, first_row=row) for (start, row), end in zip(begins, ends, strict=True)
    )


async def _store_batch(ports: Ports, batch: Batch, body: bytes) -> Progress:
    """Write due rows, body, key and batch, then send the messages. If the id has an earlier batch, return that one."""
    await ports.duework.add(due_rows(ports, batch))
    await ports.batch_bodies.put(batch.blob, body, "application/x-ndjson")
    await ports.batches.enlist(batch)
    found = await ports.batches.store(batch)
    if found.batch.keeping != batch.keeping:  # another request with the same key or body has stored its batch first
        await ports.batch_bodies.delete(batch.blob)
        return found
    await pages.send_messages(ports.queue_messages.claim_batch, batch.id, found.missing)
    return found


def due_rows(ports: Ports, batch: Batch) -> Sequence[DueRow]:
    """Return the two due rows of a batch: the first finishes the batch, the second deletes the batch later."""
    return DueRow(batch.at + pages.LOOK_AGAIN, batch.id, Kind.FINISH_BATCH), expiry(
        Kind.DELETE_BATCH, batch.id, batch.at, ports.batches.list_ref(batch), batch.keeping
    )


# --- processing it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Processed:
    """A processed row. `case` is its claim, if this run created it."""

    outcome: RowOutcome
    case: Case | None = None


async def process_page(ports: Ports, name: str, page: int, now: datetime) -> None:
    """
    Create drafts from the rows of a page, announce the drafts in the feed, and store the outcomes.

    A finished page is skipped. Makes four requests for each row, and five for the page. After `Conflict` or a fault the
    page is processed again.
    """
    progress = await ports.batches.find(name)
    if progress is None or page not in progress.missing:
        return
    batch, span = progress.batch, progress.batch.pages[page - 1]
    text = await ports.batch_bodies.part(batch.blob, span.start, span.length)
    if text is None:
        await ports.batches.finish(batch, page, PageDone(created=0, failed=0, lost=True), ())
        return
    rows = [(row, line) for row, line in enumerate(text.split(b"\n"), start=span.first_row) if line.strip()]
    processed: list[_Processed] = []
    for first in range(0, len(rows), IN_FLIGHT):
        group = rows[first : first + IN_FLIGHT]
        processed += await together(_make(ports, batch, row, line) for row, line in group)
    await _announce(ports, batch, processed, now)
    outcomes = [one.outcome for one in processed]
    failed = sum(1 for outcome in outcomes if outcome.errors)
    await ports.batches.finish(batch, page, PageDone(created=len(outcomes) - failed, failed=failed), outcomes)


async def _make(ports: Ports, batch: Batch, row: int, line: bytes) -> _Processed:
    """Create the draft of a row by the rules of `POST /claims`, unless an earlier run has created the draft."""
    try:
        sent = _read(line)
    except Refused as refused:
        return _Processed(_errors(row, refused))
    # The id depends on the body. After a batch was deleted, its key can be used for a batch with another body.
    claim_id = derived_claim_id(sent.customer.tenant_id, batch.organisation, f"{batch.id}|{batch.body}|{row}")
    of_earlier_run = _Processed(RowOutcome(row=row, claim_id=claim_id))
    try:
        made = await draft(ports, batch.organisation, sent, batch.at, claim_id)
    except Refused as refused:
        exists = await ports.claims.load(claim_id) is not None
        return of_earlier_run if exists else _Processed(_errors(row, refused))
    commit = created(made, batch.actor, batch.at, ports.new_id())
    try:
        await store_draft(ports, commit, batch.at)
    except Conflict:
        return of_earlier_run
    return _Processed(of_earlier_run.outcome, commit.after)


def _read(line: bytes) -> NewClaim:
    """Parse a row as a claim. Raises `PayloadTooLarge`, `InvalidJson`, `ValidationFailed`."""
    if len(line) > MAX_CLAIM_BYTES:
        most = f"{MAX_CLAIM_BYTES // 2**10} KiB"
        raise Refused("PayloadTooLarge", f"A row may have at most {most}.", resolution="Send fewer or shorter fields.")
    try:
        return _ROW.validate_json(line, by_alias=True, by_name=False)
    except ValidationError as error:
        raise not_in_form(error, "row") from None


def _errors(row: int, refused: Refused) -> RowOutcome:
    """Return the outcome of a row that was refused. The errors are the refusal's details, or the refusal itself."""
    alone = Detail(refused.code, refused.message, refused.target, refused.resolution)
    return RowOutcome(
        row=row,
        errors=tuple(
            RowError(
                code=detail.code,
                message=detail.message,
                target=detail.target[:LONGEST_TARGET] if detail.target is not None else None,
                resolution=detail.resolution,
            )
            for detail in (refused.details or (alone,))[:MOST_ERRORS]
        ),
    )


async def _announce(ports: Ports, batch: Batch, processed: Sequence[_Processed], now: datetime) -> None:
    """
    Announce the drafts of a page in the feed.

    The new drafts are announced together. A draft of an earlier run is announced if the feed does not have it yet. The
    page is stored as finished only after all its drafts are announced. Raises `Conflict` and faults.
    """
    await tell_created(ports, batch.organisation, [one.case for one in processed if one.case is not None], now)
    for one in processed:
        if one.case is None and one.outcome.claim_id is not None:
            stored = await ports.claims.load(one.outcome.claim_id)
            if stored is not None:  # otherwise the draft was deleted and erased since
                await catch_up(ports, stored, now)


async def finish(ports: Ports, name: str, now: datetime) -> Outcome:
    """Send the messages of unfinished pages again."""
    progress = await ports.batches.find(name)
    if progress is None:
        return Outcome()
    return await pages.finish(ports.queue_messages.claim_batch, name, progress.missing, progress.batch.at, now)


# --- what callers see -------------------------------------------------------------------------------------------------


async def own(ports: Ports, organisation: str, wanted: str) -> Progress | None:
    """Return a batch, in one request. None if the batch is unknown, deleted, or of another organisation."""
    found = await ports.batches.find(wanted) if is_batch_id(wanted) else None
    return found if found is not None and found.batch.organisation == organisation else None


async def own_batches(
    ports: Ports, organisation: str, *, after: str, limit: int
) -> tuple[Sequence[Progress], str | None]:
    """
    Return a page of an organisation's batches, newest first, and the position of the next page.

    Makes one request for the page, and one for each of its batches. A row of the list without its batch is left out.
    """
    listed = await ports.batches.page(organisation, after=after, limit=limit)
    found = await read_together(ports.batches.find(row.batch_id) for row in listed)
    page = [
        progress
        for row, progress in zip(listed, found, strict=True)
        if progress is not None and progress.batch.keeping == row.keeping
    ]
    return page, listed[-1].position if len(listed) == limit else None


async def rows(
    ports: Ports, progress: Progress, *, after: int, limit: int, outcome: RowStatus | None = None
) -> tuple[Sequence[RowOutcome], int | None]:
    """
    Return at most *limit* processed rows after the row *after*, in order. *outcome* selects created or failed rows.

    Also returns the number of the last returned row, or None if no rows follow. Makes one request for each page that
    can have such rows.
    """
    spans = progress.batch.pages
    chosen: list[int] = []
    found_rows = 0
    for page in sorted(progress.pages):
        counts = {RowStatus.CREATED: progress.pages[page].created, RowStatus.FAILED: progress.pages[page].failed}
        count = counts[outcome] if outcome is not None else sum(counts.values())
        is_before = page < len(spans) and spans[page].first_row <= after + 1
        if count and not is_before and found_rows <= limit:
            chosen.append(page)
            # The caller can have some rows of the first page already, so the rows of this page are not counted.
            found_rows += count if spans[page - 1].first_row > after else 0
    found = await asyncio.gather(*(ports.batches.outcomes(progress.batch, page) for page in chosen))
    selected = [
        one
        for of_page in found
        for one in of_page
        if one.row > after and outcome in (None, RowStatus.FAILED if one.errors else RowStatus.CREATED)
    ]
    return selected[:limit], selected[limit - 1].row if len(selected) > limit else None


async def delete_batch(ports: Ports, name: str, keeping: str) -> None:
    """Delete a batch with its body and outcomes. The batch's claims stay. A newer batch with the same id stays too."""
    await ports.batches.delete(name, keeping)
    await ports.batch_bodies.delete(blob_of(name, keeping))
