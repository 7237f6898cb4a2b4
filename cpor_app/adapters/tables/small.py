"""The small tables: `requests` (keyed requests), `mails` (message ids), `failures` (poison messages), `settings`."""

import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cpor_app.adapters.queues import AzureQueues
from cpor_app.adapters.rows import Cell, Delete, Insert, Put, Replace, Row, Rows
from cpor_app.adapters.tables import behind, packed, unpacked
from cpor_core.errors import Conflict
from cpor_core.model.erasure import Erasure
from cpor_core.ports.claims import DryRunCount
from cpor_core.ports.due_work import Failure
from cpor_core.ports.idempotency import KeptAnswer, KeptRequest
from cpor_core.ports.notices import SentMail
from cpor_core.ports.stored import Marked
from cpor_core.rules.identifiers import newest_first

REQUESTS, MAILS, FAILURES, SETTINGS = "requests", "mails", "failures", "settings"
SENT, FAILED, ERASURES = "sent", "failed", "erasures"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class RequestsTable:
    """`cpor_core.ports.idempotency.Requests` over rows: partition = organisation, row = hashed key."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def begin(self, organisation: str, key: str, request: KeptRequest) -> KeptRequest:
        """Insert; returns the request that is there now: this one, or another that was there before."""
        try:
            written = await self._rows.write(REQUESTS, organisation, Insert(key, _request_values(request)))
        except Conflict:
            row = await self._rows.get(REQUESTS, organisation, key)
            if row is None:  # forgotten between the two requests
                return await self.begin(organisation, key, request)
            return _kept_request(row)
        return replace(request, mark=written[key])

    async def keep(self, organisation: str, key: str, request: KeptRequest) -> KeptRequest:
        """Write over the row of that mark. Raises `Conflict`."""
        assert request.mark is not None  # noqa: S101 - as `begin` returns it
        op = Replace(key, _request_values(request), request.mark)
        return replace(request, mark=(await self._rows.write(REQUESTS, organisation, op))[key])

    async def release(self, organisation: str, key: str, mark: str) -> None:
        """Delete the row of that mark: the key is free again. Raises `Conflict`."""
        await self._rows.write(REQUESTS, organisation, Delete(key, mark))

    async def all(self) -> AsyncIterator[tuple[str, str, KeptRequest]]:
        """Yield every request that is kept, with its organisation and key: a scan."""
        async for row in self._rows.scan(REQUESTS):
            yield row.partition, row.key, _kept_request(row)

    async def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, KeptRequest]]]:
        """Yield every organisation behind *after*, in order, with its kept answers that hold *text*: a scan."""
        organisation, found = "", dict[str, KeptRequest]()
        async for row in self._rows.scan(REQUESTS, after=after):
            if organisation and row.partition != organisation:
                yield organisation, found
                found = {}
            organisation = row.partition
            request = _kept_request(row)
            if request.answer is not None and text.lower().encode() in request.answer.body.lower():
                found[row.key] = request
        if organisation:
            yield organisation, found


def _request_values(request: KeptRequest) -> dict[str, Cell]:
    values: dict[str, Cell] = {
        "body": request.body,
        "claimId": request.claim_id,
        "actId": request.act_id,
        "at": request.at,
    }
    if request.answer is not None:
        values |= {
            "status": request.answer.status,
            "answer": zlib.compress(request.answer.body),
            "mediaType": request.answer.media_type,
            "headers": json.dumps(dict(request.answer.headers)),
        }
    return values


def _kept_request(row: Row) -> KeptRequest:
    values = row.values
    at, packed = values["at"], values.get("answer")
    assert isinstance(at, datetime)  # noqa: S101 - as it is written above
    answer = None
    if isinstance(packed, bytes):
        headers = json.loads(str(values["headers"]))
        status = int(str(values["status"]))
        answer = KeptAnswer(status, zlib.decompress(packed), str(values["mediaType"]), headers)
    return KeptRequest(
        str(values["body"]), str(values["claimId"]), str(values["actId"]), at, answer=answer, mark=row.etag
    )


class MailsTable:
    """`cpor_core.ports.notices.Mails` over rows: partition = message id."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def begin(self, message_id: str, sent: SentMail, by: str, now: datetime, until: datetime) -> str | None:
        """Keep an id, held *by* one sender *until* then, in real time; None while another holds it, else a mark."""
        values = {**_sent(sent), "heldBy": by, "heldUntil": until}
        op: Insert | Replace = Insert(SENT, values)
        while True:
            try:
                return (await self._rows.write(MAILS, message_id, op))[SENT]
            except Conflict:
                row = await self._rows.get(MAILS, message_id, SENT)
            if row is None:  # forgotten between the two requests
                op = Insert(SENT, values)
                continue
            if row.values.get("heldBy") == by:  # the SDK has sent it again
                return row.etag
            held_until = row.values.get("heldUntil")
            if isinstance(held_until, datetime) and now < held_until:
                return None
            op = Replace(SENT, values, row.etag)

    async def release(self, message_id: str, sent: SentMail, mark: str) -> None:
        """Let others send; a sender whose time was over has no say any more."""
        try:
            await self._rows.write(MAILS, message_id, Replace(SENT, _sent(sent), mark))
        except Conflict:
            return

    async def find(self, message_id: str) -> SentMail | None:
        """Return what the id belongs to; None for one that we never gave."""
        if GUID.fullmatch(message_id) is None:
            return None
        row = await self._rows.get(MAILS, message_id, SENT)
        return _sent_mail(row) if row is not None else None

    async def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        """Yield every message id, and what it belongs to: a scan."""
        async for row in self._rows.scan(MAILS):
            yield row.partition, _sent_mail(row)

    def place(self, message_id: str) -> tuple[str, str, str]:
        """Return table, partition and key of what is kept of a mail, for it to be forgotten."""
        return MAILS, message_id, SENT


