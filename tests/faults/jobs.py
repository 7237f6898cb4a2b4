"""
The jobs that are stopped at every request.

A job is a function of a `FaultRig`: the acts of its users, and the time between them. A new job needs one line in
`JOBS`. Its preparation has no fault. Its return value is what its users saw, and is compared with the rest of the end.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from cpor_core.use_cases.claims import csv_export
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.faults.fault_rig import FaultRig
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    PARTNER,
    PARTNER_ID,
    PDF,
    PUBLIC_URL,
    SUBSCRIPTION,
    claim_as_sent,
)

OPERATOR: dict[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
REVIEWER: dict[str, Any] = {"role": "Program.Reviewer", "tenant": PROGRAMME_TENANT}
FIGURES = f'{{"month": "2026-11", "item": "{SUBSCRIPTION}", "activeUsers": 30, "availableSeats": 50}}\n'


async def nothing(rig: FaultRig) -> None:
    """Begin with empty storage."""


@dataclass(frozen=True)
class Job:
    """A job and its preparation."""

    name: str
    run: Callable[[FaultRig], Awaitable[object]]
    prepare: Callable[[FaultRig], Awaitable[object]] = nothing
    without_key: bool = False
    """Its users send no key, so they cannot repeat a request: only what the SDK mends leads to the same end."""


# --- steps that jobs share ------------------------------------------------------------------------------------------


async def draft(rig: FaultRig, tenant: str = PARTNER) -> str:
    """Create a draft with evidence under a key, and return its id."""
    made = await rig.ask("POST", "/claims", tenant=tenant, key="create", json=claim_as_sent(tenant), expect=201)
    claim_id = str(made.json()["id"])
    signed = (await rig.clock.now()).date() - timedelta(days=30)
    evidence = f"/claims/{claim_id}/evidence/sow.pdf?signedOn={signed}"
    await rig.ask("PUT", evidence, tenant=tenant, content=PDF, expect=201, if_repeated=200)
    return claim_id


async def submit(rig: FaultRig, claim_id: str, tenant: str = PARTNER) -> None:
    """Submit a draft, under a key."""
    await rig.ask("POST", f"/claims/{claim_id}/submit", tenant=tenant, key="submit", json=ACKNOWLEDGED)


async def notified(rig: FaultRig) -> str:
    """Bring a claim to the state in which its customer was notified, and return its id."""
    claim_id = await draft(rig)
    await submit(rig, claim_id)
    await rig.rest()
    return claim_id


async def only_claim(rig: FaultRig, tenant: str = PARTNER) -> str:
    """Return the id of the partner's one claim."""
    (claim,) = (await rig.ask("GET", "/claims", tenant=tenant)).json()["value"]
    return str(claim["id"])


async def window(rig: FaultRig, claim_id: str, tenant: str = PARTNER) -> dict[str, str]:
    """Return the customer's window."""
    claim = (await rig.ask("GET", f"/claims/{claim_id}", tenant=tenant)).json()
    assert claim["window"] is not None, claim["status"]
    found: dict[str, str] = claim["window"]
    return found


async def is_official(rig: FaultRig) -> None:
    """Prepare an official association that is stored."""
    claim_id = await notified(rig)
    await rig.until((await window(rig, claim_id))["endsAt"])
    await rig.rest()


# --- the jobs -------------------------------------------------------------------------------------------------------


async def becomes_official(rig: FaultRig) -> object:
    """The job has draft, evidence, submission, notice, end of the window, confirmation, and figures in and out."""
    claim_id = await notified(rig)
    await rig.until((await window(rig, claim_id))["endsAt"])
    await rig.rest()
    feed = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    await rig.ask("POST", feed, content=FIGURES, headers={"Content-Type": "application/x-ndjson"}, **OPERATOR)
    return (await rig.ask("GET", f"/associations/{claim_id}/usage")).json()


async def is_declined(rig: FaultRig) -> object:
    """The customer is reminded, says no, undoes it and says no again. Each no is confirmed."""
    claim_id = await only_claim(rig)
    await rig.until(REMINDER_AT)
    await rig.rest()
    for act in ("decline", "undo", "decline"):
        await rig.press(act, claim_id)
        await rig.rest()
    return (await rig.ask("GET", f"/claims/{claim_id}")).json()["status"]


