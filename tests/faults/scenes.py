"""
Situations in which several claims of one tenant have the same items and everybody can act.

The service builds each from requests of its users. It is then restored for every pair of acts.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.support.memory_service import Kept, MemoryService
from tests.support.service import OTHER_PARTNER, PARTNER, SUBSCRIPTION, claim_as_sent

OTHER_SUBSCRIPTION = "cccccccc-0000-4000-8000-000000000002"
NOTICE_ADDRESS = "it@contoso.fr"
CLOSED = "2026-11-05"
"""A day on which nobody works in France this year, in the first week of the tests."""
OWN, OTHER = "own", "other"
Claims = Mapping[str, str]
"""Claim ids, by their owner: `OWN` or `OTHER`."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A situation and the way to build it."""

    name: str
    build: Callable[[MemoryService], Awaitable[Claims]]


@dataclass(frozen=True, slots=True)
class Built:
    """A situation that was built."""

    name: str
    claims: Claims
    kept: Kept


async def register(made: MemoryService) -> None:
    """Register both partners, a customer with two subscriptions and an address for notices, and a closed day."""
    await made.service.register(noticeAddresses=[NOTICE_ADDRESS], subscriptions=subscriptions())
    closed = await made.service.programme("PUT", f"/closed-days/FR/{CLOSED}", json={"name": "Jour de deuil"})
    assert closed.status_code == 201, closed.text


def subscriptions(**changes: Any) -> list[dict[str, Any]]:
    """Return the customer's subscriptions. *changes* apply to the first one."""
    first = {"product": "dynamics-365-sales", "channel": "EA", "state": "active", "seats": 50}
    return [
        {"subscriptionId": SUBSCRIPTION, **first, **changes},
        {"subscriptionId": OTHER_SUBSCRIPTION, **first},
    ]


async def build(made: MemoryService, scene: Scene) -> Built:
    """Build a situation. Its messages stay waiting, and the timer runs for three minutes."""
    await register(made)
    claims = await scene.build(made)
    made.clock.advance(timedelta(minutes=3))
    return Built(scene.name, claims, made.keep())


# --- steps ------------------------------------------------------------------------------------------------------------


async def draft(made: MemoryService, tenant: str, *, reviewed: bool = False) -> str:
    """Create a draft for both subscriptions, or one that a person must review, and return its id."""
    claim = await made.service.draft(tenant=tenant, **_sent(tenant, reviewed=reviewed))
    return str(claim["id"])


def _sent(tenant: str, *, reviewed: bool) -> dict[str, Any]:
    items = [{"product": "dynamics-365-sales", "subscriptionId": one} for one in (SUBSCRIPTION, OTHER_SUBSCRIPTION)]
    if reviewed:
        return claim_as_sent(tenant, engagement="mci-bizapps-presales-advisor", items=items)
    return claim_as_sent(tenant, items=items)


async def submit(made: MemoryService, claim: str, tenant: str) -> None:
    """Submit a draft."""
    sent = {"acknowledgements": {"accurate": True, "customerAware": True}}
    answer = await made.service.request("POST", f"/claims/{claim}/submit", tenant=tenant, json=sent)
    assert answer.status_code == 200, answer.text


async def submitted(made: MemoryService, tenant: str, *, reviewed: bool = False) -> str:
    """Create and submit a claim."""
    claim = await draft(made, tenant, reviewed=reviewed)
    await submit(made, claim, tenant)
    return claim


async def review(made: MemoryService, claim: str, act: str, **sent: Any) -> None:
    """Act as a reviewer."""
    answer = await made.service.review("POST", f"/reviews/{claim}/{act}", json=sent)
    assert answer.status_code == 200, answer.text


async def notified(made: MemoryService, tenant: str) -> str:
    """Bring a claim to the state in which its customer was notified, after the review that it needs."""
    claim = await submitted(made, tenant)
    if (await shown(made, claim, tenant))["status"] == "submitted":
        await review(made, claim, "start")
        await review(made, claim, "approve")
    await made.service.deliver()
    assert (await shown(made, claim, tenant))["window"] is not None
    return claim


async def shown(made: MemoryService, claim: str, tenant: str) -> Any:
    """Return the claim that its partner sees."""
    return (await made.service.request("GET", f"/claims/{claim}", tenant=tenant)).json()


async def window_ended(made: MemoryService, claim: str, tenant: str) -> None:
    """Let two minutes pass after the customer's window, and store nothing."""
    ends_at = datetime.fromisoformat((await shown(made, claim, tenant))["window"]["endsAt"])
    made.clock.set(ends_at + timedelta(minutes=2))


