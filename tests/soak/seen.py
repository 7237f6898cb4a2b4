"""
What a run has left behind, as somebody sees it who opens the storage account and knows docs/storage.md.

Nothing here imports the product: what it gets wrong when it writes, it must not get wrong again when this reads.
"""

import json
import zlib
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from azure.data.tables import EntityProperty, TableServiceClient
from azure.storage.queue import QueueServiceClient

Row: TypeAlias = Mapping[str, Any]
Document: TypeAlias = Mapping[str, Any]
Place: TypeAlias = tuple[str, str, str]
"""A slot: tenant, engagement, key of the item."""

POISON = "-poison"


@dataclass(frozen=True)
class Seen:
    """Everything that is judged. A row is its cells, `document` read; its `Timestamp` is storage's own."""

    now: datetime
    """The service's time."""
    tables: Mapping[str, Sequence[Row]]
    journal: Sequence[Document] = ()
    """What callers were answered, see `journal.py`."""
    mails: Sequence[str] = ()
    """Message-IDs of the mails that the mail server took, without their domain."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Messages of each queue, those that somebody holds included."""
    overheard: Sequence[str] = ()
    """Bodies of messages that were in a queue at some time."""
    logs: Mapping[str, str] = field(default_factory=dict)
    kills: int = 0

    def rows(self, table: str, kind: str = "") -> Iterable[Row]:
        """Yield the rows of a table whose key begins with *kind*, in the order of their keys."""
        return (row for row in self.tables.get(table, ()) if row["RowKey"].startswith(kind))

    def told(self, what: str) -> Iterable[Document]:
        """Yield what callers were answered of one kind, oldest first."""
        return (record for record in self.journal if record["what"] == what)

    @cached_property
    def claims(self) -> Mapping[str, Document]:
        """Every claim by its id."""
        return {row["RowKey"].partition("|")[2]: row["document"] for row in self.rows("claims", "claim|")}

    @cached_property
    def histories(self) -> Mapping[str, Sequence[Document]]:
        """Every claim's entries, in the order of their keys; what is stored leaves out nulls."""
        found: dict[str, list[Document]] = {}
        for row in self.rows("claims", "history|"):
            entry = {"from": None, "reason": None, "previousHash": None, **row["document"]}
            found.setdefault(row["RowKey"].split("|")[1], []).append(entry)
        return found

    @cached_property
    def slots(self) -> Mapping[Place, Document]:
        """Every slot."""
        found = {}
        for row in self.rows("claims", "slot|"):
            slot = row["document"]
            found[row["PartitionKey"], slot["engagement"], slot["key"]] = slot
        return found

    @cached_property
    def feeds(self) -> Mapping[str, Sequence[Document]]:
        """Every organisation's changes, in the order of their keys."""
        found: dict[str, list[Document]] = {}
        for row in self.rows("changes", "entry|"):
            found.setdefault(row["PartitionKey"], []).append(row["document"])
        return found

    @cached_property
    def customers(self) -> Mapping[str, Document]:
        """Every registered customer by tenant."""
        rows = (row for row in self.tables.get("registry", ()) if row["PartitionKey"].startswith("customer|"))
        return {row["PartitionKey"].partition("|")[2]: row["document"] for row in rows}

    def acts(self, claim_id: str) -> Sequence[str]:
        """Return what happened to a claim."""
        return [entry["act"] for entry in self.histories.get(claim_id, ())]


def read_tables(connection_string: str) -> Mapping[str, Sequence[Row]]:
    """Return every row of every table."""
    with TableServiceClient.from_connection_string(connection_string) as service:
        return {
            table.name: [_row(entity) for entity in service.get_table_client(table.name).list_entities()]
            for table in service.list_tables()
        }


def _row(entity: Any) -> Row:
    """Return a row as a person would read it: what is kept compressed is written out."""
    cells = {name: _cell(cell) for name, cell in entity.items()}
    document = {"document": json.loads(cells["document"])} if "document" in cells else {}
    return {**cells, **document, "Timestamp": entity.metadata["timestamp"]}


def _cell(cell: Any) -> Any:
    match cell:
        case EntityProperty():  # a whole number of 64 bits
            return cell.value
        case bytes():
            return zlib.decompress(cell).decode()
        case _:
            return cell


def read_queues(connection_string: str) -> tuple[Mapping[str, int], Sequence[str]]:
    """Return how many messages each queue has, and the bodies of those that nobody holds, up to 32 of each."""
    waiting: dict[str, int] = {}
    bodies: list[str] = []
    with QueueServiceClient.from_connection_string(connection_string) as service:
        for queue in service.list_queues():
            with service.get_queue_client(queue.name) as client:
                waiting[queue.name] = client.get_queue_properties().approximate_message_count or 0
                bodies += [b64decode(message.content).decode() for message in client.peek_messages(32)]
    return waiting, bodies
