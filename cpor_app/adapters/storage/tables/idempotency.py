"""Table `requests`, partition = organisation: idempotency records."""

import json
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Replace, Row, Rows
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.ports.idempotency import IdempotencyRecord, StoredResponse

REQUESTS = "requests"


class RequestsTable:
    """Implements `ports.idempotency.Requests` over rows: partition = organisation, row = hashed key."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def begin(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        try:
            written = await self._rows.write(REQUESTS, organisation, Insert(key, _request_values(request)))
        except Conflict:
            row = await self._rows.get(REQUESTS, organisation, key)
            if row is None:  # deleted between the two requests
                return await self.begin(organisation, key, request)
            return _kept_request(row)
        return replace(request, etag=written[key])

    async def overwrite(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        assert request.etag is not None  # noqa: S101 - as `begin` returns it
        op = Replace(key, _request_values(request), request.etag)
        return replace(request, etag=(await self._rows.write(REQUESTS, organisation, op))[key])

    async def release(self, organisation: str, key: str, etag: str) -> None:
        await self._rows.write(REQUESTS, organisation, Delete(key, etag))

    def row_ref(self, organisation: str, key_hash: str) -> RowRef:
        return RowRef(REQUESTS, organisation, key_hash)

    async def all(self) -> AsyncIterator[tuple[str, str, IdempotencyRecord]]:
        async for row in self._rows.scan(REQUESTS):
            yield row.partition, row.key, _kept_request(row)

    async def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, IdempotencyRecord]]]:
        organisation, found = "", dict[str, IdempotencyRecord]()
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


def _request_values(request: IdempotencyRecord) -> dict[str, Cell]:
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


def _kept_request(row: Row) -> IdempotencyRecord:
    values = row.values
    at, packed = values["at"], values.get("answer")
    assert isinstance(at, datetime)  # noqa: S101 - as it is written above
    answer = None
    if isinstance(packed, bytes):
        headers = json.loads(str(values["headers"]))
        status = int(str(values["status"]))
        answer = StoredResponse(status, zlib.decompress(packed), str(values["mediaType"]), headers)
    return IdempotencyRecord(
        str(values["body"]), str(values["claimId"]), str(values["actId"]), at, answer=answer, etag=row.etag
    )
