"""Table `registry`, partitions `partners` and `customers`: the ids of all entries, and the words that find them."""

from collections.abc import Sequence

from cpor_app.adapters.storage.row_store import Put, Rows
from cpor_app.adapters.storage.tables import just_after, word_rows
from cpor_app.adapters.storage.tables.registry import TABLE

ENTRY = "entry|"


class DirectoryTable:
    """Implements `ports.registry.Directory` over rows."""

    def __init__(self, rows: Rows, partition: str) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows
        self._partition = partition

    async def add(self, entry_id: str, words: Sequence[str]) -> None:
        ops = word_rows.added(entry_id, entry_id, words)
        await self._rows.write(TABLE, self._partition, Put(f"{ENTRY}{entry_id}", {}), *ops)

    async def replace(self, entry_id: str, words: Sequence[str]) -> None:
        key = Put(f"{ENTRY}{entry_id}", {})
        await word_rows.replaced(self._rows, TABLE, self._partition, entry_id, entry_id, words, key)

    async def page(self, *, after: str, limit: int) -> Sequence[str]:
        start = just_after(f"{ENTRY}{after}") if after else ENTRY
        rows = await self._rows.page(TABLE, self._partition, start=start, before=f"{ENTRY}~", limit=limit)
        return [row.key.removeprefix(ENTRY) for row in rows]

    async def found(self, beginning: str, *, limit: int) -> Sequence[str]:
        return [one.id for one in await word_rows.found(self._rows, TABLE, self._partition, beginning, limit)]
