"""
The jobs that are stopped at every request.

A job is a function of a `World`: what its users do, and how long they wait. It joins with one line in `JOBS`. Its
preparation is not disturbed. What it returns is what its users saw, and is compared with the rest of the end.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devhost.issuer import PROGRAMME_TENANT
from tests.faults.world import World
from tests.support.service import ACKNOWLEDGED, CUSTOMER, OTHER_PARTNER, PARTNER, PDF, SUBSCRIPTION, claim_as_sent

OPERATOR: dict[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
REVIEWER: dict[str, Any] = {"role": "Program.Reviewer", "tenant": PROGRAMME_TENANT}
FIGURES = f'{{"month": "2026-11", "item": "{SUBSCRIPTION}", "activeUsers": 30, "availableSeats": 50}}\n'


async def nothing(world: World) -> None:
    """Begin in an empty world."""


@dataclass(frozen=True)
class Job:
    """What is stopped, and what must be there before."""

    name: str
    run: Callable[[World], Awaitable[object]]
    prepare: Callable[[World], Awaitable[None]] = nothing


# --- steps that jobs share ------------------------------------------------------------------------------------------


async def draft(world: World, tenant: str = PARTNER) -> str:
    """Make a draft with evidence, under a key; returns its id."""
    made = await world.ask("POST", "/claims", tenant=tenant, key="create", json=claim_as_sent(tenant), expect=(201,))
    claim_id = str(made.json()["id"])
    signed = (await world.clock.now()).date() - timedelta(days=30)
    evidence = f"/claims/{claim_id}/evidence/sow.pdf?signedOn={signed}"
    await world.ask("PUT", evidence, tenant=tenant, content=PDF, expect=(201, 200))
    return claim_id


async def submitted(world: World, tenant: str = PARTNER) -> str:
    """Make and submit a claim, under keys; returns its id."""
    claim_id = await draft(world, tenant)
    await world.ask("POST", f"/claims/{claim_id}/submit", tenant=tenant, key="submit", json=ACKNOWLEDGED)
    return claim_id


async def told(world: World, tenant: str = PARTNER) -> str:
    """Bring a claim to where its customer was told; returns its id."""
    claim_id = await submitted(world, tenant)
    await world.rest()
    return claim_id


async def window(world: World, claim_id: str, tenant: str = PARTNER) -> dict[str, str]:
    """Return the customer's window."""
    claim = (await world.ask("GET", f"/claims/{claim_id}", tenant=tenant)).json()
    assert claim["window"] is not None, claim["status"]
    found: dict[str, str] = claim["window"]
    return found


# --- the jobs -------------------------------------------------------------------------------------------------------


async def becomes_official(world: World) -> object:
    """Draft, evidence, submission, notice, the end of the window, the timer, confirmation, figures in and out."""
    claim_id = await told(world)
    await world.until((await window(world, claim_id))["endsAt"])
    await world.rest()
    feed = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    await world.ask("POST", feed, content=FIGURES, headers={"Content-Type": "application/x-ndjson"}, **OPERATOR)
    return (await world.ask("GET", f"/associations/{claim_id}/usage")).json()


async def is_declined(world: World) -> object:
    """The customer is reminded, says no, takes it back and says no again; each no is confirmed."""
    claim_id = await told(world)
    await world.until("2026-11-06T08:00:00+00:00")
    await world.rest()
    for act in ("decline", "undo", "decline"):
        await world.press(act, claim_id)
        await world.rest()
    return (await world.ask("GET", f"/claims/{claim_id}")).json()["status"]


async def takes_over(world: World) -> object:
    """A second partner's claim for a held item is reviewed, approved and told; at its window's end it takes over."""
    claim_id = await submitted(world, OTHER_PARTNER)
    for act in ("start", "approve"):
        await world.ask("POST", f"/reviews/{claim_id}/{act}", key=act, **REVIEWER)
    await world.rest()
    await world.until((await window(world, claim_id, OTHER_PARTNER))["endsAt"])
    await world.rest()
    return (await world.ask("GET", f"/reviews/{claim_id}", **REVIEWER)).json()["claim"]["status"]


async def somebody_holds_the_item(world: World) -> None:
    """An official association of another partner."""
    claim_id = await told(world)
    await world.until((await window(world, claim_id))["endsAt"])
    await world.rest()


async def is_deleted(world: World) -> object:
    """A draft with evidence is deleted, and every trace of it."""
    claim_id = await draft(world)
    await world.ask("DELETE", f"/claims/{claim_id}", expect=(204, 404))
    await world.rest()
    return (await world.ask("GET", f"/claims/{claim_id}", expect=(404,))).status_code


JOBS = (
    Job("becomes official", becomes_official),
    Job("is declined", is_declined),
    Job("takes over", takes_over, prepare=somebody_holds_the_item),
    Job("is deleted", is_deleted),
)
