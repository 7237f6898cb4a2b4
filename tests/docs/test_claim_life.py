"""
The table of states and acts says what the service does: every act is tried in every state, over HTTP.

The table is made from the core alone. Here the same is asked from outside, with real storage, as callers would.
"""

from datetime import datetime, timedelta
from typing import Any, get_type_hints

import httpx
import pytest

from cpor_app.http.route_table import operations
from cpor_core.model.claim import CLOSED, Status
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import Owner
from cpor_core.use_cases.claims.drafts import MAY_ADD_EVIDENCE
from tests.core.builders import MONDAY, draft
from tests.support.service import ACKNOWLEDGED, CUSTOMER, OTHER_PARTNER, PDF, Service
from tools.pages import claim_life

WORKLOADS = (
    "exchange",
    "sharepoint",
    "teams",
    "intune",
    "yammer",
    "entra-id-p1",
    "microsoft-365-apps",
    "viva-insights",
)
VISIBLE = claim_life.STATES

SIDES = {"Incentives": Owner.PARTNER, "Program": Owner.PROGRAMME, "Customer": Owner.CUSTOMER}

Calls = dict[tuple[Owner, str], tuple[str, str, Any]]
CALLS: Calls = {
    (Owner.PARTNER, "delete"): ("DELETE", "/claims/{id}", None),
    (Owner.PARTNER, "submit"): ("POST", "/claims/{id}/submit", ACKNOWLEDGED),
    (Owner.PARTNER, "resubmit"): ("POST", "/claims/{id}/resubmit", {}),
    (Owner.PARTNER, "dispute"): ("POST", "/claims/{id}/dispute", {"justification": "Look again."}),
    (Owner.PARTNER, "withdraw"): ("POST", "/claims/{id}/withdraw", {}),
    (Owner.PARTNER, "end"): ("POST", "/associations/{id}/end", {"reason": "We are done."}),
    (Owner.PROGRAMME, "start_review"): ("POST", "/reviews/{id}/start", {}),
    (Owner.PROGRAMME, "release_review"): ("POST", "/reviews/{id}/release", {}),
    (Owner.PROGRAMME, "request_information"): (
        "POST",
        "/reviews/{id}/request-information",
        {"reasons": ["evidenceMissing"], "comment": "More, please."},
    ),
    (Owner.PROGRAMME, "strike_items"): ("POST", "/reviews/{id}/strike-items", {"items": "those of the claim"}),
    (Owner.PROGRAMME, "approve"): ("POST", "/reviews/{id}/approve", {}),
    (Owner.PROGRAMME, "reject"): ("POST", "/reviews/{id}/reject", {"reason": "insufficientEvidence"}),
    (Owner.PROGRAMME, "revoke"): ("POST", "/reviews/{id}/revoke", {"reason": "A fraud."}),
    (Owner.CUSTOMER, "decline"): ("POST", f"/customers/{CUSTOMER}/requests/{{id}}/decline", {}),
    (Owner.CUSTOMER, "undo_decline"): ("POST", f"/customers/{CUSTOMER}/requests/{{id}}/undo", {}),
    (Owner.CUSTOMER, "end"): ("POST", f"/customers/{CUSTOMER}/associations/{{id}}/end", {}),
}


def allowed_in(status: Status) -> set[tuple[Owner, str]]:
    """Return who may do what in a state, as the table has it."""
    return {
        (move.owner, move.act)
        for move in claim_life.moves()
        if move.before is status and move.owner is not Owner.NOBODY
    }


