"""Values with which the core's tests begin: a customer, partners, and a claim that real acts bring to any state."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cpor_core.model.claim import (
    Acknowledgements,
    Claim,
    Contact,
    Contacts,
    Evidence,
    Item,
    PartnerContact,
    Promise,
    Reason,
    Recipient,
    RecipientKind,
    SkippedDay,
    Speaker,
    Status,
    TimeToAnswer,
    Voice,
)
from cpor_core.model.history import PROGRAMME, Act, Actor, ActorKind
from cpor_core.model.registry import Channel, Customer, Partner, Subscription, SubscriptionState
from cpor_core.model.slot import Slot
from cpor_core.rules.business_days import Calendar
from cpor_core.rules.terms import Terms
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase

MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOUR, DAY, MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
SUBMITTED_AT, TOLD_AT = MONDAY + HOUR, MONDAY + 2 * HOUR
ENDS_AT = datetime(2026, 11, 9, 23, 0, tzinfo=UTC)
"""Five business days after that Monday are over in Paris."""
REMINDER_AT = datetime(2026, 11, 6, 8, 0, tzinfo=UTC)

ADATUM, FABRIKAM, LITWARE = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
PARTNER_IDS = {ADATUM: "4782913", FABRIKAM: "5550001", LITWARE: "6660001"}
TERMS = Terms(programme=Calendar(country="US", time_zone="UTC"))
NAMES = {ADATUM: "Adatum Conseil", FABRIKAM: "Fabrikam Services", LITWARE: "Litware"}
TENANT = "bbbbbbbb-0000-4000-8000-000000000001"
SUBSCRIPTION, OTHER_SUBSCRIPTION = (f"cccccccc-0000-4000-8000-00000000000{n}" for n in (1, 2))
USAGE, RECOGNITION, REVENUE = "modern-work-security-usage", "usage-recognition-bizapps", "bizapps-revenue"

PERSON = Actor(kind=ActorKind.PERSON, id="dddddddd-0000-4000-8000-000000000001")
ANNE = Speaker(voice=Voice.CONTACT, recipient=1)
"""The contact whom the partner named."""
BENOIT = Speaker(voice=Voice.CONTACT, recipient=3)
"""Another contact of the same claim."""
IT, LAW = (Speaker(voice=Voice.NOTICE_ADDRESS, recipient=number) for number in (2, 4))
"""Two registered notice addresses."""
ACKNOWLEDGED = Acknowledgements(accurate=True, customer_aware=True)
TEAMS, EXCHANGE, SHAREPOINT = (Item(workload=name) for name in ("teams", "exchange", "sharepoint"))
SALES = Item(product="dynamics-365-sales", subscription_id=SUBSCRIPTION)


def claim_id(which: str) -> str:
    """Return a claim id at the customer's tenant. The hexadecimal digit *which* tells the ids of a test apart."""
    return TENANT.replace("-", "") + which * 20


def contacts(email: str = "anne.durand@contoso.fr") -> Contacts:
    """Return the contacts that a claim names."""
    return Contacts(
        customer=Contact(name="Anne Durand", email=email),
        partner=PartnerContact(name="Paul Petit", email="paul@adatum.example"),
    )


def evidence(signed_on: date | None = date(2026, 10, 1), file_name: str = "sow.pdf") -> Evidence:
    """Return a file of evidence."""
    return Evidence(
        file_name=file_name,
        content_type="application/pdf",
        size=9,
        sha256="0" * 64,
        signed_on=signed_on,
        added_at=MONDAY,
        blob=f"blob-of-{file_name}",
    )


def draft(which: str = "a", *, organisation: str = ADATUM, items: tuple[Item, ...] = (TEAMS,), **changes: Any) -> Case:
    """Return a new draft with slots that nobody has used."""
    made = Claim.model_validate(
        {
            "id": claim_id(which),
            "tenant_id": TENANT,
            "organisation": organisation,
            "partner_id": PARTNER_IDS[organisation],
            "partner_name": NAMES[organisation],
            "engagement": USAGE,
            "name": "Contoso adoption",
            "domain": "contoso.fr",
            "items": items,
            "contacts": contacts(),
            "evidence": (evidence(),),
            "status_since": MONDAY,
            "created_at": MONDAY,
            "updated_at": MONDAY,
            "due": MONDAY + timedelta(days=90),
            **changes,
        }
    )
    slots = {item.key: Slot(engagement=made.engagement, key=item.key) for item in items}
    case = life.settle(StoredCase(made, slots, etags={made.id: "1"}), MONDAY)
    return case.record(Act.CREATED, PERSON, MONDAY, to=Status.DRAFT, due=made.due, status_since=MONDAY)


