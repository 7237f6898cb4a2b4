"""The partner's acts on a claim: submit, resubmit, dispute, withdraw, end. The dry run uses the same checks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cpor_core.due_work import Kind
from cpor_core.errors import Detail, Refused
from cpor_core.model.catalogue import Engagement
from cpor_core.model.claim import Acknowledgements, Claim, NewClaim, Reason
from cpor_core.model.history import Actor
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports import Ports
from cpor_core.ports.due_work import expiry
from cpor_core.rules.checks import failed_checks, is_enrolled, recent_refusals
from cpor_core.rules.identifiers import new_claim_id
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import ActContext, change_claim
from cpor_core.use_cases.claims.drafts import draft

HOUR_SECONDS = 3600


async def submit(
    ports: Ports, case: Case, actor: Actor, now: datetime, acknowledgements: Acknowledgements, context: ActContext
) -> Case:
    """
    Submit a draft, in seven requests. One request more reads the partner's location, if it was not read recently.

    The slots, the customer's refusals and the registry are read at the same time.

    Raises `InvalidState`, `SlotCrowded`, and `ValidationFailed` with every failed check.
    """
    known, stored = await asyncio.gather(_known(ports, case.claim), ports.claims.with_refusals(case.stored))
    case = life.settle(stored, now)
    terms = await ports.current_terms()

    def judge(current: Case) -> Case:
        refused = recent_refusals(current.refusals, now)
        after = life.submit(
            current,
            actor,
            now,
            acknowledgements=acknowledgements,
            partner_name=known.partner_name(current.claim),
            automatic_review=known.engagement.review == "automatic" and not refused,
            start_review_by=terms.start_review_by(now),
            refused_before=refused[-1].at if refused else None,
        )
        _verify(known, current, acknowledgements, now)
        return after

    return await change_claim(ports, case, now, judge, replace(context, counts_refusals=True))


async def resubmit(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """
    Answer the reviewer's question, with the same checks as the submission.

    Raises `InvalidState`, `SlotCrowded`, `SlotAwaitsCustomer`, and `ValidationFailed` with every failed check.
    """
    known = await _known(ports, case.claim)
    terms = await ports.current_terms()

    def judge(current: Case) -> Case:
        after = life.resubmit(current, actor, now, start_review_by=terms.start_review_by(now))
        _verify(known, current, current.claim.acknowledgements, now)
        return after.changed(partner_name=known.partner_name(current.claim))

    return await change_claim(ports, case, now, judge, replace(context, counts_refusals=True))


async def dispute(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """
    Dispute a rejection. The partner must send a justification, or add evidence after the rejection.

    Raises `InvalidState`, `NotDisputable`, `JustificationMissing`, `SlotCrowded`.
    """
    terms = await ports.current_terms()

    def judge(current: Case) -> Case:
        after = life.dispute(current, actor, now, decide_by=terms.decide_by(now))
        new_evidence = any(evidence.added_at > current.claim.status_since for evidence in current.claim.evidence)
        if context.comment is None and not new_evidence:
            raise Refused(
                "JustificationMissing",
                "A dispute needs a justification, or evidence that was added after the rejection.",
                target="justification",
                resolution="Say why the rejection is wrong, or upload new evidence before you dispute.",
            )
        return after

    return await change_claim(ports, case, now, judge, context)


@dataclass(frozen=True, slots=True)
class _Known:
    """The entries of the registry and the catalogue that a claim names."""

    engagement: Engagement
    partner: Partner | None
    customer: Customer | None

    def partner_name(self, claim: Claim) -> str:
        return self.partner.name if self.partner is not None else claim.partner_name


async def _known(ports: Ports, claim: Claim) -> _Known:
    partner, customer = await asyncio.gather(_partner(ports, claim), ports.registry.customer(claim.tenant_id))
    return _Known(
        ports.catalogue.engagement(claim.engagement), partner, customer.value if customer is not None else None
    )


async def _partner(ports: Ports, claim: Claim) -> Partner | None:
    """Return the claim's location. If it seems not to be enrolled, it is read anew before the claim is refused."""
    recent = await ports.registry.recent_partner(claim.partner_id)
    if recent is not None and is_enrolled(recent.value, claim):
        return recent.value
    newest = await ports.registry.partner(claim.partner_id)
    return newest.value if newest is not None else None


