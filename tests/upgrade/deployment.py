"""
A deployment in which everything has happened: claims in every state, and whatever else is stored.

It is what the kept copies are made of, and what backups are tried on. Time goes on in it as in a story, from one Monday
morning to the Wednesday of the week after.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cpor_app.queue_names import CUSTOMER_NOTICES
from cpor_core.ports.due_work import Failure
from cpor_core.rules.grace import GRACE
from tests.support.service import (
    CUSTOMER,
    OTHER_PARTNER,
    PARTNER_ID,
    SUBSCRIPTION,
    Service,
    claim_as_sent,
)

TUESDAY = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
MONDAYS_WINDOW_ENDS = datetime(2026, 11, 9, 23, 0, tzinfo=UTC)
END = datetime(2026, 11, 11, 6, 0, tzinfo=UTC)
"""Tuesday's window has ended, and no timer has run since."""
LINES = {"Content-Type": "application/x-ndjson"}
NOBODY_LISTENS = "http://127.0.0.1:1/hook"
WORKLOADS: Mapping[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}


NOTICED_WINDOW_RUNS = f"{CUSTOMER[:-2]}11".replace("-", "")
"""What the id of the claim begins with whose customer can decline in the end."""


NOBODY_TOLD_OF = f"/associations/{CUSTOMER[:-2]}16".replace("-", "")
"""What the address of the association begins with that was imported, with nobody who could be told."""


def tenant(number: int) -> str:
    """Return a customer's tenant."""
    return f"{CUSTOMER[:-2]}{number:02d}"


def at(number: int, **changes: Any) -> dict[str, Any]:
    """Return what makes a claim one about that tenant."""
    return {"customer": {"tenantId": tenant(number), "domain": "contoso.fr"}, **changes}


async def everything(service: Service) -> None:
    """Let everything happen; the service's clock stands at `END` then."""
    for number in range(2, 17):
        await _another_customer(service, number)
    await _webhook(service)
    await _monday(service)
    service.clock.set(TUESDAY)
    await service.sweep()
    await service.notified(**at(2))  # official by time alone in the end
    service.clock.set(MONDAYS_WINDOW_ENDS + GRACE)
    await service.sweep()
    await service.deliver()
    await _after_the_window(service)
    service.clock.set(END)


async def _another_customer(service: Service, number: int) -> None:
    customer = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()
    customer["subscriptions"] = [{**customer["subscriptions"][0], "subscriptionId": SUBSCRIPTION}]
    await _done(service.programme("PUT", f"/customers/{tenant(number)}", json=customer))


async def _webhook(service: Service) -> None:
    await _done(service.request("PUT", "/webhooks/main", json={"url": NOBODY_LISTENS}))


async def _monday(service: Service) -> None:
    """What was begun on the first day, and what of it the customer was told."""
    await service.notified()  # official in the end, and challenged
    await service.notified(**at(3))  # ended by its partner
    declined = await service.notified(**at(4))
    refusal: dict[str, Any] = {
        "role": "Customer.Admin",
        "tenant": tenant(4),
        "json": {"reason": "We know nobody of that name. …"},
    }
    await _done(service.request("POST", f"/customers/{tenant(4)}/requests/{declined['id']}/decline", **refusal))
    await service.deliver()


async def _after_the_window(service: Service) -> None:
    official = (await service.request("GET", "/associations")).json()["value"]
    ended = next(one for one in official if one["customer"]["tenantId"] == tenant(3))
    await _done(service.request("POST", f"/associations/{ended['id']}/end", json={"reason": "We leave."}))
    await _figures(service)
    await _reviewed(service)
    await service.submitted(tenant=OTHER_PARTNER)  # competes with the official one
    await service.notified(**at(11))  # its window runs
    await service.draft(**at(12, comment="Ünïcödé, 漢字, and a 🙂"), headers={"Idempotency-Key": "kept"})
    taken_back = await service.submitted(**at(13, **WORKLOADS))
    await _done(service.request("POST", f"/claims/{taken_back['id']}/withdraw", json={}))
    await _done(service.request("POST", "/claims?validate=true", json=claim_as_sent()))
    await _past(service)
    await _batch(service)
    deleted = await service.draft(**at(15))
    await _done(service.request("DELETE", f"/claims/{deleted['id']}"))  # not erased yet
    service.mailbox.down = True
    await service.submitted(**at(14))  # its customer cannot be told for now
    await _failed(service)
    keyed = {"Idempotency-Key": "about-no-claim"}
    await _done(service.request("POST", "/webhooks/main/test", headers=keyed))


async def _figures(service: Service) -> None:
    line = json.dumps({"month": "2026-11", "item": SUBSCRIPTION, "activeUsers": 30, "availableSeats": 50}) + "\n"
    path = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    await _done(service.programme("POST", path, content=line, headers=LINES))
    (held,) = (await service.request("GET", "/associations")).json()["value"][-1:]
    await service.request("GET", f"/associations/{held['id']}/usage")
    await _done(service.request("POST", f"/claims/{held['id']}/comments", json={"text": "Who looks after them?"}))


async def _reviewed(service: Service) -> None:
    """One claim in each state that a reviewer brings about, a tenant each."""
    comment = {"reasons": ["productsMissing"], "comment": "Teams is not in the statement of work."}
    rejection = {"reason": "productsMissing", "comment": "Nothing was done there."}
    dispute = ("dispute", {"justification": "Page 2 says who did it."})
    paths: Mapping[int, tuple[tuple[str, Any], ...]] = {
        5: (),
        6: (("start", {}),),
        7: (("start", {}), ("request-information", comment)),
        8: (("start", {}), ("reject", rejection)),
        9: (("start", {}), ("reject", rejection), dispute),
        10: (("start", {}), ("reject", rejection), dispute, ("reject", rejection)),
    }
    for number, steps in paths.items():
        claim = await service.submitted(**at(number, **WORKLOADS))
        for act, body in steps:
            if act == "dispute":
                await _done(service.request("POST", f"/claims/{claim['id']}/dispute", json=body))
            else:
                await _done(service.review("POST", f"/reviews/{claim['id']}/{act}", json=body))
    await service.deliver()


async def _past(service: Service) -> None:
    line = {
        "engagement": "osu-m365",
        "partnerId": PARTNER_ID,
        "tenantId": tenant(16),
        "item": "teams",
        "since": "2024-03-01",
    }
    await _done(service.programme("POST", "/associations/import", content=json.dumps(line), headers=LINES))


async def _batch(service: Service) -> None:
    """Two batches: one is dealt with, of the other nothing is done yet."""
    for name in ("dealt with", "waiting"):
        rows = [claim_as_sent(name=name, **at(12)), claim_as_sent(name=name, partnerId="none", **at(12))]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        await _done(service.request("POST", "/claim-batches", content=content, headers=LINES))
        if name == "dealt with":
            await service.deliver()


async def _failed(service: Service) -> None:
    held = (await service.request("GET", "/claims")).json()["value"][0]["id"]
    body = json.dumps({"claimId": held})
    await service.services.ports.failures.add(Failure("1", CUSTOMER_NOTICES, body, await service.clock.now()))


async def _done(answering: Any) -> None:
    answer = await answering
    assert answer.is_success, answer.text