class Claims:
    """Claims in any state, each on a workload of its own, so that none competes with another."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._workloads = iter(WORKLOADS)

    async def act(self, claim: Any, owner: Owner, act: str) -> httpx.Response:
        """Ask for an act as its owner would."""
        method, path, body = CALLS[owner, act]
        if act == "strike_items":
            body = {"items": claim["items"]}
        path = path.format(id=claim["id"])
        if owner is Owner.CUSTOMER:
            return await self._service.request(method, path, json=body, role="Customer.Admin", tenant=CUSTOMER)
        if owner is Owner.PROGRAMME:
            return await self._service.review(method, path, json=body)
        return await self._service.request(method, path, json=body)

    async def made(self, status: Status) -> Any:
        """Return a claim in that state."""
        claim = await self._service.draft(
            engagement="modern-work-security-usage", items=[{"workload": next(self._workloads)}]
        )
        for step in WAYS[status]:
            await self._go(claim, step)
        shown = await self.read(claim)
        assert shown["status"] == status
        return shown

    async def contest(self, claim: Any) -> None:
        """Let another partner claim the same."""
        await self._service.submitted(tenant=OTHER_PARTNER, engagement=claim["engagement"], items=claim["items"])

    async def read(self, claim: Any) -> Any:
        """Return the claim as it stands, None when it is gone."""
        answer = await self._service.request("GET", f"/claims/{claim['id']}")
        return answer.json() if answer.status_code == 200 else None

    async def _go(self, claim: Any, step: tuple[Owner, str] | str) -> None:
        match step:
            case "told":
                await self._service.deliver()
            case "window over":
                ends_at = datetime.fromisoformat((await self.read(claim))["window"]["endsAt"])
                self._service.clock.set(ends_at)
            case "declined by the contact":
                assert (await self._service.press(self._service.link(CONTACT), "decline")).status_code == 303
            case "30 days":
                self._service.clock.advance(timedelta(days=30))
            case (owner, act):
                answer = await self.act(claim, owner, act)
                assert answer.is_success, f"{step}: {answer.text}"
            case _:
                pytest.fail(f"nobody knows how to go: {step}")


SUBMIT, START, APPROVE = (Owner.PARTNER, "submit"), (Owner.PROGRAMME, "start_review"), (Owner.PROGRAMME, "approve")
REJECT = (Owner.PROGRAMME, "reject")
CONTACT = "anne.durand@contoso.fr"
WAYS: dict[Status, tuple[tuple[Owner, str] | str, ...]] = {
    Status.DRAFT: (),
    Status.SUBMITTED: (SUBMIT,),
    Status.UNDER_REVIEW: (SUBMIT, START),
    Status.PARTNER_ACTION_REQUIRED: (SUBMIT, START, (Owner.PROGRAMME, "request_information")),
    Status.AWAITING_CUSTOMER: (SUBMIT, START, APPROVE, "told"),
    Status.DECLINED: (SUBMIT, START, APPROVE, "told", "declined by the contact"),
    Status.REJECTED: (SUBMIT, START, REJECT),
    Status.DISPUTED: (SUBMIT, START, REJECT, (Owner.PARTNER, "dispute")),
    Status.REJECTED_FINAL: (SUBMIT, START, REJECT, "30 days"),
    Status.OFFICIAL: (SUBMIT, START, APPROVE, "told", "window over"),
    Status.ENDED: (SUBMIT, START, APPROVE, "told", "window over", (Owner.PARTNER, "end")),
    Status.WITHDRAWN: (SUBMIT, (Owner.PARTNER, "withdraw")),
}
ONLY_IF_CONTESTED = {(Status.OFFICIAL, "request_information")}
"""An association may be asked for evidence when somebody else wants its place (decision 15)."""


@pytest.fixture
async def claims(service: Service) -> Claims:
    """Claims of a customer who has many workloads."""
    await service.register(workloads=list(WORKLOADS))
    return Claims(service)


def test_the_walk_tries_every_act_of_the_life() -> None:
    """A new transition is added to the walk. The clock's two, and those of imported associations, are no acts of it."""
    tried = {act.__name__ for _, act, _, _ in claim_life.acts(draft(), MONDAY)}
    public = {name: getattr(life, name) for name in life.__all__}
    transitions = {name for name, one in public.items() if callable(one) and get_type_hints(one)["return"] is Case}

    others = (life.settle, life.as_of, life.enter_past, life.notify_others)
    assert transitions - tried == {other.__name__ for other in others}


def test_every_act_is_tried_by_those_who_may_ask_for_it() -> None:
    """An operation that does an act is open to the owner of the act in the table; each has its call in this test."""
    listed = {(owner, act.__name__) for owner, act, _, _ in claim_life.acts(draft(), MONDAY)}
    listed = {(owner, act) for owner, act in listed if owner is not Owner.NOBODY}
    open_to = {
        (SIDES[role.partition(".")[0]], act)
        for act in {act for _, act in listed}
        for line in operations()
        if line.name == act or line.name.startswith(f"{act}_")
        for role in (line.roles if line.roles is not None else ["Customer.Contact"])
    }

    assert set(CALLS) == listed == open_to
    assert set(WAYS) == set(VISIBLE)


def test_nothing_leads_out_of_a_closed_claim() -> None:
    """Neither an act, nor time, nor another claim, nor a subscription that ends."""
    assert [edge for edge in claim_life.edges() if edge[0] in CLOSED] == []


@pytest.mark.parametrize("status", VISIBLE)
async def test_what_the_table_does_not_list_is_refused(status: Status, claims: Claims, service: Service) -> None:
    """With 409, or 404 where there is no association or request; the claim stays as it is, and shows its next step."""
    claim = await claims.made(status)
    refused = set(CALLS) - allowed_in(status)

    answers = {(owner, act): (await claims.act(claim, owner, act)).status_code for owner, act in sorted(refused)}
    unchanged = await claims.read(claim)
    evidence = await service.request("PUT", f"/claims/{claim['id']}/evidence/more.pdf", content=PDF)

    assert {key: code for key, code in answers.items() if code not in (404, 409)} == {}
    assert unchanged == claim
    step = claim["nextStep"]
    told = f"{step['owner']}: `{step['action']}`{', `due`' if step['due'] is not None else ''}"
    assert told in claim_life.next_steps(status).split("; ")
    assert evidence.status_code == (201 if status in MAY_ADD_EVIDENCE else 409), evidence.text


@pytest.mark.parametrize("status", [status for status in VISIBLE if allowed_in(status)])
async def test_what_the_table_lists_is_done_and_leads_where_it_says(status: Status, claims: Claims) -> None:
    """Each on a claim of its own; a customer who was not told of the claim has nothing to say no to."""
    for owner, act in sorted(allowed_in(status)):
        claim = await claims.made(status)
        if (status, act) in ONLY_IF_CONTESTED:
            await claims.contest(claim)

        answer = await claims.act(claim, owner, act)

        if owner is Owner.CUSTOMER and "told" not in WAYS[status]:
            assert answer.status_code == 404
            continue
        assert answer.is_success, f"{owner} {act}: {answer.text}"
        after = await claims.read(claim)
        leads_to = {
            move.after for move in claim_life.moves() if (move.before, move.owner, move.act) == (status, owner, act)
        }
        assert (after["status"] if after is not None else Status.DELETED) in leads_to
