"""The small tables: `requests` (keyed requests), `mails` (message ids), `failures` (poison messages), `settings`."""

import json
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cpor_app.adapters.queues import AzureQueues
from cpor_app.adapters.rows import Cell, Delete, Insert, Put, Replace, Row, Rows
from cpor_app.adapters.tables import behind
from cpor_core.errors import Conflict
from cpor_core.ports import DryRunCount, Failure, KeptAnswer, KeptRequest, SentMail
from cpor_core.rules.identifiers import newest_first

REQUESTS, MAILS, FAILURES, SETTINGS = "requests", "mails", "failures", "settings"
SENT, FAILED = "sent", "failed"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class RequestsTable:
    """`cpor_core.ports.Requests` over rows: partition = organisation, row = hashed key."""

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
    """`cpor_core.ports.Mails` over rows: partition = message id."""

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
        if row is None:
            return None
        claim_id, kind = str(row.values["claimId"]), str(row.values["kind"])
        return SentMail(claim_id, kind, int(str(row.values["number"])), int(str(row.values["recipient"])))


def _sent(sent: SentMail) -> dict[str, Cell]:
    return {
        "claimId": sent.claim_id,
        "kind": sent.kind,
        "number": sent.number,
        "recipient": sent.recipient,
    }


class FailuresTable:
    """`cpor_core.ports.Failures` over rows and queues."""

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

    async def redrive(self, failure: Failure) -> None:
        """Put its ids back into the queue it came from, then forget it."""
        await self._queues.send(failure.queue, failure.body)
        await self._rows.write(FAILURES, FAILED, Delete(_position(failure)))


class DryRunsTable:
    """`cpor_core.ports.DryRuns` over rows of `settings`: partition = hour, row = organisation."""

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
