"""Table `mails`, one partition for each mail: the claim to which a Message-ID belongs, the last try, the report."""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from cpor_app.adapters.storage.row_store import Cell, Insert, Replace, Row, Rows
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.model.mail import MailOutcome
from cpor_core.ports.notices import MailRecord, SentMail

MAILS, SENT = "mails", "sent"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class MailsTable:
    """Implements `ports.notices.Mails` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def start_sending(
        self, message_id: str, sent: SentMail, by: str, at: datetime, now: datetime, until: datetime
    ) -> str | None:
        values = {**_tried(sent, MailOutcome.HANDED_OVER, at), "heldBy": by, "heldUntil": until}
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
            op = Replace(SENT, {**values, **_report(row)}, row.etag)

    async def stop_sending(
        self, message_id: str, sent: SentMail, etag: str, outcome: MailOutcome, at: datetime
    ) -> None:
        try:
            await self._rows.write(MAILS, message_id, Replace(SENT, _tried(sent, outcome, at), etag))
        except Conflict:
            return

    async def report(self, message_id: str, outcome: MailOutcome, at: datetime) -> SentMail | None:
        while (row := await self._row(message_id)) is not None:
            if not outcome.replaces(_outcome(row, "reported")):
                return _sent_mail(row)
            values = {**row.values, "reported": outcome.value, "reportedAt": at}
            try:
                await self._rows.write(MAILS, message_id, Replace(SENT, values, row.etag))
            except Conflict:  # a sender, or another report, has written the row
                continue
            return _sent_mail(row)
        return None

    async def find(self, message_id: str) -> MailRecord | None:
        row = await self._row(message_id)
        if row is None:
            return None
        tried, reported = _outcome(row, "tried"), _outcome(row, "reported")
        return MailRecord(_sent_mail(row), tried, _instant(row, "triedAt"), reported, _instant(row, "reportedAt"))

    async def _row(self, message_id: str) -> Row | None:
        return await self._rows.get(MAILS, message_id, SENT) if GUID.fullmatch(message_id) is not None else None

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


def _tried(sent: SentMail, outcome: MailOutcome, at: datetime) -> dict[str, Cell]:
    return {
        "claimId": sent.claim_id,
        "kind": sent.kind,
        "number": sent.number,
        "recipient": sent.recipient,
        "tried": outcome.value,
        "triedAt": at,
    }


def _report(row: Row) -> dict[str, Cell]:
    return {name: row.values[name] for name in ("reported", "reportedAt") if name in row.values}


def _outcome(row: Row, name: str) -> MailOutcome | None:
    return MailOutcome(str(row.values[name])) if name in row.values else None


def _instant(row: Row, name: str) -> datetime | None:
    cell = row.values.get(name)
    return cell if isinstance(cell, datetime) else None
