"""
The floor: the storage SDKs alone make the requests that the service made.

A request begins when the requests that had ended before it in the recording have ended. Reads find the rows that the
service read, and writes have the rows that the service wrote. All rows lie in the same tables, in partitions of their
own. Writes have no conditions.
"""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from tests.bench.recording import Recorder, Recording, Sent

PREFIX = "floor."
QUEUE = "floor"
A_TRANSACTION = 100
AT_ONCE = 8
AGAIN: Mapping[str, Any] = {"retry_on_methods": frozenset({"HEAD", "GET", "PUT", "POST", "DELETE"})}
"""A connection that the emulator has just closed costs a request more, here as in the service."""
_ROW = re.compile(r"/[^/]+/(?P<table>\w+)\(PartitionKey='(?P<partition>[^']*)',RowKey='(?P<key>[^']*)'\)")
_QUERY = re.compile(r"/[^/]+/(?P<table>\w+)\(\)")
_TABLE = re.compile(r"/[^/]+/(?P<table>\w+)")
_MESSAGES = re.compile(r"/[^/]+/[\w-]+/messages")
_BLOB = re.compile(r"/[^/]+/(?P<container>[\w-]+)/(?P<name>.+)")
_OPERATION = re.compile(rb"\r?\n([A-Z]+) (\S+) HTTP/1\.1\r?\n.*?\r?\n\r?\n(.*?)(?:\r?\n)*--changeset", re.DOTALL)
Entity = dict[str, Any]
Send = Callable[[], Awaitable[object]]


class UnknownRequest(Exception):
    """The service sends a kind of request that the floor does not know yet."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The requests of one call: after how many ends each begins, and the order of the ends."""

    steps: Sequence[tuple[int, Send]]
    ended: Sequence[int]

    async def run(self) -> None:
        """Make all requests."""
        running: list[asyncio.Task[object]] = []
        ended = 0
        for ended_before, send in self.steps:
            while ended < ended_before:
                await running[self.ended[ended]]
                ended += 1
            running.append(asyncio.create_task(_awaited(send)))
        await asyncio.gather(*running)


async def _awaited(send: Send) -> object:
    try:
        return await send()
    except (ResourceNotFoundError, ResourceExistsError) as answer:  # the service got such answers too
        return answer


class Floor:
    """The SDKs of tables, queues and blobs."""

    def __init__(self, connection_string: str, recorder: Recorder) -> None:
        """Make the clients. This sends no request."""
        self._tables = TableServiceClient.from_connection_string(connection_string, transport=recorder.transport())
        self._queues = QueueServiceClient.from_connection_string(connection_string, transport=recorder.transport())
        self._blobs = BlobServiceClient.from_connection_string(connection_string, transport=recorder.transport())
        self._queue = self._queues.get_queue_client(QUEUE)

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._tables, self._queues, self._blobs):
            await client.close()

    async def prepare(self, recordings: Iterable[Recording]) -> Sequence[Replay]:
        """Store the rows that the recorded calls have read or deleted, and return what makes their requests again."""
        recordings = tuple(recordings)
        await self._store([sent for recording in recordings for sent in recording.sent])
        return [
            Replay([(sent.ended_before, self._again(sent.request)) for sent in recording.sent], recording.ended)
            for recording in recordings
        ]

    async def _store(self, sent: Iterable[Sent]) -> None:
        by_partition: dict[tuple[str, str], dict[str, Entity]] = {}
        for table, entity in (each for one in sent for each in _needed(one)):
            by_partition.setdefault((table, entity["PartitionKey"]), {})[entity["RowKey"]] = entity
        gate = asyncio.Semaphore(AT_ONCE)

        async def store(table: str, entities: Sequence[Entity]) -> None:
            async with gate:
                await self._tables.get_table_client(table).submit_transaction(
                    [_upsert(each) for each in entities], **AGAIN
                )

        await asyncio.gather(
            *(
                store(table, list(rows.values())[first : first + A_TRANSACTION])
                for (table, _), rows in by_partition.items()
                for first in range(0, len(rows), A_TRANSACTION)
            )
        )

    def _again(self, request: HttpRequest) -> Send:
        """Return the call of the SDK that makes *request* again. Raises UnknownRequest."""
        url = urlsplit(request.url)
        path, body = unquote(url.path), _body(request)
        if path.endswith("/$batch"):
            table, operations = _transaction(body)
            client = self._tables.get_table_client(table)
            return lambda: client.submit_transaction(operations, **AGAIN)
        if _MESSAGES.fullmatch(path) and request.method == "POST":
            text = body.decode().partition("<MessageText>")[2].partition("</MessageText>")[0]
            return lambda: self._queue.send_message(text, time_to_live=-1)
        if "storage-blob" in request.headers["User-Agent"] and (found := _BLOB.fullmatch(path)):
            return self._blob(request.method, found["container"], PREFIX + found["name"], body)
        if found := _QUERY.fullmatch(path):
            return self._query(found["table"], parse_qs(url.query))
        if found := _ROW.fullmatch(path):
            client = self._tables.get_table_client(found["table"])
            partition, key = PREFIX + found["partition"], found["key"]
            match request.method:
                case "GET":
                    return lambda: client.get_entity(partition, key)
                case "PUT":
                    entity = _entity(json.loads(body))
                    return lambda: client.upsert_entity(entity, UpdateMode.REPLACE)
                case "DELETE":
                    return lambda: client.delete_entity(partition, key)
                case _:
                    pass
        if (found := _TABLE.fullmatch(path)) and request.method == "POST":
            client, entity = self._tables.get_table_client(found["table"]), _entity(json.loads(body))
            return lambda: client.create_entity(entity, **AGAIN)
        raise UnknownRequest(f"{request.method} {path}")

    def _query(self, table: str, query: Mapping[str, Sequence[str]]) -> Send:
        conditions = query["$filter"][0].replace("PartitionKey eq '", f"PartitionKey eq '{PREFIX}", 1)
        limit = int(query["$top"][0])
        client = self._tables.get_table_client(table)

        async def first_page() -> object:
            pages = client.query_entities(conditions, results_per_page=limit).by_page()
            async for page in pages:
                return [row async for row in page]
            return []

        return first_page

    def _blob(self, method: str, container: str, name: str, body: bytes) -> Send:
        blob = self._blobs.get_blob_client(container, name)
        match method:
            case "PUT":
                return lambda: blob.upload_blob(body, overwrite=True)
            case "DELETE":
                return blob.delete_blob
            case _:
                pass
        raise UnknownRequest(f"{method} {container}/{name}")


