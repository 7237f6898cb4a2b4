"""A dry run and a submission say the same. The test asks both in many prepared situations."""

import inspect
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from cpor_core.errors import Detail, Refused
from cpor_core.model.claim import Acknowledgements, Item, NewClaim, Revenue
from cpor_core.model.registry import Channel, SubscriptionState
from cpor_core.rules import checks
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import drafts, partner_acts
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    FABRIKAM,
    PARTNER_IDS,
    PERSON,
    RECOGNITION,
    REVENUE,
    SALES,
    TEAMS,
    TENANT,
    USAGE,
    contacts,
    partner,
    subscription,
)
from tests.core.memory_core import Core

SOLD = Revenue(solution_seller="Paul", customer_name="Contoso", isv_solution="None")
Claimed = tuple[str, Item, Revenue | None]
Prepare = Callable[[Core, Claimed], Awaitable[object]]
CLAIMS: Mapping[str, Claimed] = {
    "a subscription": (RECOGNITION, SALES, None),
    "a workload": (USAGE, TEAMS, None),
    "revenue": (REVENUE, SALES, SOLD),
    "revenue without its fields": (REVENUE, SALES, None),
}


def _claim_of(organisation: str, bring: Callable[..., Awaitable[Case]]) -> Prepare:
    """Return a function that brings another claim for the same item to a state."""

    async def prepare(core: Core, claimed: Claimed) -> Case:
        engagement, item, _ = claimed
        revenue = SOLD if engagement == REVENUE else None
        return await bring(core, organisation, engagement=engagement, items=(item,), revenue=revenue)

    return prepare


async def _declined(core: Core, organisation: str, **more: Any) -> Case:
    return await core.decline(await core.notified(organisation, **more))


async def _declined_twice(core: Core, organisation: str, **more: Any) -> Case:
    await _declined(core, organisation, **more)
    return await _declined(core, organisation, **more)


async def _withdrawn(core: Core, organisation: str, **more: Any) -> Case:
    return await core.withdraw(await core.submitted(organisation, **more))


async def _nobody(_world: Core, _claimed: Claimed) -> None:
    """No other claim exists."""


BEFORE: Mapping[str, Prepare] = {
    "nobody": _nobody,
    "own submitted": _claim_of(ADATUM, Core.submitted),
    "own notified": _claim_of(ADATUM, Core.notified),
    "own official": _claim_of(ADATUM, Core.official),
    "own declined": _claim_of(ADATUM, _declined),
    "own declined twice": _claim_of(ADATUM, _declined_twice),
    "own withdrawn": _claim_of(ADATUM, _withdrawn),
    "another's submitted": _claim_of(FABRIKAM, Core.submitted),
    "another's notified": _claim_of(FABRIKAM, Core.notified),
    "another's official": _claim_of(FABRIKAM, Core.official),
}


def _customer_is(**changes: Any) -> Callable[[Core], Awaitable[object]]:
    return lambda core: core.register_customer(**changes)


def _subscription_is(**changes: Any) -> Callable[[Core], Awaitable[object]]:
    return _customer_is(subscriptions=(subscription(**changes),))


async def _not_enrolled(core: Core) -> None:
    former = await core.ports.registry.partner(PARTNER_IDS[ADATUM])
    await core.ports.registry.put_partner(PARTNER_IDS[ADATUM], partner(enrolled_engagements=()), former)


async def _as_it_was(_world: Core) -> None:
    """The registry is unchanged."""


REGISTRY: Mapping[str, Callable[[Core], Awaitable[object]]] = {
    "as it was": _as_it_was,
    "not enrolled": _not_enrolled,
    "other domains": _customer_is(domains=("fabrikam.fr",)),
    "no workloads": _customer_is(workloads=()),
    "no subscriptions": _customer_is(subscriptions=()),
    "another product": _subscription_is(product="business-central"),
    "bought through CSP": _subscription_is(channel=Channel.CSP),
    "not provisioned": _subscription_is(state=SubscriptionState.NOT_PROVISIONED),
    "disabled": _subscription_is(state=SubscriptionState.DISABLED),
}
SIGNED: Mapping[str, tuple[timedelta | None, ...]] = {
    "signed": (timedelta(days=30),),
    "no file": (),
    "not signed": (None,),
    "signed long ago": (timedelta(days=400),),
}
CONFIRMED: Mapping[str, Acknowledgements] = {
    "both": ACKNOWLEDGED,
    "one": Acknowledgements(accurate=True, customer_aware=False),
    "none": Acknowledgements(accurate=False, customer_aware=False),
}
NAMED: Mapping[str, Mapping[str, object]] = {
    "everybody": {},
    "a contact elsewhere": {"contacts": contacts("anne.durand@elsewhere.example")},
    "nobody": {"contacts": None},
    "another domain": {"domain": "contoso.com"},
    "its own tenant": {"organisation": TENANT},
}
AXES: Sequence[Mapping[str, Any]] = (CLAIMS, BEFORE, REGISTRY, SIGNED, CONFIRMED, NAMED)
USUAL = tuple(next(iter(axis)) for axis in AXES)


