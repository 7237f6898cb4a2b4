"""
The mail log of a claim: what became of each mail.

The claim lists its mails. The row of each Message-ID has the last try and the delivery report. A mail to the partner of
a rival is listed by the claim that competes with the rival, and is in the rival's log.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cpor_core.due_work import RETENTION, Kind
from cpor_core.model.claim import ERASED_ADDRESS, Claim, ListedMail, MailKind, PartnerMailKind
from cpor_core.model.mail import MailOutcome
from cpor_core.ports import Ports
from cpor_core.ports.notices import MailRecord
from cpor_core.rules.claim_due_work import due_now
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.claims.listing import load_all
from cpor_core.use_cases.mail_message_ids import PARTNER_CONTACT, known_mails, listed, message_id_of, partner_mail_kind
from cpor_core.use_cases.notices.customer_mail import reminded_recipients, waiting_recipients
from cpor_core.use_cases.together import read_together


@dataclass(frozen=True, slots=True)
class LoggedMail:
    """One mail in the log. The recipient is given by number. `at` is the instant of the outcome, if it is known."""

    kind: str
    number: int
    recipient: int
    outcome: MailOutcome
    handed_over_at: datetime | None = None
    at: datetime | None = None

    @property
    def was_handed_over(self) -> bool:
        """Whether it is known that the mail system took the mail."""
        return self.handed_over_at is not None or self.outcome in (MailOutcome.DELIVERED, MailOutcome.COMPLAINED)


async def mail_log(ports: Ports, case: Case, now: datetime) -> Sequence[LoggedMail]:
    """
    Return the mails of a claim in the order of their hand-over. Mails that were not handed over come last.

    A mail is left out before it is due, and if it was dropped before its first try. Makes one request for the names of
    the rivals, two for each rival, and one for each listed mail.
    """
    claim = case.claim
    rivals = await load_all(ports, await ports.changes.rivals_of(claim.organisation, claim.id), now)
    mails = [(claim, mail) for mail in known_mails(claim) if _rival_in(mail) is None]
    for rival in rivals.values():
        mails += [(rival.claim, mail) for mail in known_mails(rival.claim) if _rival_in(mail) == claim.id]
    records = await read_together(ports.mails.find(message_id_of(lister, mail)) for lister, mail in mails)
    due = {lister.id: set(_due_mails(lister, now)) for lister, _ in mails}
    log = [
        logged
        for (lister, mail), record in zip(mails, records, strict=True)
        if (logged := _logged(lister, mail, record, now, is_due=mail in due[lister.id])) is not None
    ]
    return sorted(log, key=_order)


def for_partner(log: Iterable[LoggedMail]) -> Iterator[LoggedMail]:
    """
    Yield what the partner sees: its own mails, and whether each mail to the customer was handed over.

    A mail to several people at the customer is one mail here, so that the partner cannot count the people.
    """
    seen = set()
    for mail in log:
        if mail.recipient == PARTNER_CONTACT:
            yield mail
        elif (mail.kind, mail.number) not in seen:  # a mail that was handed over comes before one that was not
            seen.add((mail.kind, mail.number))
            yield replace(mail, outcome=_outcome_for_partner(mail), at=mail.handed_over_at)


def address(claim: Claim, mail: LoggedMail) -> str:
    """Return the address of a mail's recipient. For the partner's contact this is the present address."""
    if mail.recipient == PARTNER_CONTACT:
        return claim.contacts.partner.email if claim.contacts is not None else ERASED_ADDRESS
    return next((one.email for one in claim.recipients if one.number == mail.recipient), ERASED_ADDRESS)


def _order(mail: LoggedMail) -> tuple[bool, bool, float, bool]:
    instant = mail.handed_over_at.timestamp() if mail.handed_over_at is not None else 0.0
    return not mail.was_handed_over, mail.handed_over_at is None, instant, mail.outcome is not MailOutcome.PENDING


def _outcome_for_partner(mail: LoggedMail) -> MailOutcome:
    if mail.was_handed_over:
        return MailOutcome.HANDED_OVER
    return MailOutcome.NOT_SENT if mail.outcome is MailOutcome.FAILED else mail.outcome


def _rival_in(mail: ListedMail) -> str | None:
    """Return the id of the rival whose partner gets the mail. None for other mails."""
    return mail.kind.partition("-")[2] or None


def _logged(
    lister: Claim, mail: ListedMail, record: MailRecord | None, now: datetime, *, is_due: bool
) -> LoggedMail | None:
    kind = mail.kind.partition("-")[0]
    waiting = LoggedMail(kind, mail.number, mail.recipient, MailOutcome.PENDING)
    if record is None:
        if is_due:
            return waiting
        return replace(waiting, outcome=MailOutcome.UNKNOWN) if _is_deleted(lister, now) else None
    handed_over_at = record.tried_at if record.tried is MailOutcome.HANDED_OVER else None
    if record.tried is None:
        handed_over_at = _window_opened_at(lister, mail)
    if record.reported is not None:
        return replace(waiting, outcome=record.reported, handed_over_at=handed_over_at, at=record.reported_at)
    if is_due:
        return waiting
    if handed_over_at is not None:
        return replace(waiting, outcome=MailOutcome.HANDED_OVER, handed_over_at=handed_over_at, at=handed_over_at)
    if record.tried is MailOutcome.FAILED:
        return replace(waiting, outcome=MailOutcome.FAILED, at=record.tried_at)
    return replace(waiting, outcome=MailOutcome.UNKNOWN if record.tried is None else MailOutcome.NOT_SENT)


def _is_deleted(claim: Claim, now: datetime) -> bool:
    """Whether the rows of the claim's mails were deleted, because the claim was closed long ago."""
    return claim.closed_at is not None and claim.closed_at + RETENTION[Kind.DELETE_MESSAGE_IDS] <= now


def _window_opened_at(claim: Claim, mail: ListedMail) -> datetime | None:
    """Return when a notice was handed over, if the claim says so. Release 1 stored the instant only there."""
    promised = claim.promise
    if promised is None or mail.kind != MailKind.NOTICE or mail.number != promised.number:
        return None
    was_told = any(one.told for one in claim.recipients if one.number == mail.recipient)
    return claim.opened_at if was_told else None


def _due_mails(claim: Claim, now: datetime) -> Iterator[ListedMail]:
    for mail in claim.mails:
        for number in waiting_recipients(claim, mail):
            yield listed(mail.kind, mail.number, number)
    for news in claim.partner_mails:
        yield listed(partner_mail_kind(news), news.number, PARTNER_CONTACT)
    kinds, promised = due_now(claim, now), claim.promise
    if promised is not None and Kind.NOTIFY_CUSTOMER in kinds and not promised.over:
        for number in promised.recipients:
            yield listed(MailKind.NOTICE, promised.number, number)
    if promised is not None and Kind.REMIND_CUSTOMER in kinds:
        for number in reminded_recipients(claim, promised):
            yield listed(MailKind.REMINDER, promised.number, number)
    if Kind.REMIND_PARTNER in kinds:
        reminder = PartnerMailKind.ANSWER_REMINDER
        yield listed(reminder, claim.times_asked, PARTNER_CONTACT)
