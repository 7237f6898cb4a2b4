"""
Table `claims`, one partition for each customer's tenant. One transaction can write any rows of a partition.

| row key | what |
|---|---|
| `claim|{id}` | the claim |
| `slot|{engagement}|{item}` | the claim that holds the item, the claim that awaits the customer, and all claimants |
| `refusals|{engagement}|{organisation}` | the customer's refusals of one partner |
| `history|{id}|{sequence}` | one history entry, with the person of the programme who acted and the id of the act |
| `remark|{id}|{sequence}` | a comment |
| `act|{id}|{key}` | the stored reply to an act with an idempotency key |
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Op, Replace, Require, Row, Rows
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict, Refused
from cpor_core.model.claim import CLOSED, IN_SLOTS, Claim, Status
from cpor_core.model.history import CLOCK, Entry
from cpor_core.model.slot import Refusals, Slot
from cpor_core.ports.claims import Comment, Commit, StoredText, TenantClaims
from cpor_core.ports.idempotency import StoredReply
from cpor_core.rules.identifiers import is_claim_id, tenant_of
from cpor_core.transitions.claim_case import REFUSALS, StoredCase
from cpor_core.transitions.life import is_whole

TABLE = "claims"
TEXTS = {"claim": "document", "remark": "text", "act": "answer"}
"""Kinds of rows that can name a person, and the cell that holds the text."""
MOST_ROWS = 95
"""Rows that one act is allowed to write (decision 6). A transaction can have 100 rows."""


class ClaimsTable:
    """Implements `ports.claims.Claims` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def load(self, claim_id: str) -> StoredCase | None:
        """
        Return as the port says.

        If claim and slots contradict each other, another act was committed between the two reads. Then claim and slots
        are read once more, so a load takes up to four requests.
        """
        case = await self._loaded(claim_id)
        if case is None or is_whole(case):
            return case
        return await self._loaded(claim_id)

    async def _loaded(self, claim_id: str) -> StoredCase | None:
        row = await self._row(claim_id)
        if row is None:
            return None
        claim = Claim.model_validate_json(unpacked(row.values["document"]))
        etags = {claim.id: row.etag}
        if claim.status in CLOSED or claim.status is Status.DRAFT:
            return StoredCase(claim, _empty_slots(claim), etags=etags)
        return await self._with_slots(StoredCase(claim, {}, etags=etags))

    async def prospect(self, claim: Claim) -> StoredCase:
        return await self._with_slots(StoredCase(claim, {}))

    async def _with_slots(self, case: StoredCase) -> StoredCase:
        claim, slots, etags = case.claim, _empty_slots(case.claim), dict(case.etags)
        prefix = f"slot|{claim.engagement}|"
        async for key, slot, etag in self._slots(claim.tenant_id, prefix + min(slots), prefix + max(slots)):
            if key in slots:
                slots[key], etags[key] = slot, etag
        return StoredCase(claim, slots, etags=etags)

    async def with_refusals(self, case: StoredCase) -> StoredCase:
        claim = case.claim
        refusals = self._rows.get(TABLE, claim.tenant_id, f"refusals|{claim.engagement}|{claim.organisation}")
        if claim.status is Status.DRAFT:
            row, case = await asyncio.gather(refusals, self._with_slots(case))
        else:
            row = await refusals
        if row is None:
            return case.with_refusals(Refusals(engagement=claim.engagement, organisation=claim.organisation), None)
        return case.with_refusals(Refusals.model_validate_json(unpacked(row.values["document"])), row.etag)

    async def of_tenant(self, tenant_id: str) -> Sequence[StoredCase]:
        """
        Return as the port says.

        The claims are read before the slots, as in `load`. If another act is committed between the two queries, the
        claim is older than its slots, and the claim's ETag makes a later act on it fail. If claims and slots contradict
        each other, both are read once more.
        """
        cases = await self._of_tenant(tenant_id)
        return cases if all(map(is_whole, cases)) else await self._of_tenant(tenant_id)

    async def _of_tenant(self, tenant_id: str) -> Sequence[StoredCase]:
        claims = [row async for row in self._rows.query(TABLE, tenant_id, start="claim|", before="claim|~")]
        slots = [_slot(row) async for row in self._rows.query(TABLE, tenant_id, start="slot|", before="slot|~")]
        return _cases(claims, slots)

    async def tenants(self, *, after: str = "") -> AsyncIterator[TenantClaims]:
        rows: list[Row] = []
        async for row in self._rows.scan(TABLE, after=after):
            if rows and row.partition != rows[0].partition:
                yield _tenant(rows)
                rows = []
            if row.key.startswith(("act|", "claim|", "slot|", "history|")):
                rows.append(row)
        if rows:
            yield _tenant(rows)

    async def _slots(self, tenant_id: str, first: str, last: str) -> AsyncIterator[tuple[str, Slot, str]]:
        async for row in self._rows.query(TABLE, tenant_id, start=first, before=just_after(last)):
            slot, etag = _slot(row)
            yield slot.key, slot, etag

    async def commit(self, commit: Commit) -> StoredCase:
        ops = [
            *_claim_ops(commit),
            *_slot_ops(commit),
            *_refusals_ops(commit),
            *_history_ops(commit),
            *_comment_and_reply_ops(commit),
        ]
        if len(ops) > MOST_ROWS:
            raise Refused(
                "TooManyCompetitors",
                "Too many claims would be changed at once.",
                resolution="Decide some of the competing claims first.",
            )
        written = await self._rows.write(TABLE, commit.after.claim.tenant_id, *ops)
        etags = {key.rpartition("|")[2]: etag for key, etag in written.items() if key.startswith(("claim|", "slot|"))}
        after = commit.after
        return StoredCase(after.claim, after.slots, etags={**after.stored.etags, **etags})

    async def wrote(self, claim_id: str, act_id: str, sequence: int) -> bool:
        row = await self._row(claim_id)
        if row is not None and row.values["actId"] == act_id:
            return True
        entry = await self._rows.get(TABLE, tenant_of(claim_id), f"history|{claim_id}|{sequence:06d}")
        return entry is not None and entry.values["actId"] == act_id

    async def history(self, claim_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        rows = await self._numbered(claim_id, "history", after, limit)
        return [Entry.model_validate_json(unpacked(row.values["document"])) for row in rows]

    async def comments(self, claim_id: str, *, after: int, limit: int) -> Sequence[Comment]:
        rows = await self._numbered(claim_id, "remark", after, limit)
        return [
            Comment(
                author=str(row.values["author"]),
                person_id=str(row.values["who"]),
                text=str(row.values["text"]),
                at=_instant(row.values["at"]),
                sequence=int(row.key.rpartition("|")[2]),
            )
            for row in rows
        ]

    async def stored_reply(self, claim_id: str, key: str) -> StoredReply | None:
        row = (
            await self._rows.get(TABLE, tenant_of(claim_id), _reply_key(claim_id, key))
            if is_claim_id(claim_id)
            else None
        )
        if row is None:
            return None
        etag = row.values.get("etag")
        text = _text(row.values["answer"])
        return StoredReply(body=str(row.values["body"]), answer=text, etag=str(etag) if etag is not None else None)

    def reply_ref(self, claim_id: str, key_hash: str) -> RowRef:
        return RowRef(TABLE, tenant_of(claim_id), _reply_key(claim_id, key_hash))

    async def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, frozenset[str]]]:
        tenant, found, wanted = "", set[str](), text.lower()
        async for row in self._rows.scan(TABLE, after=after):
            if tenant and row.partition != tenant:
                yield tenant, frozenset(found)
                found = set()
            tenant = row.partition
            kind, _, rest = row.key.partition("|")
            cell = TEXTS.get(kind)
            if cell is not None and wanted in _text(row.values[cell]).lower():
                found.add(rest.partition("|")[0])
        if tenant:
            yield tenant, frozenset(found)

    async def texts(self, claim_id: str) -> Sequence[StoredText]:
        found = []
        for kind in ("remark", "act"):
            prefix = f"{kind}|{claim_id}|"
            async for row in self._rows.query(TABLE, tenant_of(claim_id), start=prefix, before=f"{prefix}~"):
                author = str(row.values["author"]) if kind == "remark" else None
                text = _text(row.values[TEXTS[kind]])
                found.append(StoredText(row.key, text, author, str(row.values.get("who", "")), row.etag))
        return found

    async def rewrite(self, claim_id: str, kept: StoredText, text: str | None) -> None:
        tenant = tenant_of(claim_id)
        if text is None:
            await self._rows.write(TABLE, tenant, Delete(kept.key, kept.etag))
            return
        row = await self._rows.get(TABLE, tenant, kept.key)
        if row is None:
            raise Conflict("claims: the text has gone")
        cell = TEXTS[kept.key.partition("|")[0]]
        new: Cell = text if cell == "text" else zlib.compress(text.encode())
        await self._rows.write(TABLE, tenant, Replace(kept.key, {**row.values, cell: new}, kept.etag))

    async def erase(self, claim_id: str) -> None:
        tenant = tenant_of(claim_id)
        for kind in ("history", "remark"):
            prefix = f"{kind}|{claim_id}|"
            while rows := await self._rows.page(TABLE, tenant, start=prefix, before=f"{prefix}~", limit=MOST_ROWS):
                await self._rows.write(TABLE, tenant, *(Delete(row.key) for row in rows))
        await self._rows.write(TABLE, tenant, Delete(f"claim|{claim_id}"))

    async def _row(self, claim_id: str) -> Row | None:
        return await self._rows.get(TABLE, tenant_of(claim_id), f"claim|{claim_id}") if is_claim_id(claim_id) else None

    async def _numbered(self, claim_id: str, kind: str, after: int, limit: int) -> Sequence[Row]:
        prefix = f"{kind}|{claim_id}|"
        return await self._rows.page(
            TABLE, tenant_of(claim_id), start=f"{prefix}{after + 1:06d}", before=f"{prefix}~", limit=limit
        )


