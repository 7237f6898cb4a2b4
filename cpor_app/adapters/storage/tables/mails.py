"""Table `mails`, one partition for each mail: the claim to which a Message-ID belongs."""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from cpor_app.adapters.storage.row_store import Cell, Insert, Replace, Row, Rows
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.ports.notices import SentMail

MAILS, SENT = "mails", "sent"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class MailsTable:
    """Implements `ports.notices.Mails` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def start_sending(
        self, message_id: str, sent: SentMail, by: str, now: datetime, until: datetime
    ) -> str | None:
        values = {**_sent(sent), "heldBy": by, "heldUntil": until}
        op: Insert | Replace = Insert(SENT, values)
        while True:
            try:
                return (await self._rows.write(MAILS, message_id, op))[SENT]
            except Conflict:
                row = await self._rows.get(MAILS, message_id, SENT)
            if row is None:  # it was deleted between the two requests
                op = Insert(SENT, values)
                continue
            if row.values.get("heldBy") == by:  # our earlier write was stored, and the SDK repeated it
                return row.etag
            held_until = row.values.get("heldUntil")
            if isinstance(held_until, datetime) and now < held_until:
                return None
            op = Replace(SENT, values, row.etag)

    async def release(self, message_id: str, sent: SentMail, etag: str) -> None:
        try:
            await self._rows.write(MAILS, message_id, Replace(SENT, _sent(sent), etag))
        except Conflict:
            return

    async def find(self, message_id: str) -> SentMail | None:
        if GUID.fullmatch(message_id) is None:
            return None
        row = await self._rows.get(MAILS, message_id, SENT)
        return _sent_mail(row) if row is not None else None

    async def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        async for row in self._rows.scan(MAILS):
            yield row.partition, _sent_mail(row)

    def row_ref(self, message_id: str) -> RowRef:
        return RowRef(MAILS, message_id, SENT)


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
