"""What the programme's people see of claims, and how they take reviews and give them back (decision 52)."""

from datetime import timedelta
from typing import Any

from cpor_app.http.route_table import operations
from cpor_core.model.caller import Role
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, PARTNER_ID, PDF, WORKLOADS, Service
from tests.triggers.calls import ask, make_named
from tests.triggers.refusals import refused

COLLEAGUE = "Program.Operator,Program.Reviewer"
"""In the sandbox, other roles make another person."""


async def row_of(service: Service, claim: Any, query: str = "", role: str = "Program.Reviewer") -> Any:
    """Return the row of a claim in the programme's list."""
    answer = await service.programme("GET", f"/reviews{query}", role=role)
    assert answer.status_code == 200, answer.text
    return next(row for row in answer.json()["value"] if row["claimId"] == claim["id"])


async def my_oid(service: Service, role: str = "Program.Reviewer") -> str:
    """Return the `oid` of the caller with this role."""
    return str((await service.programme("GET", "/me", role=role)).json()["objectId"])


async def release(service: Service, claim: Any, role: str = "Program.Reviewer", **more: Any) -> Any:
    """Give a review back, and return the claim."""
    answer = await service.programme("POST", f"/reviews/{claim['id']}/release", role=role, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- names and takers -------------------------------------------------------------------------------------------------


async def test_a_row_of_the_queue_has_the_names_of_the_registry_as_they_are_now(service: Service) -> None:
    """A claim keeps the name of its submission, and the list does not show it."""
    claim = await service.submitted(**WORKLOADS)
    partner = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    assert (await row_of(service, claim))["partnerName"] == partner["name"]

    await service.register(name="Contoso after a merger")
    await service.programme("PUT", f"/partners/{PARTNER_ID}", json={**partner, "name": "Adatum after a merger"})

    row = await row_of(service, claim)
    assert (row["partnerName"], row["customerName"]) == ("Adatum after a merger", "Contoso after a merger")


async def test_the_queue_shows_who_has_taken_a_review(service: Service) -> None:
    """Until it is given back or decided; a decision of a colleague ends it too."""
    claim = await service.submitted(**WORKLOADS)
    assert (await row_of(service, claim))["takenBy"] is None

    await service.review("POST", f"/reviews/{claim['id']}/start")
    assert (await row_of(service, claim))["takenBy"] == await my_oid(service)

    await release(service, claim, COLLEAGUE)
    assert (await row_of(service, claim))["takenBy"] is None

    await service.programme("POST", f"/reviews/{claim['id']}/start", role=COLLEAGUE)
    assert (await row_of(service, claim))["takenBy"] == await my_oid(service, COLLEAGUE) != await my_oid(service)

    asked = {"reasons": ["evidenceMissing"]}
    await service.review("POST", f"/reviews/{claim['id']}/request-information", json=asked)
    await service.request("POST", f"/claims/{claim['id']}/resubmit", json={})
    assert (await row_of(service, claim))["takenBy"] is None


async def test_no_partner_and_no_customer_sees_who_reviews(service: Service) -> None:
    """Not in the claim, its history, the feed, or the rival's claim."""
    claim = await service.under_review()
    rival = await service.submitted(tenant=OTHER_PARTNER, **WORKLOADS)
    await release(service, claim)
    await service.review("POST", f"/reviews/{claim['id']}/start")
    oid = await my_oid(service)

    admin: Any = {"role": "Customer.Admin", "tenant": CUSTOMER}
    answers = [
        *[
            await service.request("GET", f"/claims{path}")
            for path in ("", f"/{claim['id']}", f"/{claim['id']}/history")
        ],
        *[await service.request("GET", path) for path in ("/changes", "/claims/export")],
        await service.request("GET", f"/claims/{rival['id']}", tenant=OTHER_PARTNER),
        await service.request("GET", f"/customers/{CUSTOMER}/requests", **admin),
        await service.review("GET", f"/reviews/{claim['id']}/history"),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert [answer.url for answer in answers if oid in answer.text or "takenBy" in answer.text] == []


# --- readers ----------------------------------------------------------------------------------------------------------

MARK = "Zebra"
MARKED: dict[str, Any] = {
    **WORKLOADS,
    "name": f"{MARK} project",
    "comment": f"{MARK} said so",
    "reference": f"{MARK}-1",
    "contacts": {
        "customer": {"name": f"{MARK} A", "title": f"{MARK} B", "email": f"{MARK}@contoso.fr"},
        "customerTechnical": {"name": f"{MARK} C", "title": f"{MARK} D", "email": f"{MARK}2@contoso.fr"},
        "partner": {"name": f"{MARK} E", "email": f"{MARK}@adatum.example"},
    },
}
CLOSED_CLAIM = {
    "id",
    "partnerId",
    "engagement",
    "filedAs",
    "customer",
    "items",
    "waiveIncentive",
    "status",
    "statusReason",
    "competing",
    "nextStep",
    "window",
    "association",
    "createdAt",
    "submittedAt",
    "updatedAt",
    "historyHash",
    "etag",
}


async def marked(service: Service, tenant: str) -> Any:
    """Return a claim under review. All texts that people wrote for it have the mark."""
    claim = await service.submitted(tenant=tenant, **MARKED)
    path, who = f"/claims/{claim['id']}", {"tenant": tenant}
    evidence = await service.request("PUT", f"{path}/evidence/{MARK}.pdf", content=PDF, **who)  # type: ignore[arg-type]
    refused(evidence, 409, "InvalidState")
    started = await service.review("POST", f"/reviews/{claim['id']}/start", json={"comment": f"{MARK} starts"})
    assert started.status_code == 200, started.text
    asked = {"reasons": ["evidenceMissing"], "comment": f"{MARK}, please."}
    await service.review("POST", f"/reviews/{claim['id']}/request-information", json=asked)
    evidence = await service.request("PUT", f"{path}/evidence/{MARK}.pdf", content=PDF, **who)  # type: ignore[arg-type]
    assert evidence.status_code == 201, evidence.text
    answered = await service.request("POST", f"{path}/resubmit", json={"comment": f"{MARK} it is."}, **who)  # type: ignore[arg-type]
    assert answered.status_code == 200, answered.text
    return (await service.review("POST", f"/reviews/{claim['id']}/start")).json()


async def test_no_word_of_a_claim_reaches_a_reader(service: Service) -> None:
    """On any operation, of the claim itself or of its rival. A reviewer sees the words."""
    claim, rival = await marked(service, PARTNER), await marked(service, OTHER_PARTNER)
    await make_named(service)
    open_to_readers = [line for line in operations() if line.roles and Role.PROGRAM_READER in line.roles]

    answers = [
        await ask(service, line, one["id"], role=Role.PROGRAM_READER)
        for line in open_to_readers
        for one in (claim, rival)
    ]

    assert {"list_reviews", "get_review"} <= {line.name for line in open_to_readers}
    assert [answer.url for answer in answers if MARK.lower() in answer.text.lower()] == []
    assert MARK in (await service.review("GET", f"/reviews/{claim['id']}")).text
    assert MARK in (await service.review("GET", "/reviews")).text


async def test_a_reader_gets_these_fields_and_no_other(service: Service) -> None:
    """Rows, a claim and its rivals; the reader's ETag is the reviewer's."""
    claim = await service.under_review()
    rival = await service.under_review(tenant=OTHER_PARTNER)
    row = await row_of(service, claim, role="Program.Reader")
    answer = await service.programme("GET", f"/reviews/{claim['id']}", role="Program.Reader")
    whole = await service.review("GET", f"/reviews/{claim['id']}")

    review = answer.json()
    assert set(row) == CLOSED_CLAIM | {"claimId", "overdue", "partnerName", "customerName"}
    assert set(review) == {"claim", "partnerName", "customerName", "refusedBefore", "checks", "contested"}
    assert set(review["claim"]) == CLOSED_CLAIM
    assert review["claim"]["customer"] == {"tenantId": CUSTOMER}
    assert [set(one) for one in review["contested"]] == [{"item", "rule", "others"}] * 2
    [other] = review["contested"][0]["others"]
    assert (set(other), set(other["claim"])) == ({"claim", "partnerName"}, CLOSED_CLAIM)
    assert other["claim"]["id"] == rival["id"]
    assert answer.headers["ETag"] == whole.headers["ETag"] == review["claim"]["etag"]


async def test_a_reader_with_another_role_of_the_programme_sees_what_that_role_sees(service: Service) -> None:
    """The roles add up."""
    claim = await service.under_review()

    row = await row_of(service, claim, role="Program.Reader,Program.Operator")

    assert (row["name"], row["takenBy"]) == (claim["name"], await my_oid(service))


# --- contested items --------------------------------------------------------------------------------------------------


async def test_a_review_names_both_sides_and_the_rule_that_speaks_for_one(service: Service) -> None:
    """For each contested item, with the facts; everybody of the programme reads the same rule."""
    claim = await service.under_review()
    rival = await service.under_review(tenant=OTHER_PARTNER)
    newer = f"/claims/{rival['id']}/evidence/newer.pdf?signedOn=2026-10-30"
    asked = {"reasons": ["datesMissingOrOld"]}
    await service.review("POST", f"/reviews/{rival['id']}/request-information", json=asked)
    await service.request("PUT", newer, tenant=OTHER_PARTNER, content=PDF)

    review = (await service.review("GET", f"/reviews/{claim['id']}")).json()
    reader = (await service.programme("GET", f"/reviews/{claim['id']}", role="Program.Reader")).json()

    assert (review["partnerName"], review["customerName"]) == ("Adatum Conseil", "Contoso France")
    assert review["takenBy"] == await my_oid(service)
    assert [one["others"][0]["partnerName"] for one in review["contested"]] == ["Fabrikam Services"] * 2
    assert [one["rule"]["favours"] for one in review["contested"]] == [rival["id"]] * 2
    rule = review["contested"][0]["rule"]
    assert (rule["code"], {fact["claimId"]: fact["signedOn"] for fact in rule["facts"]}) == (
        "newestAcknowledgement",
        {claim["id"]: "2026-10-03", rival["id"]: "2026-10-30"},
    )
    assert [one["rule"] for one in reader["contested"]] == [one["rule"] for one in review["contested"]]


# --- giving back ------------------------------------------------------------------------------------------------------


async def test_a_review_that_is_given_back_can_be_started_again(service: Service) -> None:
    """It is an entry of the history, and one of the partner's feed."""
    claim = await service.under_review()
    refused(await service.programme("POST", f"/reviews/{claim['id']}/start", role=COLLEAGUE), 409, "InvalidState")

    given_back = await release(service, claim, json={"comment": "I know this partner."})
    assert (given_back["status"], given_back["nextStep"]["action"]) == ("submitted", "startReview")
    refused(await service.review("POST", f"/reviews/{claim['id']}/release"), 409, "InvalidState")
    again = await service.programme("POST", f"/reviews/{claim['id']}/start", role=COLLEAGUE)

    assert again.json()["status"] == "underReview"
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    assert [entry["act"] for entry in history][-3:] == ["reviewStarted", "reviewReleased", "reviewStarted"]
    changes = (await service.request("GET", "/changes")).json()["value"]
    assert [change["type"] for change in changes][-2:] == ["claim.reviewReleased", "claim.reviewStarted"]
    assert service.mailbox.to_partners == []


async def test_nobody_gains_time_by_giving_a_review_back(service: Service) -> None:
    """Before and after the time is over, however often: the end of the time to decide stays the same."""
    claim = await service.under_review()
    due = claim["nextStep"]["due"]

    for days in (1, 4, 20):
        service.clock.advance(timedelta(days=days))
        assert (await release(service, claim))["nextStep"]["due"] == due
        started = await service.review("POST", f"/reviews/{claim['id']}/start")
        assert started.json()["nextStep"]["due"] == due

    assert (await row_of(service, claim, "?overdue=true"))["overdue"]


async def test_after_an_answer_of_the_partner_the_reviewers_time_begins_anew(service: Service) -> None:
    """The kept time belongs to one review."""
    claim = await service.under_review()
    await release(service, claim)
    await service.review("POST", f"/reviews/{claim['id']}/start")
    asked = {"reasons": ["evidenceMissing"]}
    await service.review("POST", f"/reviews/{claim['id']}/request-information", json=asked)
    service.clock.advance(timedelta(days=4))
    await service.request("POST", f"/claims/{claim['id']}/resubmit", json={})
    started = await service.review("POST", f"/reviews/{claim['id']}/start")

    assert started.json()["nextStep"]["due"] > claim["nextStep"]["due"]


async def test_a_review_that_stands_still_gets_new_time_although_it_was_given_back(service: Service) -> None:
    """While another claim awaits the customer there is no `due`. It begins when the item is free (decision 11)."""
    rival = await service.under_review(tenant=OTHER_PARTNER)
    await service.review("POST", f"/reviews/{rival['id']}/approve")
    claim = await service.under_review()

    assert (await release(service, claim))["nextStep"]["due"] is None
    assert (await row_of(service, claim))["status"] == "submitted"
    service.clock.advance(timedelta(days=20))
    await service.request("POST", f"/claims/{rival['id']}/withdraw", tenant=OTHER_PARTNER, json={})

    freed = await row_of(service, claim)
    assert (freed["overdue"], freed["nextStep"]["due"] > freed["updatedAt"]) == (False, True)
    started = await service.review("POST", f"/reviews/{claim['id']}/start")
    assert started.json()["nextStep"]["due"] == freed["nextStep"]["due"]


async def test_giving_back_is_done_once_for_one_key_and_honours_if_match(service: Service) -> None:
    """As every act of a reviewer."""
    claim = await service.under_review()
    stale = {"If-Match": '"stale"'}
    path = f"/reviews/{claim['id']}/release"
    refused(await service.review("POST", path, headers=stale), 412, "PreconditionFailed")

    headers = {"Idempotency-Key": "give-back", "If-Match": claim["etag"]}
    first = await service.review("POST", path, headers=headers)
    second = await service.review("POST", path, headers=headers)

    assert (first.status_code, first.json()) == (200, second.json())
    assert second.headers["Repeatability-Result"] == "accepted"


async def test_only_a_reviewer_gives_back(service: Service) -> None:
    """An operator and a reader do no acts of a review."""
    claim = await service.under_review()
    for role in ("Program.Operator", "Program.Reader"):
        answer = await service.request("POST", f"/reviews/{claim['id']}/release", role=role, tenant=PROGRAMME_TENANT)
        refused(answer, 403, "RoleRequired")