REMINDER_AT = "2026-11-06T08:00:00+00:00"
"""09:00 in Paris on the business day before the last of a window that was opened on Monday."""


async def takes_over(rig: FaultRig) -> object:
    """
    A second partner's claim for a held item is reviewed and approved, and its customer is notified.

    It takes over at its window's end.
    """
    claim_id = await only_claim(rig, OTHER_PARTNER)
    await submit(rig, claim_id, OTHER_PARTNER)
    for act in ("start", "approve"):
        await rig.ask("POST", f"/reviews/{claim_id}/{act}", key=act, **REVIEWER)
    await rig.rest()
    await rig.until((await window(rig, claim_id, OTHER_PARTNER))["endsAt"])
    await rig.rest()
    return (await rig.ask("GET", f"/reviews/{claim_id}", **REVIEWER)).json()["claim"]["status"]


async def somebody_holds_the_item(rig: FaultRig) -> None:
    """Prepare an official association of one partner, and the draft of another for the same item."""
    await is_official(rig)
    await draft(rig, OTHER_PARTNER)


async def is_deleted(rig: FaultRig) -> object:
    """A draft with evidence is deleted without a trace."""
    claim_id = await only_claim(rig)
    await rig.ask("DELETE", f"/claims/{claim_id}", expect=204, if_repeated=404)
    await rig.rest()
    return (await rig.ask("GET", f"/claims/{claim_id}", expect=404)).status_code


async def is_entered(rig: FaultRig) -> object:
    """The operator imports a past association, and the customer's registered address is notified."""
    await rig.ask(
        "POST", "/associations/import", content=PAST, headers={"Content-Type": "application/x-ndjson"}, **OPERATOR
    )
    await rig.rest()
    return (await rig.ask("GET", "/associations")).json()


async def customer_has_a_notice_address(rig: FaultRig) -> None:
    """Prepare a customer with an address for notices."""
    await rig.service.register(noticeAddresses=["it@contoso.fr"])


async def is_made_without_a_key(rig: FaultRig) -> object:
    """A caller without idempotency keys creates a draft, two comments and two files."""
    claim_id = (await rig.ask("POST", "/claims", json=claim_as_sent(), expect=201)).json()["id"]
    path = f"/claims/{claim_id}"
    for text in ("One word", "Another"):
        await rig.ask("POST", f"{path}/comments", json={"text": text}, expect=201)
    for name in ("one.pdf", "two.pdf"):
        await rig.ask("PUT", f"{path}/evidence/{name}", content=PDF, expect=201)
    await rig.ask("DELETE", f"{path}/evidence/one.pdf", expect=204)
    await rig.ask("PATCH", path, json={"name": "Another name"}, headers={"If-Match": "*"})
    comments = (await rig.ask("GET", f"{path}/comments")).json()["value"]
    return [comment["text"] for comment in comments]


async def loses_its_item(rig: FaultRig) -> object:
    """The operator removes the subscription: the association ends, and the customer is notified."""
    path = f"/customers/{CUSTOMER}"
    customer = (await rig.ask("GET", path, **OPERATOR)).json()
    customer["subscriptions"][0]["state"] = "disabled"
    await rig.ask("PUT", path, json=customer, **OPERATOR)
    await rig.pass_minutes(12)
    await rig.rest()
    return (await rig.ask("GET", path, **OPERATOR)).json()


async def finds_another_contact(rig: FaultRig) -> object:
    """No recipient can be reached. The partner names another contact, who is notified."""
    claim_id = await only_claim(rig)
    rig.mailbox.refused = {"anne.durand@contoso.fr"}
    await submit(rig, claim_id)
    await rig.rest()
    path = f"/claims/{claim_id}"
    contacts = (await rig.ask("GET", path)).json()["contacts"]
    contacts["customer"]["email"] = "marc.petit@contoso.fr"
    await rig.ask("PATCH", path, json={"contacts": contacts}, headers={"If-Match": "*"})
    await rig.ask("POST", f"{path}/resubmit", key="resubmit", json={})
    await rig.rest()
    return (await window(rig, claim_id))["lastDay"]


