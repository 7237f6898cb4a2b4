"""
All acts that anybody can do to a tenant: operations, functions of queues, timers.

A new operation is included automatically. Its address is filled in for each claim of the scene. Its body is the example
in the API's description. Its caller has the first role that it admits. This file has only the values that an example
cannot know.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cpor_app.adapters.storage.tables.due_work import _shard
from cpor_app.http.route_table import Operation, operations
from cpor_core.model.caller import Role
from devhost.host.functions import QueueTrigger, TimerTrigger
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.faults.scenes import CLOSED, NOTICE_ADDRESS, OTHER_SUBSCRIPTION, OWN, Built, subscriptions
from tests.support.memory_service import MemoryService
from tests.support.service import (
    CUSTOMER,
    DELIVERED,
    OTHER_PARTNER,
    PARTNER,
    PARTNER_ID,
    PDF,
    SUBSCRIPTION,
    claim_as_sent,
    functions,
)
from tools.openapi.examples import example

TIMER, QUEUE, PARTNERS, REVIEWER, OPERATOR, CUSTOMERS = "timer", "queue", "partner", "reviewer", "operator", "customer"
KINDS = (TIMER, QUEUE, PARTNERS, REVIEWER, OPERATOR, CUSTOMERS)
CALLERS: Mapping[Role, tuple[str, str | None]] = {
    Role.INCENTIVES_ADMIN: (PARTNERS, None),
    Role.PROGRAM_REVIEWER: (REVIEWER, PROGRAMME_TENANT),
    Role.PROGRAM_OPERATOR: (OPERATOR, PROGRAMME_TENANT),
    Role.CUSTOMER_ADMIN: (CUSTOMERS, CUSTOMER),
}
"""Kind and tenant of a caller with a role, in the order in which a role is chosen. None: the tenant of the claim."""
OF_A_CLAIM = ("claimId", "associationId", "requestId")
ADDRESSES = {
    "tenantId": CUSTOMER,
    "partnerId": PARTNER_ID,
    "fileName": "sow.pdf",
    "calendar": "FR",
    "date": CLOSED,
}
LEFT_ALONE = {
    "tell nobody's affairs": {
        "get_health",
        "get_openapi",
        "get_docs",
        "get_docs_file",
        "list_engagements",
        "get_engagement",
    },
    "are of one organisation and no tenant": {
        "get_claim_batch",
        "list_claim_batches",
        "list_webhooks",
        "get_webhook",
        "put_webhook",
        "delete_webhook",
        "test_webhook",
        "rotate_webhook_secret",
        "replay_changes",
        "list_deliveries",
    },
    "looks only at the poison queues and at the list of reviews": {"recount_insight"},
    "are the sandbox's clock, which does not move here": {"get_clock", "move_clock"},
    "follow erasures, which have a story of their own": {"get_erasure", "list_erasures"},
    "follow one large export, which has a story of its own": {"get_claim_export", "get_claim_export_file"},
    "keep a failed message as it is": {
        "record_failed_customer_notice",
        "record_failed_partner_notice",
        "record_failed_claim_batch",
        "record_failed_mail_event",
        "list_failed_messages",
        "redrive_failed_messages",
    },
}
"""Functions that neither touch a customer's tenant nor read it, by the reason."""
ITEM = {"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}
FIGURES = json.dumps({"month": "2026-11", "item": SUBSCRIPTION, "activeUsers": 30, "availableSeats": 50}) + "\n"
PAST = {"engagement": "osu-bizapps", "partnerId": PARTNER_ID, "tenantId": CUSTOMER, "since": "2024-03-01"}
BODIES: Mapping[str, Any] = {
    "create_claim": claim_as_sent(items=[{**ITEM, "subscriptionId": OTHER_SUBSCRIPTION}]),
    "create_claim_batch": json.dumps(claim_as_sent(name="Of a batch")) + "\n",
    "import_associations": json.dumps({**PAST, "item": SUBSCRIPTION}) + "\n",
    "load_usage": FIGURES,
    "strike_items": {"items": [ITEM], "comment": "The evidence is about the other one."},
    "put_partner": {**example("put_partner", "application/json"), "entraTenantId": PARTNER},
    "put_customer": {
        **example("put_customer", "application/json"),
        "noticeAddresses": [NOTICE_ADDRESS],
        "subscriptions": subscriptions(state="disabled"),
    },
}
QUERIES = {
    "load_usage": f"?tenantId={CUSTOMER}&format=jsonl",
    "put_evidence": "?signedOn=2026-10-01",
    "get_insight": "?groupBy=status",
}


@dataclass(frozen=True)
class Doing:
    """One whole act. *of* names its claim."""

    name: str
    kind: str
    of: str | None
    do: Callable[[], Awaitable[Any]]
    """Returns what the caller is answered: status and body; None for a function that nobody calls."""
    is_read: bool = False

    def __str__(self) -> str:
        return f"{self.name}({self.of or ''})"


def everything(made: MemoryService, scene: Built) -> Iterator[Doing]:
    """Yield all acts that can be tried in a scene, for each of its claims."""
    left_alone = {name for names in LEFT_ALONE.values() for name in names}
    for line in operations():
        if line.name not in left_alone:
            yield from _operation(made, scene, line)
    for function in functions():
        if function.name not in left_alone and isinstance(function.trigger, TimerTrigger | QueueTrigger):
            yield from _background(made, scene, function.name)


# --- operations -------------------------------------------------------------------------------------------------------


def _operation(made: MemoryService, scene: Built, line: Operation) -> Iterator[Doing]:
    about_a_claim = any(f"{{{part}}}" in line.route for part in OF_A_CLAIM)
    for party in scene.claims if about_a_claim else (None,):
        kind, role, tenant = _caller(line, party)
        claim = scene.claims[party or OWN]
        path = "/" + line.route.format(**dict.fromkeys(OF_A_CLAIM, claim), **ADDRESSES)
        sent = _sent(made, line, claim)

        async def do(path: str = path, sent: Mapping[str, Any] = sent, who: Any = (role, tenant)) -> Any:
            answer = await made.service.request(line.method, path, role=who[0], tenant=who[1], **sent)
            json_like = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status_code, answer.json() if json_like and answer.content else answer.text

        yield Doing(line.name, kind, party, do, is_read=line.method == "GET")


def _caller(line: Operation, party: str | None) -> tuple[str, str | None, str]:
    own = PARTNER if party in (OWN, None) else OTHER_PARTNER
    if line.roles is None:
        return CUSTOMERS, None, own
    role = next(role for role in CALLERS if not line.roles or role in line.roles)
    kind, tenant = CALLERS[role]
    return kind, role.value, tenant or own


def _sent(made: MemoryService, line: Operation, claim: str) -> dict[str, Any]:
    """Return headers and body of a request."""
    headers = {"If-Match": "*"} if line.if_match == "required" else {}
    query = QUERIES.get(line.name, "")
    sent: dict[str, Any] = {"headers": headers, **({"params": query.lstrip("?")} if query else {})}
    if line.keyed:
        headers["Idempotency-Key"] = f"{line.name}-{claim}"
    if line.roles is None:
        return {**sent, **_by_link(made, line, claim)}
    if line.name == "put_evidence":
        return {**sent, "content": PDF + b"%% another", "headers": {**headers, "Content-Type": "application/pdf"}}
    if line.name == "take_mail_events":
        return {**sent, "json": bounce(made)}
    body = BODIES.get(line.name, example(line.name, line.body_types[0]) if line.body_types else None)
    if isinstance(body, str):
        headers["Content-Type"] = "application/x-ndjson"
        return {**sent, "content": body}
    return {**sent, "json": body} if line.body_types else sent


def _by_link(made: MemoryService, line: Operation, claim: str) -> dict[str, Any]:
    """Return the fields that the page behind the first recipient's link sends."""
    links, act = made.service.services.links, line.route.rpartition("/")[2]
    token = links.token(claim, 1)
    if line.method == "GET":
        return {"params": {"t": token}, "headers": {"Accept": "application/json"}}
    nonce = links.nonce(token, act, made.clock.real())
    return {"data": {"t": token, "nonce": nonce}, "headers": {"Accept": "application/json"}}


def bounce(made: MemoryService) -> dict[str, str]:
    """Return the report that the newest mail to a customer bounced."""
    mail = made.mailbox.sent[-1] if made.mailbox.sent else None
    return {
        "messageId": mail.message_id if mail else "nobody@cpor.example",
        "recipient": mail.to_address if mail else "nobody@contoso.fr",
        "event": "bounced",
        "at": f"{made.clock.real():%Y-%m-%dT%H:%M:%SZ}",
    }


# --- functions without a caller ---------------------------------------------------------------------------------------


def _background(made: MemoryService, scene: Built, name: str) -> Iterator[Doing]:
    if name == "record_mail_event":
        yield _running(made, name, None, json.dumps(bounce(made)))
        return
    queue = {name: queue for queue, name in DELIVERED}.get(name)
    if queue is None:
        timer = json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None})
        yield _running(made, name, None, timer, TIMER)
        return
    if name == "process_due_page":
        shard = int(_shard(next(iter(scene.claims.values()), "")))
        yield _running(made, name, None, json.dumps({"shard": shard, "first": "0", "last": "9"}))
        return
    waiting = [message.text for message in scene.kept.stored.messages.values() if message.queue == queue]
    texts = dict.fromkeys(waiting)
    if name != "process_claim_batch":  # a message can arrive again
        texts |= {json.dumps({"claimId": claim}): party for party, claim in scene.claims.items()}
    for text, party in texts.items():
        yield _running(made, name, party, text)


def _running(made: MemoryService, name: str, of: str | None, given: str, kind: str = QUEUE) -> Doing:
    async def do() -> None:
        await made.service.run(name, given)

    return Doing(name, kind, of, do)
