"""Submission and its dry run, by the same checks; withdrawal; ends by the partner."""

from collections.abc import Sequence
from datetime import datetime

from cpor_core.errors import Detail, Refused
from cpor_core.model.claim import Acknowledgements, Claim, NewClaim, Reason
from cpor_core.model.history import Actor
from cpor_core.ports import Ports
from cpor_core.rules.checks import failed_checks
from cpor_core.rules.identifiers import new_claim_id
from cpor_core.transitions import life
from cpor_core.transitions.case import Case
from cpor_core.use_cases.acts import Intent, act
from cpor_core.use_cases.drafts import draft


async def submit(
    ports: Ports, case: Case, actor: Actor, now: datetime, acknowledgements: Acknowledgements, intent: Intent
) -> Case:
    """
    Submit a draft: seven requests with automatic review, one more with manual.

    Raises `InvalidState`, `SlotCrowded`, and `ValidationFailed` with every failed check.
    """
    engagement = ports.catalogue.engagement(case.claim.engagement)
    found = await ports.registry.partner(case.claim.partner_id)
    partner = found.value if found is not None else None
    known = await ports.registry.customer(case.claim.tenant_id)
    customer = known.value if known is not None else None

    def judge(current: Case) -> Case:
        after = life.submit(
            current,
            actor,
            now,
            acknowledgements=acknowledgements,
            partner_name=partner.name if partner is not None else current.claim.partner_name,
            automatic_review=engagement.review == "automatic",
            start_review_by=ports.terms.start_review_by(now),
        )
        failed = failed_checks(current.claim, engagement, partner, customer, current.slots, acknowledgements, now)
        if failed:
            raise Refused(
                "ValidationFailed",
                f"{len(failed)} of the checks at submission failed.",
                resolution="Put right what the details name, then submit again.",
                details=failed,
            )
        return after

    return await act(ports, case, now, judge, intent)


async def dry_run_of_new(ports: Ports, organisation: str, sent: NewClaim, now: datetime) -> Sequence[Detail]:
    """Return every check that a claim as sent would fail at submission; nothing is stored. Raises as creation."""
    claim_id = new_claim_id(sent.customer.tenant_id, ports.new_id())
    return await dry_run(ports, await draft(ports, organisation, sent, now, claim_id), None, now)


async def dry_run(
    ports: Ports, claim: Claim, acknowledgements: Acknowledgements | None, now: datetime
) -> Sequence[Detail]:
    """Return every check that *claim* would fail; never whether somebody else holds a slot (rulings 8)."""
    engagement = ports.catalogue.engagement(claim.engagement)
    found = await ports.registry.partner(claim.partner_id)
    known = await ports.registry.customer(claim.tenant_id)
    return failed_checks(
        claim,
        engagement,
        found.value if found is not None else None,
        known.value if known is not None else None,
        {},
        acknowledgements,
        now,
    )


async def withdraw(ports: Ports, case: Case, actor: Actor, now: datetime, intent: Intent) -> Case:
    """Take an open claim back. Raises `InvalidState`."""
    return await act(ports, case, now, lambda current: life.withdraw(current, actor, now), intent)


async def end(ports: Ports, case: Case, actor: Actor, now: datetime, reason: Reason, intent: Intent) -> Case:
    """End an association; access stops with this write. Raises `InvalidState`."""
    return await act(ports, case, now, lambda current: life.end(current, actor, now, reason), intent)