def _reply_key(claim_id: str, key_hash: str) -> str:
    return f"act|{claim_id}|{key_hash}"


def _empty_slots(claim: Claim) -> dict[str, Slot]:
    return {key: Slot(engagement=claim.engagement, key=key) for key in claim.slot_keys}


def _tenant(rows: Sequence[Row]) -> TenantClaims:
    kinds: dict[str, list[Row]] = {"act": [], "claim": [], "slot": [], "history": []}
    for row in rows:
        kinds[row.key.partition("|")[0]].append(row)
    histories: dict[str, list[Entry]] = {}
    for row in kinds["history"]:
        entry = Entry.model_validate_json(unpacked(row.values["document"]))
        histories.setdefault(row.key.split("|")[1], []).append(entry)
    answers = [(claim_id, key) for _, claim_id, key in (row.key.split("|") for row in kinds["act"])]
    slots = [_slot(row) for row in kinds["slot"]]
    return TenantClaims(rows[0].partition, _cases(kinds["claim"], slots), histories, slots, answers)


def _slot(row: Row) -> tuple[Slot, str]:
    return Slot.model_validate_json(unpacked(row.values["document"])), row.etag


def _cases(claims: Sequence[Row], slots: Sequence[tuple[Slot, str]]) -> Sequence[StoredCase]:
    """Return the claims of one tenant, each with its slots."""
    known = {(slot.engagement, slot.key): (slot, etag) for slot, etag in slots}
    cases = []
    for row in claims:
        claim = Claim.model_validate_json(unpacked(row.values["document"]))
        stored = {key: known.get((claim.engagement, key)) for key in claim.slot_keys}
        of_claim = {
            key: found[0] if found else Slot(engagement=claim.engagement, key=key) for key, found in stored.items()
        }
        etags = {claim.id: row.etag, **{key: found[1] for key, found in stored.items() if found}}
        cases.append(StoredCase(claim, of_claim, etags=etags))
    return cases


