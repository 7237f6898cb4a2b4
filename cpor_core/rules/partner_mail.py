"""
Decides which mail notifies the partner's contact of a history entry.

The contact gets a mail about each change of state that the customer, the programme or time has made. No transition can
forget the mail, because each new entry is checked here. The partner's own acts lead to no mail. An approval leads to no
mail either, because the mail about the notice to the customer follows soon.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import assert_never

from cpor_core.model.claim import NOT_DISPUTABLE, Claim, DuePartnerMail, PartnerMailKind, Status
from cpor_core.model.history import Act, ActorKind, Entry

THE_PARTNER = frozenset({ActorKind.PERSON, ActorKind.APP})
SUBJECT_TO_CHANGE = frozenset(PartnerMailKind) - {
    PartnerMailKind.ANSWER_REMINDER,
    PartnerMailKind.ITEMS_STRUCK,
    PartnerMailKind.ITEMS_ENDED,
    PartnerMailKind.COMPETING,
}
"""Mails about the claim's state. When the claim leaves the state, such a mail is no longer true."""


def mail_about(made: Entry) -> PartnerMailKind | None:  # noqa: C901, PLR0912 - one line for each act
    """Return the mail that notifies the partner of a history entry. None when no mail does."""
    if made.actor.kind in THE_PARTNER:
        return None
    match made.act:
        case Act.INFORMATION_REQUESTED:
            asks_holder = made.to is Status.OFFICIAL
            return PartnerMailKind.EVIDENCE_ASKED if asks_holder else PartnerMailKind.INFORMATION_REQUESTED
        case Act.CUSTOMER_UNREACHABLE:
            return PartnerMailKind.CUSTOMER_UNREACHABLE
        case Act.ITEM_STRUCK:
            return PartnerMailKind.ITEMS_STRUCK
        case Act.CUSTOMER_TOLD:  # the claim can be closed before the hand-over
            return PartnerMailKind.CUSTOMER_TOLD if made.to is Status.AWAITING_CUSTOMER else None
        case Act.DECLINED:  # a second no, by a higher voice, is no news for the partner
            return PartnerMailKind.DECLINED if made.from_ is not made.to else None
        case Act.UNDONE:
            return PartnerMailKind.DECLINE_UNDONE
        case Act.MADE_OFFICIAL:
            return PartnerMailKind.MADE_OFFICIAL
        case Act.REJECTED:
            return PartnerMailKind.REJECTED if made.to is Status.REJECTED else PartnerMailKind.FINALLY_REJECTED
        case Act.FINALLY_REJECTED:  # a rejection that could not be disputed was final at once
            return PartnerMailKind.FINALLY_REJECTED if made.reason not in NOT_DISPUTABLE else None
        case Act.REVOKED:
            return PartnerMailKind.REJECTED if made.to is Status.REJECTED else PartnerMailKind.ENDED
        case Act.ITEM_ENDED:
            return PartnerMailKind.ITEMS_ENDED
        case Act.ENDED:
            return PartnerMailKind.ENDED
        case (
            Act.CREATED
            | Act.IMPORTED
            | Act.EDITED
            | Act.EVIDENCE_ADDED
            | Act.EVIDENCE_REMOVED
            | Act.DELETED
            | Act.LAPSED
            | Act.SUBMITTED
            | Act.VALIDATED
            | Act.REVIEW_STARTED
            | Act.REVIEW_RELEASED
            | Act.RESUBMITTED
            | Act.APPROVED
            | Act.COMMENTED
            | Act.RECIPIENT_FAILED
            | Act.WITHDRAWN
            | Act.DISPUTED
            | Act.PERSONAL_DATA_ERASED
        ):
            return None
        case _:
            assert_never(made.act)


def still_due_after(due: Sequence[DuePartnerMail], made: Entry) -> tuple[DuePartnerMail, ...]:
    """
    Return the due mails to partners after a history entry.

    A due mail about a state that the claim has left is dropped. Either the partner has made the change, or the partner
    gets a new mail about it. Several entries of one act lead to one mail.
    """
    kind = mail_about(made)
    moved = made.from_ is not made.to
    still_true = tuple(
        mail
        for mail in due
        if mail.kind not in SUBJECT_TO_CHANGE or not (moved or (mail.kind is kind and mail.since != made.at))
    )
    if kind is None:
        return still_true
    same = next((mail for mail in still_true if (mail.kind, mail.since) == (kind, made.at)), None)
    new = same or DuePartnerMail(number=made.sequence, kind=kind, since=made.at)
    if made.reason is not None and made.reason not in new.reasons:
        new = new.model_copy(update={"reasons": (*new.reasons, made.reason)})
    return (*(mail for mail in still_true if mail is not same), new)


def competition_mails(claim: Claim, rivals: Iterable[str], at: datetime) -> tuple[DuePartnerMail, ...]:
    """Return the due mails of a claim, with one about the competition to each partner who has none due yet."""
    kind, number = PartnerMailKind.COMPETING, claim.history_length
    known = {mail.to for mail in claim.partner_mails if mail.kind is kind}
    news = tuple(
        DuePartnerMail(number=number, kind=kind, since=at, to=to) for to in (None, *sorted(rivals)) if to not in known
    )
    return (*claim.partner_mails, *news)
