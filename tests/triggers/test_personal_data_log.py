"""Each answer to a reviewer or operator with personal data or a file is logged once (decision 52)."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from cpor_app.http import server
from cpor_app.http.route_table import operations
from cpor_core.model.caller import Role
from devhost.stack.issuer import PROGRAMME_TENANT, object_id
from tests.support.service import CUSTOMER, OTHER_PARTNER, PDF, Service
from tests.triggers.calls import ask
from tests.triggers.refusals import refused

WORD, ADDRESS = "A word of ours", "it@contoso.fr"
REVIEWER, OPERATOR, READER = Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR, Role.PROGRAM_READER


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, with lines of all levels."""
    caplog.set_level(logging.INFO)
    return caplog


def lines(logged: pytest.LogCaptureFixture) -> Sequence[str]:
    """Return the lines about personal data, and forget them."""
    found = [one.getMessage() for one in logged.records if one.name == "cpor.personal_data"]
    logged.clear()
    return found


def who(role: Role) -> str:
    """Return the caller with a role, as the log names it."""
    return f"{object_id([role.value], PROGRAMME_TENANT)} of {PROGRAMME_TENANT}"


async def filled(service: Service) -> Any:
    """Return a claim that awaits its customer, with comments, a file and mails. Its customer has a notice address."""
    await service.register(noticeAddresses=[ADDRESS])
    claim = await service.notified(name="Of Anne Durand")
    await service.review("POST", f"/reviews/{claim['id']}/comments", json={"text": WORD})
    return claim


@pytest.mark.parametrize("role", [REVIEWER, OPERATOR, READER])
async def test_an_answer_is_logged_once_if_it_has_personal_data(
    service: Service, logged: pytest.LogCaptureFixture, role: Role
) -> None:
    """Every operation that reads is called. A reader gets no such answer, and nothing is logged."""
    claim = await filled(service)
    contacts = [one for one in claim["contacts"].values() if one]
    private = [claim["name"], WORD, ADDRESS, PDF.decode("latin-1"), *(one["email"] for one in contacts)]
    found = set()

    for line in operations():
        if line.roles and role in line.roles and line.method == "GET":
            lines(logged)
            answer = await ask(service, line, claim["id"], role=role, tenant=PROGRAMME_TENANT)
            text = answer.content.decode("latin-1")
            names_somebody = answer.status_code == 200 and any(one in text for one in private)
            written = lines(logged)
            assert len(written) == names_somebody, f"{line.name}: {written}"
            assert [one for one in private if any(one in each for each in written)] == []
            found |= {line.name} if names_somebody else set()

    readable = {"get_review", "review_comments", "review_evidence", "review_mails"}
    assert found == {REVIEWER: readable, OPERATOR: {*readable, "list_customers", "get_customer"}, READER: set()}[role]


async def test_a_line_says_who_saw_what_of_which_claim(service: Service, logged: pytest.LogCaptureFixture) -> None:
    """By the ids of person and claim. An act is an answer with personal data too."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    path, about = f"/reviews/{claim['id']}", f"about {claim['id']}"
    await service.register(noticeAddresses=[ADDRESS])
    lines(logged)

    await service.review("GET", "/reviews")
    await service.review("GET", path)
    await service.review("POST", f"{path}/start", json={}, headers={"Idempotency-Key": "start"})
    await service.review("POST", f"{path}/start", json={}, headers={"Idempotency-Key": "start"})
    await service.review("POST", f"{path}/comments", json={"text": WORD})
    await service.review("GET", f"{path}/evidence/sow.pdf")
    await service.programme("GET", f"/customers/{CUSTOMER}")

    assert lines(logged) == [
        f"list_reviews: contacts shown to {who(REVIEWER)}, {about}",
        f"get_review: contacts shown to {who(REVIEWER)}, {about}",
        f"start_review: contacts shown to {who(REVIEWER)}, {about}",
        f"start_review: contacts shown to {who(REVIEWER)}, {about}",
        f"add_review_comment: comments shown to {who(REVIEWER)}, {about}",
        f"review_evidence: evidence shown to {who(REVIEWER)}, {about}",
        f"get_customer: noticeAddresses shown to {who(OPERATOR)}, about {CUSTOMER}",
    ]


async def test_a_line_names_every_claim_in_the_answer(
    service: Service, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list and the rivals of a claim. A long list takes several lines, because a line has a limit."""
    teams: dict[str, Any] = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}]}
    one = await service.submitted(**teams)
    other = await service.submitted(tenant=OTHER_PARTNER, **teams)
    lines(logged)

    await service.review("GET", f"/reviews/{one['id']}")
    monkeypatch.setattr(server, "IDS_IN_A_LINE", 1)
    await service.review("GET", "/reviews")

    [review, *listed] = lines(logged)
    assert review.endswith(f"about {one['id']},{other['id']}")
    assert sorted(line.rpartition(" ")[2] for line in listed) == sorted([one["id"], other["id"]])


async def test_refusals_empty_lists_and_other_callers_are_not_logged(
    service: Service, logged: pytest.LogCaptureFixture
) -> None:
    """The partner sees its own data. Nothing else was shown."""
    claim = await service.draft()
    assert (await service.review("GET", "/reviews")).json()["value"] == []
    refused(await service.review("GET", f"/reviews/{'0' * 52}"), 404, "NotFound")
    refused(await service.review("POST", f"/reviews/{claim['id']}/start", json={}), 409, "InvalidState")
    refused(await service.review("GET", f"/reviews/{claim['id']}/evidence/none.pdf"), 404, "NotFound")
    for path in ("", "/comments", "/evidence/sow.pdf", "/mails"):
        assert (await service.request("GET", f"/claims/{claim['id']}{path}")).status_code == 200

    assert lines(logged) == []