def stored(case: Case) -> StoredCase:
    """Return the stored case that a written case leaves."""
    return StoredCase(case.claim, case.slots, case.rivals, case.refusals, case.stored.etags)


def as_of(case: Case, now: datetime) -> Case:
    """Return a stored case at a later instant, after the entries that time makes."""
    settled = life.settle(stored(case), now)
    return replace(settled, stored=case.stored, entries=(*case.entries, *settled.entries))


def with_rivals(case: Case, *others: Case) -> Case:
    """Return a case together with other claims that the same act changes."""
    return replace(case, rivals={**case.rivals, **{other.claim.id: other.claim for other in others}})


def at_slots(case: Case, slots: Mapping[str, Slot]) -> Case:
    """Return the case with slots that other claims have changed."""
    return case.with_slots({key: slot for key, slot in slots.items() if key in case.slots})


def submitted(case: Case, at: datetime = SUBMITTED_AT, *, automatic: bool = False) -> Case:
    """Return a submitted draft: it waits for a reviewer, or at once for its customer."""
    return life.submit(
        case,
        PERSON,
        at,
        acknowledgements=ACKNOWLEDGED,
        partner_name=case.claim.partner_name,
        automatic_review=automatic,
        start_review_by=at + 7 * DAY,
    )


def under_review(case: Case, at: datetime = SUBMITTED_AT) -> Case:
    """Return a submitted draft whose review has started."""
    return life.start_review(submitted(case, at), PROGRAMME, at, decide_by=at + 7 * DAY)


def approved(case: Case, at: datetime = SUBMITTED_AT) -> Case:
    """Return a draft that a reviewer has approved."""
    return life.approve(under_review(case, at), PROGRAMME, at)


ANNES = Recipient(
    number=1, kind=RecipientKind.CONTACT, email="anne.durand@contoso.fr", name="Anne Durand", language="fr"
)
REGISTERED = Recipient(number=2, kind=RecipientKind.NOTICE_ADDRESS, email="it@contoso.fr", language="fr")


def a_promise(number: int = 1, *, ends_at: datetime = ENDS_AT, recipients: tuple[int, ...] = (1,)) -> Promise:
    """Return the promise of a notice that is sent on that Monday."""
    return Promise(
        number=number,
        made_at=TOLD_AT,
        day_zero=date(2026, 11, 2),
        ends_at=ends_at,
        last_day=date(2026, 11, 9),
        reminder_at=REMINDER_AT,
        time_zone="Europe/Paris",
        calendar="FR",
        skipped_days=(
            SkippedDay(date=date(2026, 11, 7), name="samedi", kind="weekend"),
            SkippedDay(date=date(2026, 11, 8), name="dimanche", kind="weekend"),
        ),
        sending_until=TOLD_AT + timedelta(minutes=2),
        recipients=recipients,
        customer_name="Contoso France",
    )


def promised(case: Case, number: int = 1, *, ends_at: datetime = ENDS_AT) -> Case:
    """Return an awaiting claim with a stored promise. Its notice is not yet handed over."""
    return life.promise(case, a_promise(number, ends_at=ends_at), (ANNES,))


def notified(case: Case, at: datetime = TOLD_AT, *, ends_at: datetime = ENDS_AT) -> Case:
    """Return an awaiting claim whose customer was notified."""
    return life.hand_over(promised(case, ends_at=ends_at), 1, at)


def awaiting(case: Case, *, ends_at: datetime = ENDS_AT) -> Case:
    """Return a draft that was validated automatically and whose customer was notified."""
    return notified(submitted(case, automatic=True), ends_at=ends_at)


