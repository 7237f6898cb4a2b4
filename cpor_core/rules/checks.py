"""The checks of a submission. All faults are reported together. A dry run makes the same checks."""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from cpor_core.errors import Detail
from cpor_core.model.catalogue import Engagement
from cpor_core.model.claim import Acknowledgements, Claim, Item
from cpor_core.model.registry import Channel, Customer, Partner, Subscription, SubscriptionState
from cpor_core.model.slot import Holder, Party, Refusal, Refusals, Slot

CLAIMABLE_STATES = frozenset({SubscriptionState.ACTIVE, SubscriptionState.GRACE})
EVIDENCE_AGE_MONTHS = 12


def failed_checks(
    claim: Claim,
    engagement: Engagement,
    partner: Partner | None,
    customer: Customer | None,
    slots: Mapping[str, Slot],
    refusals: Refusals | None,
    acknowledgements: Acknowledgements | None,
    now: datetime,
) -> tuple[Detail, ...]:
    """
    Return each reason why *claim* cannot be submitted at *now*. Empty when the claim can be submitted.

    The checks must not reveal who is a customer (decision 8). So items are checked only when tenant, domain and the
    domain of the customer's contact agree. Otherwise one `TenantDomainMismatch` is the only fault, also for an unknown
    tenant.
    """
    return (
        *_partner(claim, partner),
        *_customer(claim, engagement, customer),
        *_fields(claim, engagement),
        *_evidence(claim, engagement, now.date()),
        *_acknowledgements(acknowledgements),
        *_duplicates(claim, slots, now),
        *_refused(refusals, now),
    )


def is_enrolled(partner: Partner, claim: Claim) -> bool:
    """Whether a partner's location is enrolled in the engagement of a claim, by its present or its older name."""
    return not {claim.engagement, claim.filed_as}.isdisjoint(partner.enrolled_engagements)


def _partner(claim: Claim, partner: Partner | None) -> Iterator[Detail]:
    if partner is None or not is_enrolled(partner, claim):
        yield Detail(
            "PartnerNotEnrolled",
            f"Partner {claim.partner_id} is not enrolled in {claim.engagement}.",
            "partnerId",
            "Enrol this location in the engagement, or use the partnerId of an enrolled location.",
        )
    if claim.organisation == claim.tenant_id:
        yield Detail(
            "PartnerIsCustomer",
            "A partner cannot be partner of record of its own tenant.",
            "customer.tenantId",
            "Claim for a customer's tenant.",
        )


def _customer(claim: Claim, engagement: Engagement, customer: Customer | None) -> Iterator[Detail]:
    if claim.contacts is None:
        yield Detail("ContactMissing", "The claim names no contact.", "contacts", "Name a contact at the customer.")
        return
    if claim.partner_contact is None:  # the contact was erased
        yield Detail(
            "ContactMissing",
            "The claim names no contact at the partner.",
            "contacts.partner",
            "Name one of your people.",
        )
    if claim.customer_contact is None:
        yield Detail(
            "ContactMissing",
            "The claim names no contact at the customer.",
            "contacts.customer",
            "Name a person at the customer.",
        )
        return
    contact = claim.customer_contact.email
    if customer is None or not (customer.has_domain(claim.domain) and customer.has_address(contact)):
        yield Detail(
            "TenantDomainMismatch",
            "Tenant, domain and the customer contact's mail address do not belong together.",
            "customer",
            "Ask the customer for the tenant id, for a verified domain, and for a contact with an address in it.",
        )
        return
    for position, item in enumerate(claim.items):
        reason = why_not_claimable(item, engagement, customer)
        if reason is not None:
            yield Detail(
                "ItemNotClaimable",
                f"{item.key} cannot be claimed: {reason}.",
                f"items[{position}]",
                _WHAT_TO_DO[reason],
            )


_WHAT_TO_DO = {
    "notOnTenant": "Ask the customer whether this workload is on this tenant.",
    "notASubscription": "Ask the customer for the subscription's id on this tenant.",
    "wrongProduct": "Name the product of the subscription. It must be in the engagement's list.",
    "csp": "Subscriptions bought through CSP cannot be claimed under this engagement.",
    "wrongChannel": "Claim a subscription that was bought through a channel of the engagement.",
    "notProvisioned": "Ask the customer to finish provisioning. The new state can take up to seven days to show.",
    "inactive": "Claim a subscription that is active or in its grace period.",
}


def why_not_claimable(item: Item, engagement: Engagement, customer: Customer) -> str | None:
    """
    Return why an item of the engagement's kind cannot be claimed. None when it can be claimed.

    The codes are those of decision 7, and `wrongChannel` for a wrong purchase channel other than CSP.
    """
    if item.workload is not None:
        return None if item.workload in customer.workloads else "notOnTenant"
    subscription = next((s for s in customer.subscriptions if s.subscription_id == item.subscription_id), None)
    if subscription is None:
        return "notASubscription"
    return _subscription_not_claimable(item, engagement, subscription)


