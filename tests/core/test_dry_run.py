"""The dry run and the submission say the same: both are asked in many prepared situations."""

import inspect
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from cpor_core.errors import Detail, Refused
from cpor_core.model.claim import Acknowledgements, Item, NewClaim, Revenue
from cpor_core.model.registry import Channel, SubscriptionState
from cpor_core.rules import checks
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import drafts, submission
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
from tests.core.world import World

SOLD = Revenue(solution_seller="Paul", customer_name="Contoso", isv_solution="None")
Claimed = tuple[str, Item, Revenue | None]
Prepare = Callable[[World, Claimed], Awaitable[object]]
CLAIMS: Mapping[str, Claimed] = {
    "a subscription": (RECOGNITION, SALES, None),
    "a workload": (USAGE, TEAMS, None),
    "revenue": (REVENUE, SALES, SOLD),
    "revenue without its fields": (REVENUE, SALES, None),
}


def _claim_of(organisation: str, bring: Callable[..., Awaitable[Case]]) -> Prepare:
    """Return what puts another claim for the same item there, and brings it somewhere."""

    async def prepare(world: World, claimed: Claimed) -> Case:
        engagement, item, _ = claimed
        revenue = SOLD if engagement == REVENUE else None
        return await bring(world, organisation, engagement=engagement, items=(item,), revenue=revenue)

    return prepare


async def _declined(world: World, organisation: str, **more: Any) -> Case:
    return await world.decline(await world.told(organisation, **more))


async def _declined_twice(world: World, organisation: str, **more: Any) -> Case:
    await _declined(world, organisation, **more)
    return await _declined(world, organisation, **more)


async def _withdrawn(world: World, organisation: str, **more: Any) -> Case:
    return await world.withdraw(await world.submitted(organisation, **more))


async def _nobody(_world: World, _claimed: Claimed) -> None:
    """Nobody was there before."""


BEFORE: Mapping[str, Prepare] = {
    "nobody": _nobody,
    "own submitted": _claim_of(ADATUM, World.submitted),
    "own told": _claim_of(ADATUM, World.told),
    "own official": _claim_of(ADATUM, World.official),
    "own declined": _claim_of(ADATUM, _declined),
    "own declined twice": _claim_of(ADATUM, _declined_twice),
    "own withdrawn": _claim_of(ADATUM, _withdrawn),
    "another's submitted": _claim_of(FABRIKAM, World.submitted),
    "another's told": _claim_of(FABRIKAM, World.told),
    "another's official": _claim_of(FABRIKAM, World.official),
}


def _customer_is(**changes: Any) -> Callable[[World], Awaitable[object]]:
    return lambda world: world.register_customer(**changes)


def _subscription_is(**changes: Any) -> Callable[[World], Awaitable[object]]:
    return _customer_is(subscriptions=(subscription(**changes),))


async def _not_enrolled(world: World) -> None:
    former = await world.ports.registry.partner(PARTNER_IDS[ADATUM])
    await world.ports.registry.put_partner(PARTNER_IDS[ADATUM], partner(enrolled_engagements=()), former)


async def _as_it_was(_world: World) -> None:
    """The registry has not changed."""


REGISTRY: Mapping[str, Callable[[World], Awaitable[object]]] = {
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
    """Yield every two things that may differ, with all else in order."""
    seen = set()
    for one, other in itertools.combinations(range(len(AXES)), 2):
        for left, right in itertools.product(AXES[one], AXES[other]):
            picked = list(USUAL)
            picked[one], picked[other] = left, right
            seen.add(tuple(picked))
    yield from sorted(seen)


async def both(situation: Sequence[str]) -> tuple[Sequence[Detail], Sequence[Detail]]:
    """Return what the dry run of a draft says, and what its submission does."""
    claim, before, registry, signed, confirmed, named = situation
    world = World()
    await world.register()
    await BEFORE[before](world, CLAIMS[claim])
    await REGISTRY[registry](world)
    case = await _draft(world, CLAIMS[claim], SIGNED[signed], NAMED[named])
    now, acknowledgements = await world.now(), CONFIRMED[confirmed]
    dry = await submission.dry_run_of_draft(world.ports, case, acknowledgements, now)
    try:
        await submission.submit(world.ports, case, PERSON, now, acknowledgements, NO_CONTEXT)
    except Refused as refused:
        return dry, refused.details
    return dry, ()


async def _draft(
    world: World, claimed: Claimed, signed: Sequence[timedelta | None], changes: Mapping[str, object]
) -> Case:
    engagement, item, revenue = claimed
    case = await world.draft(engagement=engagement, items=(item,), revenue=revenue, evidence=False)
    now = await world.now()
    for age in signed:
        day = None if age is None else date(now.year, now.month, now.day) - age
        upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.4", day)
        await drafts.add_evidence(world.ports, await world.case(case), PERSON, now, upload, NO_CONTEXT)
    return await change_claim(world.ports, await world.case(case), now, lambda draft: draft.changed(**changes))


async def test_the_dry_run_says_what_the_submission_does() -> None:
    """Code, place, words and way out of each detail; and every check that there is has failed in one of the two."""
    failed = set()
    for situation in situations():
        dry, submitted = await both(situation)
        assert list(dry) == list(submitted), situation
        failed |= {detail.code for detail in dry}

    assert failed == set(re.findall(r'Detail\(\s*"(\w+)"', inspect.getsource(checks)))


async def test_the_dry_run_of_what_is_not_stored_says_what_that_of_its_draft_does() -> None:
    """A new claim has no files and confirms nothing yet; all else is judged alike."""
    for claim, before, registry in itertools.product(CLAIMS, BEFORE, REGISTRY):
        world = World()
        await world.register()
        await BEFORE[before](world, CLAIMS[claim])
        await REGISTRY[registry](world)
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
        now = await world.now()
        case = await _draft(world, CLAIMS[claim], (), {})

        of_draft = await submission.dry_run_of_draft(world.ports, case, None, now)
        of_new = await submission.dry_run_of_new(world.ports, ADATUM, sent, now)

        assert of_new == of_draft, (claim, before, registry)


async def test_what_is_in_order_passes_both() -> None:
    """Else nothing would be compared but failures."""
    assert await both(USUAL) == ((), ())