def _text(cell: Cell) -> str:
    """Return the text of a cell, which may be compressed."""
    text = unpacked(cell)
    return text.decode() if isinstance(text, bytes) else text


def _instant(cell: Cell) -> datetime:
    assert isinstance(cell, datetime)  # noqa: S101 - as `_comment_and_reply_ops` writes it
    return cell


def _claim_ops(commit: Commit) -> Iterator[Op]:
    claims: Mapping[str, Claim] = {commit.after.claim.id: commit.after.claim, **commit.after.rivals}
    former: Mapping[str, Claim] = {commit.before.claim.id: commit.before.claim, **commit.before.rivals}
    for claim_id, claim in claims.items():
        if claim == former[claim_id]:
            continue
        values = {
            "document": packed(claim),
            "status": claim.status.value,
            "organisation": claim.organisation,
            "version": claim.version,
            "actId": commit.act_id,
        }
        yield _write_op(f"claim|{claim_id}", values, commit.before.etags.get(claim_id))


def _slot_ops(commit: Commit) -> Iterator[Op]:
    """Write the changed slots. If the claim changes its state or its items, require the ETags of its other slots."""
    former, claim = commit.before.claim, commit.after.claim
    is_same = (former.status, former.items, former.ended_items) == (claim.status, claim.items, claim.ended_items)
    for key, slot in commit.after.slots.items():
        row_key, etag = f"slot|{slot.engagement}|{key}", commit.before.etags.get(key)
        if slot != commit.before.slots.get(key):
            yield _write_op(row_key, {"document": packed(slot), "version": slot.version}, etag)
        elif etag is not None and not is_same and not IN_SLOTS.isdisjoint({former.status, claim.status}):
            yield Require(row_key, etag)