def _sent_mail(row: Row) -> SentMail:
    values = row.values
    return SentMail(
        str(values["claimId"]), str(values["kind"]), int(str(values["number"])), int(str(values["recipient"]))
    )


def _sent(sent: SentMail) -> dict[str, Cell]:
    return {
        "claimId": sent.claim_id,
        "kind": sent.kind,
        "number": sent.number,
        "recipient": sent.recipient,
    }


class FailuresTable:
    """`cpor_core.ports.due_work.Failures` over rows and queues."""

    def __init__(self, rows: Rows, queues: AzureQueues) -> None:
        """Keep both; nothing is sent."""
        self._rows = rows
        self._queues = queues

    async def keep(self, failure: Failure) -> None:
        """Write one."""
        values: dict[str, Cell] = {"id": failure.id, "queue": failure.queue, "body": failure.body, "at": failure.at}
        await self._rows.write(FAILURES, FAILED, Put(_position(failure), values))

    async def page(self, *, after: str, limit: int) -> Sequence[Failure]:
        """Return failures behind the position *after*, newest first."""
        start = behind(after) if after else ""
        rows = await self._rows.page(FAILURES, FAILED, start=start, limit=limit)
        failures = []
        for row in rows:
            at = row.values["at"]
            assert isinstance(at, datetime)  # noqa: S101 - as `keep` writes it
            failures.append(Failure(str(row.values["id"]), str(row.values["queue"]), str(row.values["body"]), at))
        return failures

    def position(self, failure: Failure) -> str:
        """Return where a failure stands in that order."""
        return _position(failure)

    def place(self, failure: Failure) -> tuple[str, str, str]:
        """Return table, partition and key of a failure, for it to be forgotten."""
        return FAILURES, FAILED, _position(failure)

    async def redrive(self, failure: Failure) -> None:
        """Put its ids back into the queue it came from, then forget it."""
        await self._queues.send(failure.queue, failure.body)
        await self._rows.write(FAILURES, FAILED, Delete(_position(failure)))


class ErasuresTable:
    """`cpor_core.ports.privacy.Erasures` over rows of `settings`: partition `erasures`, row = id."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def begin(self, erasure: Erasure) -> None:
        """Write a new one; the same one again is no error."""
        await self._rows.write(SETTINGS, ERASURES, Put(erasure.id, {"document": packed(erasure)}))

    async def find(self, erasure_id: str) -> Marked[Erasure] | None:
        """Return one: one request."""
        row = await self._rows.get(SETTINGS, ERASURES, erasure_id)
        if row is None:
            return None
        return Marked(Erasure.model_validate_json(unpacked(row.values["document"])), row.etag)

    async def write(self, erasure: Erasure, former: Marked[Erasure]) -> Marked[Erasure]:
        """Write over *former*. Raises `Conflict`."""
        op = Replace(erasure.id, {"document": packed(erasure)}, former.mark)
        return Marked(erasure, (await self._rows.write(SETTINGS, ERASURES, op))[erasure.id])

    async def all(self) -> Sequence[Erasure]:
        """Return every one: one request."""
        rows = self._rows.query(SETTINGS, ERASURES)
        return [Erasure.model_validate_json(unpacked(row.values["document"])) async for row in rows]


class DryRunsTable:
    """`cpor_core.ports.claims.DryRuns` over rows of `settings`: partition = hour, row = organisation."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def count(self, organisation: str, now: datetime) -> int:
        """Count one more; returns how many there are in this hour with it."""
        while True:
            row = await self._rows.get(SETTINGS, _hour(now), organisation)
            count = int(str(row.values["count"])) + 1 if row is not None else 1
            values: dict[str, Cell] = {"count": count}
            try:
                op = Insert(organisation, values) if row is None else Replace(organisation, values, row.etag)
                await self._rows.write(SETTINGS, _hour(now), op)
            except Conflict:
                continue
            return count

    def place(self, organisation: str, now: datetime) -> tuple[str, str, str]:
        """Return table, partition and key of the count, for it to be forgotten."""
        return SETTINGS, _hour(now), organisation

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        """Return the counts of the hour in which *now* lies."""
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return [
            DryRunCount(row.key, hour, int(str(row.values["count"])))
            async for row in self._rows.query(SETTINGS, _hour(now))
        ]


def _hour(now: datetime) -> str:
    return f"dryruns-{now.astimezone(UTC):%Y%m%dT%H}"


def _position(failure: Failure) -> str:
    return f"{newest_first(failure.at)}|{failure.id}"
