"""Steps that several acts of a claim have in common."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from cpor_core.model.claim import Claim, DueMail, EndedItem, MailKind, Reason, Status, StruckItem, TimeToAnswer
from cpor_core.model.history import Act, Actor
from cpor_core.rules.partner_mail import competition_mails
from cpor_core.transitions.claim_case import Case, invalid_state
from cpor_core.transitions.life.slots import competing_claims, each_slot, leave_slots

DISPUTE_PERIOD = timedelta(days=30)
"""How long a partner can dispute a rejection: 30 × 24 hours (decision 28)."""


def what_is_asked(claim: Claim, reasons: Sequence[Reason], answer_by: TimeToAnswer) -> Mapping[str, object]:
    """Return the changes of a claim when its partner is asked for something."""
    return {
        "due": answer_by.ends_at,
        "requested": tuple(reasons),
        "time_to_answer": answer_by,
        "times_asked": claim.times_asked + 1,
        "answer_reminded": False,
        "only_contacts_changed": True,
    }


def strike(case: Case, actor: Actor, at: datetime, keys: Collection[str], reason: Reason) -> Case:
    """Remove items from a claim. If no item is left, the claim is rejected."""
    claim = case.claim
    gone = tuple(item for item in claim.items if item.key in keys)
    rest = tuple(item for item in claim.items if item.key not in keys)
    if not rest:
        final = claim.disputed_before
        return leave_slots(case, at).record(
            Act.FINALLY_REJECTED if final else Act.REJECTED,
            actor,
            at,
            to=Status.REJECTED_FINAL if final else Status.REJECTED,
            reason=reason if reason is Reason.SUBSCRIPTION_ENDED else Reason.ALL_ITEMS_STRUCK,
            due=None if final else at + DISPUTE_PERIOD,
        )
    for item in gone:
        case = case.with_slots({item.key: case.slots[item.key].without(claim.id, at)})
        struck = (*case.claim.struck, StruckItem(item=item, at=at, reason=reason))
        remaining = tuple(other for other in case.claim.items if other != item)
        case = case.record(Act.ITEM_STRUCK, actor, at, reason=reason, items=remaining, struck=struck)
    return case


def end(case: Case, actor: Actor, at: datetime, reason: Reason) -> Case:
    """End the association. Its access to figures stops and its slots are free at once. Raises `InvalidState`."""
    require(case, "ended", Status.OFFICIAL)
    return end_items(case, held(case.claim), actor, at, reason)


def require(case: Case, act: str, *states: Status) -> None:
    """Raise `InvalidState` unless the claim is in one of *states*."""
    if case.claim.status not in states:
        raise invalid_state(case.claim, act)


def add_competition_mails(case: Case, at: datetime, known: Collection[str] = ()) -> Case:
    """Add due mails about the competition, to the partners of this claim and of its new rivals (decision 15)."""
    rivals = competing_claims(case, at) - set(known)
    return case.changed(partner_mails=competition_mails(case.claim, rivals, at)) if rivals else case


def await_customer(case: Case, act: Act, actor: Actor, at: datetime) -> Case:
    """Let the claim await the customer. Addresses that failed before are tried again (decision 25)."""
    former = case.claim.promise
    case = case.record(
        act,
        actor,
        at,
        to=Status.AWAITING_CUSTOMER,
        promise=former.model_copy(update={"sending_until": None, "over": True}) if former is not None else None,
        recipients=tuple(r.model_copy(update={"failed": r.is_erased}) for r in case.claim.recipients),
        opened_at=None,
        reminded=False,
    )
    return each_slot(case, lambda slot: slot.with_awaiting(case.claim.id, case.claim.organisation, None))


def held(claim: Claim) -> tuple[str, ...]:
    """Return the keys of the items that an association still holds."""
    return tuple(item.key for item in claim.items if claim.holds(item.key))


def end_items(
    case: Case, keys: tuple[str, ...], actor: Actor, at: datetime, reason: Reason, act: Act = Act.ENDED
) -> Case:
    """End items of an association. If no item is left, the association ends at the same instant for the same reason."""
    claim = case.claim
    at = max(at, claim.official_since) if claim.official_since is not None else at
    ended = (*claim.ended_items, *(EndedItem(key=key, at=at, reason=reason) for key in keys))
    if reason is not Reason.SUPERSEDED:  # the successor already holds the slots
        case = case.with_slots({key: case.slots[key].without(claim.id, at) for key in keys})
    if len(ended) < len(claim.items):
        return case.record(Act.ITEM_ENDED, actor, at, reason=reason, ended_items=ended)
    case = case.record(
        act, actor, at, to=Status.ENDED, reason=reason, ended_items=ended, ended_at=at, end_reason=reason
    )
    return add_mail(case, MailKind.CLOSING, at, reason)


def add_closing_mail(case: Case, at: datetime) -> Case:
    """Add a due mail to all notified people: the request is closed."""
    return add_mail(case, MailKind.CLOSING, at, case.claim.status_reason)


def add_mail(case: Case, kind: MailKind, at: datetime, reason: Reason | None = None) -> Case:
    """Add a due mail to all notified people."""
    mails, count = with_mail(case.claim, kind, at, reason)
    return case.changed(mails=mails, mail_count=count)


def with_mail(claim: Claim, kind: MailKind, at: datetime, reason: Reason | None) -> tuple[tuple[DueMail, ...], int]:
    """Return the due mails with one more, and their count. No mail is added if nobody was notified of the claim."""
    if not claim.told:
        return claim.mails, claim.mail_count
    count = claim.mail_count + 1
    return (*claim.mails, DueMail(number=count, kind=kind, since=at, reason=reason)), count