def _refusals_ops(commit: Commit) -> Iterator[Op]:
    refusals = commit.after.refusals
    if refusals is not None and refusals != commit.before.refusals:
        values: dict[str, Cell] = {"document": packed(refusals), "version": refusals.version}
        key = f"refusals|{refusals.engagement}|{refusals.organisation}"
        yield _write_op(key, values, commit.before.etags.get(REFUSALS))


def _history_ops(commit: Commit) -> Iterator[Op]:
    for claim_id, entry in commit.after.entries:
        values: dict[str, Cell] = {"document": packed(entry), "actId": commit.act_id}
        if commit.person_id is not None and entry.actor != CLOCK:  # an entry of the clock has no person
            values["who"] = commit.person_id
        yield Insert(f"history|{claim_id}|{entry.sequence:06d}", values)


def _comment_and_reply_ops(commit: Commit) -> Iterator[Op]:
    claim_id = commit.after.claim.id
    if commit.comment is not None:
        comment = commit.comment
        values: dict[str, Cell] = {
            "author": comment.author,
            "who": comment.person_id,
            "text": comment.text,
            "at": comment.at,
        }
        yield Insert(f"remark|{claim_id}|{comment.sequence:06d}", values)
    if commit.key is not None and commit.reply is not None:
        reply = commit.reply
        cells: dict[str, Cell] = {"body": reply.body, "answer": zlib.compress(reply.answer.encode())}
        if reply.etag is not None:
            cells["etag"] = reply.etag
        yield Insert(_reply_key(claim_id, commit.key), cells)


def _write_op(key: str, values: Mapping[str, Cell], etag: str | None) -> Op:
    return Insert(key, values) if etag is None else Replace(key, values, etag)