def _subscription_not_claimable(item: Item, engagement: Engagement, subscription: Subscription) -> str | None:
    listed = {product.id for product in engagement.products or ()}
    if item.product != subscription.product or item.product not in listed:
        return "wrongProduct"
    if not engagement.takes(subscription.channel):
        return "csp" if subscription.channel is Channel.CSP else "wrongChannel"
    if subscription.state is SubscriptionState.NOT_PROVISIONED:
        return "notProvisioned"
    return None if subscription.state in CLAIMABLE_STATES else "inactive"


def is_alive(item: Item, customer: Customer) -> bool:
    """Whether the tenant has the workload, or has the subscription in a claimable state (decision 32)."""
    if item.workload is not None:
        return item.workload in customer.workloads
    return any(
        s.subscription_id == item.subscription_id and s.state in CLAIMABLE_STATES for s in customer.subscriptions
    )


def _fields(claim: Claim, engagement: Engagement) -> Iterator[Detail]:
    revenue = claim.revenue
    sent = {
        "solutionSeller": revenue.solution_seller if revenue else None,
        "customerName": revenue.customer_name if revenue else None,
        "isvSolution": revenue.isv_solution if revenue else None,
    }
    for name in engagement.extra_fields:
        if not sent.get(name):
            yield Detail(
                "FieldMissing",
                f"{engagement.name} needs revenue.{name}.",
                f"revenue.{name}",
                "Add the field to the draft.",
            )


def _evidence(claim: Claim, engagement: Engagement, today: date) -> Iterator[Detail]:
    if not engagement.evidence_needed:
        return
    if not claim.evidence:
        yield Detail(
            "EvidenceMissing",
            "There is no proof of execution.",
            "evidence",
            "Upload at least one file with PUT …/evidence/{fileName}?signedOn=YYYY-MM-DD.",
        )
        return
    signed = [evidence.signed_on for evidence in claim.evidence if evidence.signed_on is not None]
    if not signed:
        yield Detail(
            "AcknowledgementMissing",
            "No file says when the customer acknowledged the work.",
            "evidence",
            "Upload the customer's acknowledgement, with its date as signedOn in the query.",
        )
    elif max(signed) < _months_before(today, EVIDENCE_AGE_MONTHS):
        yield Detail(
            "AcknowledgementTooOld",
            f"The customer's newest acknowledgement is older than {EVIDENCE_AGE_MONTHS} months.",
            "evidence",
            "Upload an acknowledgement that was signed within the last 12 months.",
        )


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _acknowledgements(acknowledgements: Acknowledgements | None) -> Iterator[Detail]:
    confirmed = acknowledgements.model_dump(by_alias=True) if acknowledgements is not None else {}
    for name in ("accurate", "customerAware"):
        if not confirmed.get(name):
            yield Detail(
                "AcknowledgementMissing",
                f"acknowledgements.{name} is not confirmed.",
                f"acknowledgements.{name}",
                "Send true if you can confirm the statement.",
            )


REFUSAL_COUNTS_MONTHS = 12
MOST_REFUSALS = 2
"""After this number of refusals within twelve months, the customer is not asked again (decision 21)."""


def recent_refusals(refusals: Refusals | None, now: datetime) -> tuple[Refusal, ...]:
    """Return the customer's refusals of the same partner within the last twelve months, oldest first."""
    return refusals.since(_months_before(now.date(), REFUSAL_COUNTS_MONTHS)) if refusals is not None else ()


def _refused(refusals: Refusals | None, now: datetime) -> Iterator[Detail]:
    recent = recent_refusals(refusals, now)
    if len(recent) >= MOST_REFUSALS:
        yield Detail(
            "CustomerRefused",
            f"This customer has refused your organisation {len(recent)} times within {REFUSAL_COUNTS_MONTHS} months.",
            "customer.tenantId",
            "Wait until the first of these refusals is a year old.",
        )


def _duplicates(claim: Claim, slots: Mapping[str, Slot], now: datetime) -> Iterator[Detail]:
    """
    Yield a fault for each open or official claim of the same organisation for the same item.

    A declined claim is not open. Claims of other organisations are ignored, because a dry run must not reveal them
    (decision 8).
    """
    for position, item in enumerate(claim.items):
        slot = slots.get(item.key)
        if slot is None:
            continue
        own = [p for p in slot.at(now).others(claim.id) if p.organisation == claim.organisation and not p.declined]
        for other in {
            party.claim: party for party in reversed(own)
        }.values():  # a claim that awaits the customer is a claimant too
            yield _duplicate(other, item.key, f"items[{position}]")


def _duplicate(other: Party, key: str, target: str) -> Detail:
    if isinstance(other, Holder):
        return Detail(
            "DuplicateClaim",
            f"Your organisation's association {other.claim} already holds {key}.",
            target,
            f"Remove the item, or end the association {other.claim}.",
        )
    return Detail(
        "DuplicateClaim",
        f"Your organisation's claim {other.claim} for {key} is still open.",
        target,
        f"Remove the item, or withdraw the claim {other.claim}. If it is disputed, wait for the decision.",
    )