def situations() -> Iterator[tuple[str, ...]]:
    """Yield every pair of differences. All other values are right."""
    seen = set()
    for one, other in itertools.combinations(range(len(AXES)), 2):
        for left, right in itertools.product(AXES[one], AXES[other]):
            picked = list(USUAL)
            picked[one], picked[other] = left, right
            seen.add(tuple(picked))
    yield from sorted(seen)


async def both(situation: Sequence[str]) -> tuple[Sequence[Detail], Sequence[Detail]]:
    """Return the answers of a draft's dry run and of its submission."""
    claim, before, registry, signed, confirmed, named = situation
    core = Core()
    await core.register()
    await BEFORE[before](core, CLAIMS[claim])
    await REGISTRY[registry](core)
    case = await _draft(core, CLAIMS[claim], SIGNED[signed], NAMED[named])
    now, acknowledgements = await core.now(), CONFIRMED[confirmed]
    dry = await partner_acts.dry_run_of_draft(core.ports, case, acknowledgements, now)
    try:
        await partner_acts.submit(core.ports, case, PERSON, now, acknowledgements, NO_CONTEXT)
    except Refused as refused:
        return dry, refused.details
    return dry, ()


async def _draft(
    core: Core, claimed: Claimed, signed: Sequence[timedelta | None], changes: Mapping[str, object]
) -> Case:
    engagement, item, revenue = claimed
    case = await core.draft(engagement=engagement, items=(item,), revenue=revenue, evidence=False)
    now = await core.now()
    for age in signed:
        day = None if age is None else date(now.year, now.month, now.day) - age
        upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.4", day)
        await drafts.add_evidence(core.ports, await core.case(case), PERSON, now, upload, NO_CONTEXT)
    return await change_claim(core.ports, await core.case(case), now, lambda draft: draft.changed(**changes))


@pytest.mark.slow
async def test_the_dry_run_says_what_the_submission_does() -> None:
    """Codes, fields, messages and resolutions are equal. Every check fails in at least one situation."""
    failed = set()
    for situation in situations():
        dry, submitted = await both(situation)
        assert list(dry) == list(submitted), situation
        failed |= {detail.code for detail in dry}

    assert failed == set(re.findall(r'Detail\(\s*"(\w+)"', inspect.getsource(checks)))


@pytest.mark.slow
async def test_a_dry_run_of_a_new_claim_says_the_same_as_that_of_its_draft() -> None:
    """A new claim has no files and no confirmations yet. All other checks are equal."""
    for claim, before, registry in itertools.product(CLAIMS, BEFORE, REGISTRY):
        core = Core()
        await core.register()
        await BEFORE[before](core, CLAIMS[claim])
        await REGISTRY[registry](core)
        engagement, item, revenue = CLAIMS[claim]
        sent = NewClaim.model_validate(
            {
                "name": "Contoso adoption",
                "partner_id": PARTNER_IDS[ADATUM],
                "engagement": engagement,
                "customer": {"tenant_id": TENANT, "domain": "contoso.fr"},
                "items": [item],
                "contacts": contacts(),
                "revenue": revenue,
            }
        )
        now = await core.now()
        case = await _draft(core, CLAIMS[claim], (), {})

        of_draft = await partner_acts.dry_run_of_draft(core.ports, case, None, now)
        of_new = await partner_acts.dry_run_of_new(core.ports, ADATUM, sent, now)

        assert of_new == of_draft, (claim, before, registry)


async def test_a_correct_claim_passes_both() -> None:
    """Otherwise the tests above would compare only failures."""
    assert await both(USUAL) == ((), ())
