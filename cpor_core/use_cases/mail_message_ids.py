"""The Message-IDs of a claim's mails. The claim lists its mails, so that all are deleted some time after its close."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from cpor_core.due_work import RETENTION, Kind
from cpor_core.model.claim import Claim, DuePartnerMail, ListedMail, MailKind, PartnerMailKind
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.rules.identifiers import message_id
from cpor_core.transitions.claim_case import Case

PARTNER_CONTACT = 0
"""The number of the partner's contact in Message-IDs. The customer's recipients have the numbers from 1 on."""


def with_listed_mails(case: Case) -> Case:
    """Return the case with the new mails of its claim and of its rivals in their lists."""
    before = case.stored
    rivals = {name: _with_listed_mails(before.rivals[name], rival) for name, rival in case.rivals.items()}
    return case.with_claims(_with_listed_mails(before.claim, case.claim), rivals)


def _with_listed_mails(before: Claim, after: Claim) -> Claim:
    if after is before:
        return after
    mails = dict.fromkeys((*after.listed_mails, *_mails_of_act(before, after)))
    return after.model_copy(update={"listed_mails": tuple(mails)}) if len(mails) > len(after.listed_mails) else after


def known_mails(claim: Claim) -> tuple[ListedMail, ...]:
    """
    Return the mails in the claim's list, and those that its present state shows.

    The list of a claim of release 1 lacks the earlier mails. Of these, the notice and reminder of the present promise,
    the last reminder to the partner, and the mails that are due are known.
    """
    before = claim.model_copy(update={"mails": (), "partner_mails": (), "times_asked": 0, "promise": None})
    return tuple(dict.fromkeys((*claim.listed_mails, *_mails_of_act(before, claim))))


def message_id_of(claim: Claim, mail: ListedMail) -> str:
    """Return the Message-ID of a mail in the claim's list."""
    return message_id(claim.id, mail.kind, mail.number, mail.recipient)


def message_id_expiries(before: Claim | None, after: Claim) -> Iterator[DueRow]:
    """Yield the due row that deletes the Message-IDs of a claim, if an act has closed the claim."""
    closed_at = after.closed_at
    if closed_at is not None and after.listed_mails and (before is None or closed_at != before.closed_at):
        yield DueRow(closed_at + RETENTION[Kind.DELETE_MESSAGE_IDS], after.id, Kind.DELETE_MESSAGE_IDS)


def message_id_expiry(ports: Ports, claim_id: str, name: str, now: datetime) -> DueRow:
    """Return the due row that deletes one Message-ID, if its claim does not list the mail."""
    return expiry(Kind.DELETE_MESSAGE_ID, claim_id, now, ports.mails.row_ref(name), name)


def _mails_of_act(before: Claim, after: Claim) -> Iterable[ListedMail]:
    """Yield each mail that the act makes due, and the notice and the reminder of each new promise."""
    due = {(mail.kind, mail.number) for mail in before.mails}
    for mail in after.mails:
        if (mail.kind, mail.number) not in due:
            yield from (listed(mail.kind, mail.number, recipient.number) for recipient in after.recipients)
    for news in set(after.partner_mails) - set(before.partner_mails):
        yield listed(partner_mail_kind(news), news.number, PARTNER_CONTACT)
    if after.times_asked != before.times_asked:
        yield listed(PartnerMailKind.ANSWER_REMINDER, after.times_asked, PARTNER_CONTACT)
    if after.promise is not None and after.promise != before.promise:
        for kind in (MailKind.NOTICE, MailKind.REMINDER):
            yield from (listed(kind, after.promise.number, number) for number in after.promise.recipients)


def listed(kind: str, number: int, recipient: int) -> ListedMail:
    """Return a mail as a claim lists it."""
    return ListedMail(kind=str(kind), number=number, recipient=recipient)


def partner_mail_kind(mail: DuePartnerMail) -> str:
    """Return the kind of a partner's mail, for the Message-ID. The kind contains the rival, if the mail goes to one."""
    return f"{mail.kind}-{mail.to}" if mail.to is not None else str(mail.kind)