def official(case: Case, *, ends_at: datetime = ENDS_AT) -> Case:
    """Return a draft that became official when its window ended, with that entry stored."""
    return as_of(awaiting(case, ends_at=ends_at), ends_at)


def answer_by(ends_at: datetime) -> TimeToAnswer:
    """Return the time limit of a partner's answer, with a reminder one day before its end."""
    return TimeToAnswer(ends_at=ends_at, last_day=ends_at.date(), time_zone="Europe/Paris", reminder_at=ends_at - DAY)


def unreachable(case: Case) -> Case:
    """Return a claim that was validated automatically and whose notice reached nobody."""
    return life.customer_unreachable(
        promised(submitted(case, automatic=True)), TOLD_AT, answer_by=answer_by(TOLD_AT + 7 * DAY), failed=(1,)
    )


def rejected(case: Case, reason: Reason = Reason.INSUFFICIENT_EVIDENCE) -> Case:
    """Return a draft that a reviewer has rejected."""
    return life.reject(under_review(case), PROGRAMME, TOLD_AT, reason)


def disputed(case: Case) -> Case:
    """Return a rejected draft that its partner disputes."""
    return life.dispute(rejected(case), PERSON, TOLD_AT, decide_by=TOLD_AT + 7 * DAY)


def asked_for_more(case: Case, *reasons: Reason) -> Case:
    """Return a draft about which a reviewer has asked the partner for more."""
    return life.request_information(
        under_review(case),
        PROGRAMME,
        TOLD_AT,
        reasons or (Reason.EVIDENCE_MISSING,),
        answer_by=answer_by(TOLD_AT + 7 * DAY),
    )


IN_STATE: Mapping[Status, Callable[[Case], Case]] = {
    Status.DRAFT: lambda case: case,
    Status.SUBMITTED: submitted,
    Status.UNDER_REVIEW: under_review,
    Status.PARTNER_ACTION_REQUIRED: unreachable,
    Status.AWAITING_CUSTOMER: awaiting,
    Status.DECLINED: lambda case: life.decline(awaiting(case), ANNE, TOLD_AT),
    Status.REJECTED: rejected,
    Status.DISPUTED: disputed,
    Status.REJECTED_FINAL: lambda case: life.reject(disputed(case), PROGRAMME, TOLD_AT, Reason.INSUFFICIENT_EVIDENCE),
    Status.OFFICIAL: official,
    Status.ENDED: lambda case: life.end(official(case), PERSON, ENDS_AT, Reason.PARTNER_DISASSOCIATED),
    Status.WITHDRAWN: lambda case: life.withdraw(submitted(case), PERSON, TOLD_AT),
    Status.DELETED: lambda case: life.delete(case, PERSON, SUBMITTED_AT),
}
"""How a draft gets to each state."""


def in_state(status: Status, **changes: Any) -> Case:
    """Return a claim in *status*. The acts of a claim's life bring it there."""
    case = IN_STATE[status](draft(**changes))
    assert case.claim.status is status
    return case


def partner(organisation: str = ADATUM, **changes: Any) -> Partner:
    """Return a French partner who is enrolled in every engagement."""
    return Partner.model_validate(
        {
            "name": NAMES[organisation],
            "entra_tenant_id": organisation,
            "country": "FR",
            "time_zone": "Europe/Paris",
            "enrolled_engagements": (USAGE, RECOGNITION, REVENUE, "mci-bizapps-presales-advisor"),
            **changes,
        }
    )


def subscription(**changes: Any) -> Subscription:
    """Return an active subscription to Dynamics 365 Sales."""
    return Subscription.model_validate(
        {
            "subscription_id": SUBSCRIPTION,
            "product": "dynamics-365-sales",
            "channel": Channel.EA,
            "state": SubscriptionState.ACTIVE,
            "seats": 50,
            **changes,
        }
    )


def customer(**changes: Any) -> Customer:
    """Return a French customer with three workloads and one subscription."""
    return Customer.model_validate(
        {
            "name": "Contoso France",
            "domains": ("contoso.fr",),
            "country": "FR",
            "time_zone": "Europe/Paris",
            "language": "fr",
            "workloads": ("teams", "exchange", "sharepoint"),
            "subscriptions": (subscription(),),
            **changes,
        }
    )