async def is_renamed(rig: FaultRig) -> object:
    """A draft gets another name, and then another. A search finds it by its newest words only."""
    claim_id = await only_claim(rig)
    for name in ("Zebra crossing", "Zebra finch"):
        await rig.ask("PATCH", f"/claims/{claim_id}", json={"name": name}, headers={"If-Match": "*"})
    await rig.pass_minutes(3)
    await rig.rest()
    answers = [await rig.ask("GET", f"/claims?q={q}") for q in ("zebra finch", "crossing", "adoption")]
    return [[claim["id"] for claim in answer.json()["value"]] for answer in answers]


async def is_sent_in_bulk(rig: FaultRig) -> object:
    """Three claims are sent as a batch, one of them bad. The outcomes are read, and the feed gets its entries."""
    bad = {**claim_as_sent(), "partnerId": "none"}
    rows = "".join(json.dumps(one) + "\n" for one in (claim_as_sent(), bad, claim_as_sent(name="Another")))
    headers = {"Content-Type": "application/x-ndjson"}
    sent = await rig.ask("POST", "/claim-batches", key="batch", content=rows, headers=headers, expect=202)
    await rig.rest()
    done = (await rig.ask("GET", f"/claim-batches/{sent.json()['id']}")).json()
    changes = (await rig.ask("GET", "/changes")).json()["value"]
    return [done, sorted((change["type"], change["claimId"]) for change in changes)]


async def is_exported(rig: FaultRig) -> object:
    """Two claims are exported in two pages, and the file is fetched. After a day the export is deleted."""
    with patch.multiple(csv_export, MOST_AT_ONCE=1, PAGE_KEYS=1):
        asked = await rig.ask("GET", "/claims/export", expect=202)
        address = asked.headers["Operation-Location"].removeprefix(PUBLIC_URL)
        await rig.rest()
        done = (await rig.ask("GET", address)).json()
        file = (await rig.ask("GET", done["link"].removeprefix(PUBLIC_URL))).text
        await rig.pass_minutes(24 * 60 + 1)
    return [done["status"], done["done"], done["total"], [line.partition(",")[2] for line in file.splitlines()]]


async def two_drafts(rig: FaultRig) -> None:
    """Two drafts of a partner."""
    for key in ("one", "two"):
        await rig.ask("POST", "/claims", key=key, json=claim_as_sent(name=key), expect=201)


async def is_erased(rig: FaultRig) -> object:
    """The contact of a claim whose customer was notified is erased: the claim goes back to its partner."""
    asked = await rig.ask(
        "POST", "/operations/erasures", key="erase", json={"email": "anne.durand@contoso.fr"}, expect=202, **OPERATOR
    )
    for _ in range(4):
        await rig.pass_minutes(12)
        await rig.rest()
    seen = (await rig.ask("GET", f"/operations/erasures/{asked.json()['id']}", **OPERATOR)).json()
    (claim,) = (await rig.ask("GET", "/claims")).json()["value"]
    # A request that is sent again can begin a second erasure. It finds nothing if the first one was earlier.
    erasures = (await rig.ask("GET", "/operations/erasures", **OPERATOR)).json()["value"]
    kinds = sorted({kind for one in erasures for kind, count in one["found"].items() if count})
    return [seen["status"], kinds, claim["contacts"], claim["status"]]


PAST = (
    f'{{"engagement": "osu-bizapps", "partnerId": "{PARTNER_ID}", "tenantId": "{CUSTOMER}", '
    f'"item": "{SUBSCRIPTION}", "since": "2024-03-01"}}\n'
)

JOBS = (
    Job("becomes official", becomes_official),
    Job("is declined", is_declined, prepare=notified),
    Job("takes over", takes_over, prepare=somebody_holds_the_item),
    Job("is deleted", is_deleted, prepare=draft),
    Job("is entered", is_entered, prepare=customer_has_a_notice_address),
    Job("loses its item", loses_its_item, prepare=is_official),
    Job("finds another contact", finds_another_contact, prepare=draft),
    Job("is renamed", is_renamed, prepare=draft),
    Job("is sent in bulk", is_sent_in_bulk),
    Job("is exported", is_exported, prepare=two_drafts),
    Job("is erased", is_erased, prepare=notified),
    Job("is made without a key", is_made_without_a_key, without_key=True),
)
