"""
Sends mails to a partner's contact: the reminder to answer, and news about changes that the partner did not make.

Such changes are made by the customer, the programme, a rival's partner, or time. A mail states the claim as it is at
the instant of sending, also if time has made changes that are not stored yet.
"""

from datetime import datetime
from functools import partial

from cpor_core.due_work import Outcome
from cpor_core.model.claim import (
    OPEN,
    Claim,
    DuePartnerMail,
    PartnerMailKind,
    Recipient,
    RecipientKind,
    Status,
)
from cpor_core.ports import Ports
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.identifiers import message_id
from cpor_core.rules.mail_budget import Urgency
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import competing_claims, settle
from cpor_core.use_cases.change_claim import IN_DUE_WORK, change_claim
from cpor_core.use_cases.mail_message_ids import PARTNER_CONTACT, partner_mail_kind
from cpor_core.use_cases.notices.send import delayed_by, permits, send

NO_PARTNERS_LANGUAGE, NO_PARTNERS_TIME_ZONE = "en", "UTC"
"""The language and time zone for a location that is no longer registered."""


async def remind_partner(ports: Ports, case: Case, now: datetime) -> Case | Outcome:
    """Remind the partner's contact, once for each question. If an address refuses the mail, it is not tried again."""
    claim = case.claim
    assert claim.time_to_answer is not None  # noqa: S101 - a reminder is due only while a question waits
    name = message_id(claim.id, PartnerMailKind.ANSWER_REMINDER, claim.times_asked, PARTNER_CONTACT)
    message = await _message(ports, claim, PartnerMailKind.ANSWER_REMINDER, claim.times_asked, name)
    if message is not None:
        allowed = await permits(ports, 1, Urgency.OTHER)
        sent = await send(ports, (message,), allowed, now, claim.time_to_answer.reminder_at)
        if sent.delayed is not None:
            return delayed_by(now, sent.delayed)

    def reminded(current: Case) -> Case:
        same = current.claim.times_asked == claim.times_asked
        return current.changed(answer_reminded=True) if same else current

    return await change_claim(ports, case, now, reminded, IN_DUE_WORK)


async def notify_partner(ports: Ports, case: Case, now: datetime) -> Case | Outcome:
    """
    Send one due mail to a partner: the oldest mail that a mailbox accepts now.

    A mail is dropped if it is no longer true, or if its recipient refuses it for good. If time has made another mail
    due, and this is not stored yet, it is stored first.
    """
    if case.claim.partner_mails != case.stored.claim.partner_mails:  # a mail is listed when its act is stored
        return await change_claim(ports, case, now, lambda current: current, IN_DUE_WORK)
    put_off: dict[str | None, Outcome] = {}
    for mail in case.claim.partner_mails:
        if mail.to in put_off:
            continue
        message = await _news(ports, case, mail, now)
        if message is not None:
            sent = await send(ports, (message,), await permits(ports, 1, Urgency.OTHER), now, mail.since)
            if sent.delayed is not None:
                put_off[mail.to] = delayed_by(now, sent.delayed)
                if sent.delayed.recipient_refused_for_now:
                    continue
                break
        return await change_claim(ports, case, now, partial(_remove_mail, mail=mail), IN_DUE_WORK)
    if put_off:
        return next(reversed(put_off.values()))
    return await change_claim(ports, case, now, lambda current: current, IN_DUE_WORK)  # the case has no due mail


def _remove_mail(case: Case, mail: DuePartnerMail) -> Case:
    rest = tuple(
        one for one in case.claim.partner_mails if (one.kind, one.number, one.to) != (mail.kind, mail.number, mail.to)
    )
    return case.changed(partner_mails=rest)


async def _news(ports: Ports, case: Case, mail: DuePartnerMail, now: datetime) -> MailMessage | None:
    """Return the message of a due mail. None if the mail is no longer true."""
    claim = case.claim
    name = message_id(claim.id, partner_mail_kind(mail), mail.number, PARTNER_CONTACT)
    if mail.to is not None:
        other = await ports.claims.load(mail.to) if mail.to in competing_claims(case, now) else None
        if other is None:
            return None
        claim = settle(other, now).claim
    if mail.kind is PartnerMailKind.COMPETING and not _competes(claim, case, now):
        return None
    if mail.kind is PartnerMailKind.EVIDENCE_ASKED and (claim.evidence_by is None or claim.evidence_by <= now):
        return None
    return await _message(ports, claim, mail.kind, mail.number, name, mail)


def _competes(claim: Claim, case: Case, now: datetime) -> bool:
    """Whether the case still has rivals, and *claim* is open or official. *claim* is the case's claim or a rival."""
    return claim.status in OPEN | {Status.OFFICIAL} and bool(competing_claims(case, now))


async def _message(
    ports: Ports, claim: Claim, kind: PartnerMailKind, number: int, name: str, mail: DuePartnerMail | None = None
) -> MailMessage | None:
    """Return a message to the claim's partner contact, in the partner's language. None if there is no contact."""
    contact = claim.partner_contact
    if contact is None:
        return None
    found = await ports.registry.recent_partner(claim.partner_id)
    recipient = Recipient(
        number=PARTNER_CONTACT,
        kind=RecipientKind.PARTNER_CONTACT,
        email=contact.email,
        name=contact.name,
        language=found.value.language if found is not None else NO_PARTNERS_LANGUAGE,
    )
    return MailMessage(
        kind,
        number,
        name,
        recipient,
        claim,
        happened_at=mail.since if mail is not None else None,
        reasons=mail.reasons if mail is not None else (),
        time_zone=found.value.time_zone if found is not None else NO_PARTNERS_TIME_ZONE,
    )