def _needed(sent: Sent) -> Iterator[tuple[str, Entity]]:
    """Yield the rows that a read has found, and a row for each row that a write has deleted."""
    path = unquote(urlsplit(sent.request.url).path)
    if path.endswith("/$batch"):
        table, operations = _transaction(_body(sent.request))
        yield from ((table, entity) for act, entity, *_ in operations if act == "delete")
    elif sent.request.method == "GET" and sent.response is not None and sent.response.status_code < 300:
        found = _ROW.fullmatch(path) or _QUERY.fullmatch(path)
        if found is not None:
            answer = sent.response.json()
            yield from ((found["table"], _entity(raw)) for raw in answer.get("value", [answer]))


def _transaction(body: bytes) -> tuple[str, Sequence[tuple[Any, ...]]]:
    """Return the table and the operations of a transaction."""
    operations: list[tuple[Any, ...]] = []
    table = ""
    for method, address, content in _OPERATION.findall(body):
        path = unquote(urlsplit(address.decode()).path)
        row = _ROW.fullmatch(path)
        found = row or _TABLE.fullmatch(path)
        if found is None:
            raise UnknownRequest(f"{method.decode()} {path}")
        table = found["table"]
        if method == b"DELETE" and row is not None:
            operations.append(("delete", {"PartitionKey": PREFIX + row["partition"], "RowKey": row["key"]}))
        else:
            entity = _entity(json.loads(content))
            mode = UpdateMode.REPLACE if method in {b"PUT", b"POST"} else UpdateMode.MERGE
            operations.append(("upsert", entity, {"mode": mode}))
    if len(operations) != body.count(b" HTTP/1.1"):
        raise UnknownRequest("a transaction of another form")
    return table, operations


def _upsert(entity: Entity) -> tuple[Any, ...]:
    return "upsert", entity, {"mode": UpdateMode.REPLACE}


def _entity(raw: Mapping[str, Any]) -> Entity:
    """Return a row as the SDK takes it, in the floor's partition."""
    entity = {
        name: _cell(value, raw.get(f"{name}@odata.type"))
        for name, value in raw.items()
        if "@" not in name and not name.startswith("odata.") and name != "Timestamp"
    }
    entity["PartitionKey"] = PREFIX + entity["PartitionKey"]
    return entity


def _cell(value: Any, kind: str | None) -> Any:
    match kind:
        case "Edm.Int64":
            return EntityProperty(int(value), EdmType.INT64)
        case "Edm.DateTime":
            return datetime.fromisoformat(value)
        case "Edm.Binary":
            return base64.b64decode(value)
        case _:
            return value


def _body(request: HttpRequest) -> bytes:
    content = request.content
    return content if isinstance(content, bytes) else str(content or "").encode()
