"""
The jobs that are stopped at every request.

A job is a function of a `World`: what its users do, and how long they wait. It joins with one line in `JOBS`. Its
preparation is not disturbed. What it returns is what its users saw, and is compared with the rest of the end.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devhost.stack.issuer import PROGRAMME_TENANT
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
    """The main job: disturbed at every request, not only where a run says more than the others do."""
    without_key: bool = False
    """Its users send no key, so they cannot repeat a request: only what the SDK mends leads to the same end."""


# --- steps that jobs share ------------------------------------------------------------------------------------------


async def draft(world: World, tenant: str = PARTNER) -> str:
    """Make a draft with evidence, under a key; returns its id."""
    made = await world.ask("POST", "/claims", tenant=tenant, key="create", json=claim_as_sent(tenant), expect=201)
    claim_id = str(made.json()["id"])
    signed = (await world.clock.now()).date() - timedelta(days=30)
    evidence = f"/claims/{claim_id}/evidence/sow.pdf?signedOn={signed}"
    await world.ask("PUT", evidence, tenant=tenant, content=PDF, expect=201, if_repeated=200)
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


async def is_official(world: World) -> None:
    """An official association, written down."""
    claim_id = await told(world)
    await world.until((await window(world, claim_id))["endsAt"])
    await world.rest()


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
    await is_official(world)
    await draft(world, OTHER_PARTNER)


async def is_deleted(world: World) -> object:
    """A draft with evidence is deleted, and every trace of it."""
    claim_id = await only_claim(world)
    await world.ask("DELETE", f"/claims/{claim_id}", expect=204, if_repeated=404)
    await world.rest()
    return (await world.ask("GET", f"/claims/{claim_id}", expect=404)).status_code


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


async def is_made_without_a_key(world: World) -> object:
    """A draft, two words and two files of somebody who sends no idempotency key."""
    claim_id = (await world.ask("POST", "/claims", json=claim_as_sent(), expect=201)).json()["id"]
    path = f"/claims/{claim_id}"
    for text in ("One word", "Another"):
        await world.ask("POST", f"{path}/comments", json={"text": text}, expect=201)
    for name in ("one.pdf", "two.pdf"):
        await world.ask("PUT", f"{path}/evidence/{name}", content=PDF, expect=201)
    await world.ask("DELETE", f"{path}/evidence/one.pdf", expect=204)
    await world.ask("PATCH", path, json={"name": "Another name"}, headers={"If-Match": "*"})
    comments = (await world.ask("GET", f"{path}/comments")).json()["value"]
    return [comment["text"] for comment in comments]


async def loses_its_item(world: World) -> object:
    """The operator says that the subscription is gone: the association ends, and the customer is told."""
    path = f"/customers/{CUSTOMER}"
    customer = (await world.ask("GET", path, **OPERATOR)).json()
    customer["subscriptions"][0]["state"] = "disabled"
    await world.ask("PUT", path, json=customer, **OPERATOR)
    await world.pass_minutes(12)
    await world.rest()
    return (await world.ask("GET", path, **OPERATOR)).json()


async def finds_another_contact(world: World) -> object:
    """Nobody can be reached; the partner names somebody else, who is told."""
    claim_id = await only_claim(world)
    world.mailbox.refused = {"anne.durand@contoso.fr"}
    await submit(world, claim_id)
    await world.rest()
    path = f"/claims/{claim_id}"
    contacts = (await world.ask("GET", path)).json()["contacts"]
    contacts["customer"]["email"] = "marc.petit@contoso.fr"
    await world.ask("PATCH", path, json={"contacts": contacts}, headers={"If-Match": "*"})
    await world.ask("POST", f"{path}/resubmit", key="resubmit", json={})
    await world.rest()
    return (await window(world, claim_id))["lastDay"]


async def is_sent_in_bulk(world: World) -> object:
    """Three claims are sent as a batch, one of them bad; what became of them is read, and told to the feed."""
    bad = {**claim_as_sent(), "partnerId": "none"}
    rows = "".join(json.dumps(one) + "\n" for one in (claim_as_sent(), bad, claim_as_sent(name="Another")))
    headers = {"Content-Type": "application/x-ndjson"}
    sent = await world.ask("POST", "/claim-batches", key="batch", content=rows, headers=headers, expect=202)
    await world.rest()
    done = (await world.ask("GET", f"/claim-batches/{sent.json()['id']}")).json()
    changes = (await world.ask("GET", "/changes")).json()["value"]
    return [done, sorted((change["type"], change["claimId"]) for change in changes)]


async def is_erased(world: World) -> object:
    """The contact of a claim whose customer was told is erased: the claim goes back to its partner."""
    asked = await world.ask(
        "POST", "/operations/erasures", key="erase", json={"email": "anne.durand@contoso.fr"}, expect=202, **OPERATOR
    )
    for _ in range(4):
        await world.pass_minutes(12)
        await world.rest()
    seen = (await world.ask("GET", f"/operations/erasures/{asked.json()['id']}", **OPERATOR)).json()
    (claim,) = (await world.ask("GET", "/claims")).json()["value"]
    return [seen["status"], seen["found"], claim["contacts"], claim["status"]]


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
    Job("loses its item", loses_its_item, prepare=is_official),
    Job("finds another contact", finds_another_contact, prepare=draft),
    Job("is sent in bulk", is_sent_in_bulk),
    Job("is erased", is_erased, prepare=told),
    Job("is made without a key", is_made_without_a_key, without_key=True),
)