async def official(made: MemoryService, tenant: str) -> str:
    """Bring a claim to official, stored and confirmed."""
    claim = await notified(made, tenant)
    await window_ended(made, claim, tenant)
    await made.service.sweep()
    await made.service.deliver()
    return claim


# --- the scenes -------------------------------------------------------------------------------------------------------


async def _drafts(made: MemoryService) -> Claims:
    return {OWN: await draft(made, PARTNER), OTHER: await draft(made, OTHER_PARTNER)}


async def _to_be_notified(made: MemoryService) -> Claims:
    return {OWN: await submitted(made, PARTNER), OTHER: await draft(made, OTHER_PARTNER)}


async def _notified(made: MemoryService) -> Claims:
    return {OWN: await notified(made, PARTNER), OTHER: await submitted(made, OTHER_PARTNER)}


async def _window_ended(made: MemoryService) -> Claims:
    claims = await _notified(made)
    await window_ended(made, claims[OWN], PARTNER)
    return claims


async def _official(made: MemoryService) -> Claims:
    own = await official(made, PARTNER)
    return {OWN: own, OTHER: await submitted(made, OTHER_PARTNER)}


async def _rival_under_review(made: MemoryService) -> Claims:
    claims = await _official(made)
    await review(made, claims[OTHER], "start")
    return claims


async def _taken_over(made: MemoryService) -> Claims:
    other = await official(made, OTHER_PARTNER)
    own = await notified(made, PARTNER)
    await window_ended(made, own, PARTNER)
    return {OWN: own, OTHER: other}


async def _under_review(made: MemoryService) -> Claims:
    claims = {tenant: await submitted(made, tenant, reviewed=True) for tenant in (PARTNER, OTHER_PARTNER)}
    for claim in claims.values():
        await review(made, claim, "start")
    return {OWN: claims[PARTNER], OTHER: claims[OTHER_PARTNER]}


async def _asked_for_more(made: MemoryService) -> Claims:
    claims = await _under_review(made)
    await review(made, claims[OWN], "request-information", reasons=["evidenceMissing"], comment="Which work?")
    return claims


async def _rejected(made: MemoryService) -> Claims:
    claims = await _under_review(made)
    await review(made, claims[OTHER], "approve")
    return claims


async def _disputed(made: MemoryService) -> Claims:
    claims = await _under_review(made)
    await review(made, claims[OWN], "reject", reason="insufficientEvidence", comment="Too old.")
    words = {"justification": "It is of this year."}
    answer = await made.service.request("POST", f"/claims/{claims[OWN]}/dispute", json=words)
    assert answer.status_code == 200, answer.text
    return claims


async def _declined(made: MemoryService) -> Claims:
    claims = await _notified(made)
    links = made.service.services.links
    token = links.token(claims[OWN], 1)
    form = {"t": token, "nonce": links.nonce(token, "decline", made.clock.real())}
    path = f"/customer/requests/{claims[OWN]}/decline"
    answer = await made.service.request("POST", path, role=None, data=form)
    assert answer.status_code == 303, answer.text
    return claims


async def _unreachable(made: MemoryService) -> Claims:
    own = await submitted(made, PARTNER)
    made.mailbox.refused = {"anne.durand@contoso.fr", NOTICE_ADDRESS}
    await made.service.deliver()
    made.mailbox.refused = set()
    assert (await shown(made, own, PARTNER))["statusReason"] == "customerUnreachable"
    return {OWN: own, OTHER: await draft(made, OTHER_PARTNER)}


async def _batch(made: MemoryService) -> Claims:
    claims = await _notified(made)
    rows = "".join(json.dumps(claim_as_sent(name=name)) + "\n" for name in ("One", "Another"))
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await made.service.request("POST", "/claim-batches", content=rows, headers=headers)
    assert answer.status_code == 202, answer.text
    return claims


async def _to_be_erased(made: MemoryService) -> Claims:
    claims = await _notified(made)
    answer = await made.service.programme("POST", "/operations/erasures", json={"email": "anne.durand@contoso.fr"})
    assert answer.status_code == 202, answer.text
    return claims


SCENES = (
    Scene("two drafts", _drafts),
    Scene("a notice to be sent", _to_be_notified),
    Scene("the customer was notified", _notified),
    Scene("the window has ended", _window_ended),
    Scene("an association and a rival", _official),
    Scene("an association and a rival under review", _rival_under_review),
    Scene("a takeover to be written down", _taken_over),
    Scene("two under review", _under_review),
    Scene("one asked for more", _asked_for_more),
    Scene("one rejected, one approved", _rejected),
    Scene("one disputed", _disputed),
    Scene("one declined", _declined),
    Scene("nobody could be reached", _unreachable),
    Scene("a batch to be made", _batch),
    Scene("somebody to be erased", _to_be_erased),
)