def _verify(known: _Known, case: Case, acknowledgements: Acknowledgements | None, now: datetime) -> None:
    """Raise `ValidationFailed` with every check that the claim fails."""
    failed = _failed(known, case, acknowledgements, now)
    if failed:
        raise Refused(
            "ValidationFailed",
            "One check at submission failed." if len(failed) == 1 else f"{len(failed)} checks at submission failed.",
            resolution="Correct the fields that the details name, then submit again.",
            details=failed,
        )


def _failed(known: _Known, case: Case, acknowledgements: Acknowledgements | None, now: datetime) -> tuple[Detail, ...]:
    """Return the failed checks. Submission, dry run and review use this function."""
    return failed_checks(
        case.claim, known.engagement, known.partner, known.customer, case.slots, case.refusals, acknowledgements, now
    )


async def dry_run_of_new(ports: Ports, organisation: str, sent: NewClaim, now: datetime) -> Sequence[Detail]:
    """Return the checks that a new claim would fail at submission. Stores no claim. Raises the errors of `draft`."""
    claim_id = new_claim_id(sent.customer.tenant_id, ports.new_id())
    claim = await draft(ports, organisation, sent, now, claim_id)
    return await dry_run(ports, life.settle(StoredCase(claim, {}), now), None, now)


async def dry_run_of_draft(
    ports: Ports, case: Case, acknowledgements: Acknowledgements | None, now: datetime
) -> Sequence[Detail]:
    """Return the checks that a draft would fail at submission. Raises `InvalidState`, and the errors of `dry_run`."""
    life.verify_draft(case)
    return await dry_run(ports, case, acknowledgements, now)


async def dry_run(
    ports: Ports, case: Case, acknowledgements: Acknowledgements | None, now: datetime
) -> Sequence[Detail]:
    """
    Return the checks that the claim would fail. The answer never says whether another claim holds a slot (decision 8).

    Raises `TooManyDryRuns` if the organisation has made too many dry runs in this hour. The operator sees the counts.
    """
    claim = case.claim
    count = await ports.dry_runs.count(claim.organisation, now)
    if count == 1:
        row_ref = ports.dry_runs.row_ref(claim.organisation, now)
        row = expiry(Kind.DELETE_DRY_RUN_COUNT, claim.organisation, now, row_ref)
        await ports.duework.add([row])
    if count > ports.terms.dry_runs_per_hour:
        raise Refused(
            "TooManyDryRuns",
            f"An organisation can make {ports.terms.dry_runs_per_hour} dry runs per hour.",
            resolution="Wait until the next full hour, as Retry-After says.",
            retry_after_seconds=HOUR_SECONDS - (now.minute * 60 + now.second),
        )
    return (await checked(ports, case, acknowledgements, now)).failed


@dataclass(frozen=True, slots=True)
class Checked:
    """A case with the checks that its claim fails, and its registered customer. A draft has the slots of its items."""

    case: Case
    failed: Sequence[Detail]
    customer: Customer | None


async def checked(ports: Ports, case: Case, acknowledgements: Acknowledgements | None, now: datetime) -> Checked:
    """Check a claim with the registry as it is now, in three requests, a draft in four."""
    known, stored = await asyncio.gather(_known(ports, case.claim), ports.claims.with_refusals(case.stored))
    case = life.settle(stored, now)
    return Checked(case, _failed(known, case, acknowledgements, now), known.customer)


async def withdraw(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """Withdraw an open claim. Raises `InvalidState`."""
    return await change_claim(ports, case, now, lambda current: life.withdraw(current, actor, now), context)


async def end(ports: Ports, case: Case, actor: Actor, now: datetime, reason: Reason, context: ActContext) -> Case:
    """End an association. The partner's access to figures stops with this write. Raises `InvalidState`."""
    return await change_claim(ports, case, now, lambda current: life.end(current, actor, now, reason), context)
