"""The Message-IDs of a claim's mails, and the due rows that delete them."""

from collections.abc import Iterable
from datetime import datetime

from cpor_core.due_work import Kind
from cpor_core.model.claim import Claim, DuePartnerMail, MailKind, PartnerMailKind, Status
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.rules.identifiers import message_id

PARTNER_CONTACT = 0
"""The number of the partner's contact in Message-IDs. The customer's recipients have the numbers from 1 on."""


def message_id_expiries(ports: Ports, before: Claim, after: Claim, now: datetime) -> tuple[DueRow, ...]:
    """Return the due rows that delete the Message-IDs of the mails that follow from an act."""
    names = sorted({message_id(after.id, *mail) for mail in _mails_of_act(before, after)})
    return tuple(message_id_expiry(ports, after.id, name, now) for name in names)


def message_id_expiry(ports: Ports, claim_id: str, name: str, now: datetime) -> DueRow:
    """Return the due row that deletes a Message-ID. If its claim is not closed long enough then, the row is put off."""
    return expiry(Kind.DELETE_MESSAGE_ID, claim_id, now, ports.mails.row_ref(name), name)


def _mails_of_act(before: Claim, after: Claim) -> Iterable[tuple[str, int, int]]:
    """Yield kind, number and recipient of each mail that the act makes due, and of each notice that was tried."""
    due = {(mail.kind, mail.number) for mail in before.mails}
    for mail in after.mails:
        if (mail.kind, mail.number) not in due:
            yield from ((mail.kind, mail.number, recipient.number) for recipient in after.recipients)
    for news in set(after.partner_mails) - set(before.partner_mails):
        yield partner_mail_kind(news), news.number, PARTNER_CONTACT
    if after.times_asked != before.times_asked:
        yield PartnerMailKind.ANSWER_REMINDER, after.times_asked, PARTNER_CONTACT
    was_notified = before.opened_at is None and after.opened_at is not None
    was_stopped = before.status is Status.AWAITING_CUSTOMER and after.status is not Status.AWAITING_CUSTOMER
    if after.promise is not None and (was_notified or was_stopped):
        number = after.promise.number
        yield from (
            (kind, number, to) for kind in (MailKind.NOTICE, MailKind.REMINDER) for to in after.promise.recipients
        )


def partner_mail_kind(mail: DuePartnerMail) -> str:
    """Return the kind of a partner's mail, for the Message-ID. The kind contains the rival, if the mail goes to one."""
    return f"{mail.kind}-{mail.to}" if mail.to is not None else str(mail.kind)
