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
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    PARTNER,
    PARTNER_ID,
    PDF,
    SUBSCRIPTION,
    claim_as_sent,
)

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
    prepare: Callable[[World], Awaitable[object]] = nothing
    in_full: bool = False
    """Stop at every read, not only at those after a write; try what the SDK mends at each write alone too."""


# --- steps that jobs share ------------------------------------------------------------------------------------------


async def draft(world: World, tenant: str = PARTNER) -> str:
    """Make a draft with evidence, under a key; returns its id."""
    made = await world.ask("POST", "/claims", tenant=tenant, key="create", json=claim_as_sent(tenant), expect=(201,))
    claim_id = str(made.json()["id"])
    signed = (await world.clock.now()).date() - timedelta(days=30)
    evidence = f"/claims/{claim_id}/evidence/sow.pdf?signedOn={signed}"
    await world.ask("PUT", evidence, tenant=tenant, content=PDF, expect=(201, 200))
    return claim_id


async def submit(world: World, claim_id: str, tenant: str = PARTNER) -> None:
    """Submit a draft, under a key."""
    await world.ask("POST", f"/claims/{claim_id}/submit", tenant=tenant, key="submit", json=ACKNOWLEDGED)


async def told(world: World) -> str:
    """Bring a claim to where its customer was told; returns its id."""
    claim_id = await draft(world)
    await submit(world, claim_id)
    await world.rest()
    return claim_id


async def only_claim(world: World, tenant: str = PARTNER) -> str:
    """Return the id of the partner's one claim."""
    (claim,) = (await world.ask("GET", "/claims", tenant=tenant)).json()["value"]
    return str(claim["id"])


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
    claim_id = await only_claim(world)
    await world.until(REMINDER_AT)
    await world.rest()
    for act in ("decline", "undo", "decline"):
        await world.press(act, claim_id)
        await world.rest()
    return (await world.ask("GET", f"/claims/{claim_id}")).json()["status"]


REMINDER_AT = "2026-11-06T08:00:00+00:00"
"""09:00 in Paris on the business day before the last of a window that was opened on Monday."""


async def takes_over(world: World) -> object:
    """A second partner's claim for a held item is reviewed, approved and told; at its window's end it takes over."""
    claim_id = await only_claim(world, OTHER_PARTNER)
    await submit(world, claim_id, OTHER_PARTNER)
    for act in ("start", "approve"):
        await world.ask("POST", f"/reviews/{claim_id}/{act}", key=act, **REVIEWER)
    await world.rest()
    await world.until((await window(world, claim_id, OTHER_PARTNER))["endsAt"])
    await world.rest()
    return (await world.ask("GET", f"/reviews/{claim_id}", **REVIEWER)).json()["claim"]["status"]


async def somebody_holds_the_item(world: World) -> None:
    """An official association of one partner, and the draft of another for the same item."""
    claim_id = await told(world)
    await world.until((await window(world, claim_id))["endsAt"])
    await world.rest()
    await draft(world, OTHER_PARTNER)


async def is_deleted(world: World) -> object:
    """A draft with evidence is deleted, and every trace of it."""
    claim_id = await only_claim(world)
    await world.ask("DELETE", f"/claims/{claim_id}", expect=(204, 404))
    await world.rest()
    return (await world.ask("GET", f"/claims/{claim_id}", expect=(404,))).status_code


async def is_entered(world: World) -> object:
    """The operator enters an association of the past; the customer's registered address is told."""
    await world.ask(
        "POST", "/associations/import", content=PAST, headers={"Content-Type": "application/x-ndjson"}, **OPERATOR
    )
    await world.rest()
    return (await world.ask("GET", "/associations")).json()


async def somebody_is_to_be_told(world: World) -> None:
    """A customer with an address for notices."""
    await world.service.register(noticeAddresses=["it@contoso.fr"])


PAST = (
    f'{{"engagement": "osu-bizapps", "partnerId": "{PARTNER_ID}", "tenantId": "{CUSTOMER}", '
    f'"item": "{SUBSCRIPTION}", "since": "2024-03-01"}}\n'
)

JOBS = (
    Job("becomes official", becomes_official, in_full=True),
    Job("is declined", is_declined, prepare=told),
    Job("takes over", takes_over, prepare=somebody_holds_the_item),
    Job("is deleted", is_deleted, prepare=draft),
    Job("is entered", is_entered, prepare=somebody_is_to_be_told),
)
