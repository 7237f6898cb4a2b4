"""Table `requests`, one partition for each organisation: idempotency records."""

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
    """Implements `ports.idempotency.Requests` over rows. The row key is the hash of the idempotency key."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def begin(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        try:
            written = await self._rows.write(REQUESTS, organisation, Insert(key, _values(request)))
        except Conflict:
            row = await self._rows.get(REQUESTS, organisation, key)
            if row is None:  # it was deleted between the two requests
                return await self.begin(organisation, key, request)
            return _record(row)
        return replace(request, etag=written[key])

    async def overwrite(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        assert request.etag is not None  # noqa: S101 - as `begin` returns it
        op = Replace(key, _values(request), request.etag)
        return replace(request, etag=(await self._rows.write(REQUESTS, organisation, op))[key])

    async def release(self, organisation: str, key: str, etag: str) -> None:
        await self._rows.write(REQUESTS, organisation, Delete(key, etag))

    def row_ref(self, organisation: str, key_hash: str) -> RowRef:
        return RowRef(REQUESTS, organisation, key_hash)

    async def all(self) -> AsyncIterator[tuple[str, str, IdempotencyRecord]]:
        async for row in self._rows.scan(REQUESTS):
            yield row.partition, row.key, _record(row)

    async def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, IdempotencyRecord]]]:
        organisation, found = "", dict[str, IdempotencyRecord]()
        async for row in self._rows.scan(REQUESTS, after=after):
            if organisation and row.partition != organisation:
                yield organisation, found
                found = {}
            organisation = row.partition
            request = _record(row)
            if request.answer is not None and text.lower().encode() in request.answer.body.lower():
                found[row.key] = request
        if organisation:
            yield organisation, found


def _values(request: IdempotencyRecord) -> dict[str, Cell]:
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


def _record(row: Row) -> IdempotencyRecord:
    values = row.values
    at, packed = values["at"], values.get("answer")
    assert isinstance(at, datetime)  # noqa: S101 - as `_values` writes it
    answer = None
    if isinstance(packed, bytes):
        headers = json.loads(str(values["headers"]))
        status = int(str(values["status"]))
        answer = StoredResponse(status, zlib.decompress(packed), str(values["mediaType"]), headers)
    return IdempotencyRecord(
        str(values["body"]), str(values["claimId"]), str(values["actId"]), at, answer=answer, etag=row.etag
    )
