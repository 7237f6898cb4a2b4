"""Drafts over HTTP: what creation asks for, what a patch may change, what goes with a deletion."""

import json
from datetime import timedelta
from typing import Any

import pytest

from devhost.stack.issuer import LocalIssuer
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    SUBSCRIPTION,
    Service,
    claim_as_sent,
    running_service,
)
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets

ANY = {"If-Match": "*"}
REVENUE = {"solutionSeller": "Ada", "customerName": "Contoso", "isvSolution": "Planner"}


def subscriptions(count: int) -> list[dict[str, str]]:
    """Return as many items."""
    return [
        {"product": "dynamics-365-sales", "subscriptionId": f"cccccccc-0000-4000-8000-{n:012x}"} for n in range(count)
    ]


# --- creation ---------------------------------------------------------------------------------------------------------


async def test_creation_answers_the_whole_claim_where_it_lies(service: Service) -> None:
    """201 with an absolute Location, the ETag in header and body, and everything as it was sent."""
    sent = claim_as_sent(comment="Two lines\nof it.", waiveIncentive=False)

    made = await service.request("POST", "/claims", json=sent)

    claim = made.json()
    assert made.status_code == 201
    assert made.headers["Location"] == f"http://127.0.0.1:7071/api/claims/{claim['id']}"
    assert made.headers["ETag"] == claim["etag"]
    assert {name: claim[name] for name in sent} == sent
    assert (claim["status"], claim["filedAs"], claim["window"], claim["association"]) == ("draft", None, None, None)
    assert claim["nextStep"] == {"owner": "partner", "action": "submit", "due": "2027-01-31T09:00:00Z"}
    read = await service.request("GET", made.headers["Location"])
    assert (read.json(), read.headers["ETag"]) == (claim, claim["etag"])


async def test_ids_in_capitals_are_taken_and_lowered(service: Service) -> None:
    """In body and address."""
    sent = claim_as_sent(items=[{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION.upper()}])
    sent["customer"]["tenantId"] = CUSTOMER.upper()

    claim = (await service.request("POST", "/claims", json=sent)).json()

    assert claim["customer"]["tenantId"] == CUSTOMER
    assert claim["items"][0]["subscriptionId"] == SUBSCRIPTION
    assert (await service.request("GET", f"/claims/{claim['id'].upper()}")).json()["id"] == claim["id"]


async def test_engagement_that_nobody_knows_is_refused(service: Service) -> None:
    """EngagementUnknown, and where they are listed."""
    error = refused(
        await service.request("POST", "/claims", json=claim_as_sent(engagement="x")), 400, "EngagementUnknown"
    )

    assert error["target"] == "engagement"
    assert "/engagements" in error["resolution"]


@pytest.mark.parametrize(
    ("older", "successor", "items"),
    [
        ("osu-bizapps", "usage-recognition-bizapps", subscriptions(1)),
        ("osa-sell", "mci-bizapps-presales-advisor", subscriptions(1)),
        ("osu-m365", "modern-work-security-usage", [{"workload": "teams"}]),
    ],
)
@shares_its_service
async def test_older_programme_is_filed_under_its_successor(
    shared: Service, older: str, successor: str, items: list[dict[str, str]]
) -> None:
    """The claim remembers the name it came under, through patches too."""
    made = await shared.request("POST", "/claims", json=claim_as_sent(engagement=older, items=items))
    claim = made.json()
    patched = await shared.request(
        "PATCH", f"/claims/{claim['id']}", json={"engagement": older, "name": "Other"}, headers=ANY
    )

    assert (claim["engagement"], claim["filedAs"]) == (successor, older)
    assert (patched.json()["engagement"], patched.json()["filedAs"]) == (successor, older)
    for engagement in (older, successor):
        assert len((await shared.request("GET", f"/claims?engagement={engagement}")).json()["value"]) == 1


@pytest.mark.parametrize("partner_id", [OTHER_PARTNER_ID, "9999999999"])
@shares_its_service
async def test_location_must_be_the_callers_own(shared: Service, partner_id: str) -> None:
    """Somebody else's and nobody's are refused alike."""
    answer = await shared.request("POST", "/claims", json=claim_as_sent(partnerId=partner_id))

    assert refused(answer, 400, "PartnerIdNotYours")["target"] == "partnerId"


@pytest.mark.parametrize("partner_id", ["123", "12345678901", "47829a3", "٤٧٨٢٩١٣", " 4782913", 4782913])
@shares_its_service
async def test_location_has_4_to_10_digits(shared: Service, partner_id: object) -> None:
    """A number, or digits of another script, are no partnerId."""
    answer = await shared.request("POST", "/claims", json=claim_as_sent(partnerId=partner_id))

    assert targets(refused(answer, 400, "ValidationFailed")) == {"partnerId": "FieldInvalid"}


async def test_claim_has_1_to_30_items_none_of_them_twice(service: Service) -> None:
    """An item is twice there when its subscription is, whatever its product."""
    twice = [
        *subscriptions(2),
        {"product": "dynamics-365-customer-service", "subscriptionId": subscriptions(1)[0]["subscriptionId"].upper()},
    ]

    for items, status in ((subscriptions(30), 201), (subscriptions(31), 400), ([], 400)):
        assert (await service.request("POST", "/claims", json=claim_as_sent(items=items))).status_code == status
    for repeated in (twice, [subscriptions(1)[0]] * 2):
        error = refused(
            await service.request("POST", "/claims", json=claim_as_sent(items=repeated)), 400, "DuplicateItem"
        )
        assert error["target"] == f"items[{len(repeated) - 1}]"


@pytest.mark.parametrize(
    "item",
    [
        {"workload": "teams"},
        {"product": "dynamics-365-sales"},
        {"subscriptionId": SUBSCRIPTION},
        {"workload": "teams", "product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION},
        {"product": "windows-3-1", "subscriptionId": SUBSCRIPTION},
        {"product": "dynamics-365-sales", "subscriptionId": "1"},
        {},
        "teams",
        None,
    ],
)
@shares_its_service
async def test_items_are_of_the_engagements_kind_and_list(shared: Service, item: object) -> None:
    """A Business Applications engagement takes a listed product of a subscription."""
    answer = await shared.request("POST", "/claims", json=claim_as_sent(items=[item]))

    assert refused(answer, 400, "ValidationFailed")["details"]


@pytest.mark.parametrize(
    ("engagement", "field", "status"),
    [
        ("usage-recognition-bizapps", {"revenue": REVENUE}, 400),
        ("bizapps-revenue", {"revenue": REVENUE}, 201),
        ("bizapps-revenue", {"waiveIncentive": True}, 400),
        ("usage-recognition-bizapps", {"waiveIncentive": True}, 400),
        ("mci-bizapps-presales-advisor", {"waiveIncentive": True}, 400),
        ("modern-work-security-usage", {"waiveIncentive": True, "items": [{"workload": "teams"}]}, 201),
        ("usage-recognition-bizapps", {"waiveIncentive": False, "revenue": None}, 201),
    ],
)
@shares_its_service
async def test_fields_of_another_engagement_are_refused(
    shared: Service, engagement: str, field: dict[str, Any], status: int
) -> None:
    """Revenue and the waiver belong to the engagements that have them; saying no to a waiver is no waiver."""
    answer = await shared.request("POST", "/claims", json=claim_as_sent(engagement=engagement, **field))

    if status == 201:
        assert answer.status_code == 201, answer.text
    else:
        assert refused(answer, status, "NotForThisEngagement")["target"] in field


@pytest.mark.parametrize(
    "left_out",
    ["name", "partnerId", "engagement", "customer", "items", "contacts", "contacts.customer", "contacts.partner"],
)
@shares_its_service
async def test_a_draft_is_sent_whole(shared: Service, left_out: str) -> None:
    """Only what is optional may be missing."""
    sent: dict[str, Any] = claim_as_sent()
    *path, name = left_out.split(".")
    place = sent
    for part in path:
        place = place[part]
    del place[name]

    error = refused(await shared.request("POST", "/claims", json=sent), 400, "ValidationFailed")

    assert targets(error) == {left_out: "FieldRequired"}


# --- the dry run ------------------------------------------------------------------------------------------------------


async def test_dry_run_tells_every_check_and_stores_nothing(service: Service) -> None:
    """200 with all that a submission of this would be told."""
    sent = claim_as_sent(items=[{"product": "dynamics-365-customer-service", "subscriptionId": SUBSCRIPTION}])

    answer = await service.request("POST", "/claims?validate=true", json=sent)

    found = {(detail["code"], detail["target"]) for detail in answer.json()["details"]}
    assert (answer.status_code, answer.json()["valid"]) == (200, False)
    assert found == {
        ("ItemNotClaimable", "items[0]"),
        ("EvidenceMissing", "evidence"),
        ("AcknowledgementMissing", "acknowledgements.accurate"),
        ("AcknowledgementMissing", "acknowledgements.customerAware"),
    }
    assert (await service.request("GET", "/claims")).json() == {"value": []}


@pytest.mark.parametrize(
    "change", [{"engagement": "x"}, {"partnerId": OTHER_PARTNER_ID}, {"items": subscriptions(1) * 2}]
)
@shares_its_service
async def test_dry_run_refuses_what_creation_refuses(shared: Service, change: dict[str, Any]) -> None:
    """With the same code: a body that makes no draft can't be judged as a submission."""
    really = await shared.request("POST", "/claims", json=claim_as_sent(**change))
    dry = await shared.request("POST", "/claims?validate=true", json=claim_as_sent(**change))

    assert (dry.status_code, dry.json()) == (really.status_code, really.json())


async def test_dry_run_of_a_draft_is_the_submission_without_it(service: Service) -> None:
    """Valid, and still a draft; with something wrong it tells the same details as the submission."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/submit"

    good = await service.request("POST", f"{path}?validate=true", json=ACKNOWLEDGED)
    bad = await service.request("POST", f"{path}?validate=true", json={})
    really = refused(await service.request("POST", path, json={}), 400, "ValidationFailed")

    assert good.json() == {"valid": True, "details": []}
    assert bad.json() == {"valid": False, "details": really["details"]}
    assert (await service.request("GET", f"/claims/{claim['id']}")).json() == claim


async def test_dry_run_of_a_submitted_claim_is_refused_as_its_submission(service: Service) -> None:
    """Word for word."""
    path = f"/claims/{(await service.submitted())['id']}/submit"

    dry = await service.request("POST", f"{path}?validate=true", json=ACKNOWLEDGED)
    really = await service.request("POST", path, json=ACKNOWLEDGED)

    refused(dry, 409, "InvalidState")
    assert dry.json() == really.json()


async def test_more_dry_runs_wait_for_the_next_hour(storage_connection: str, issuer: LocalIssuer) -> None:
    """Retry-After says how many seconds that is."""
    async with running_service(storage_connection, issuer, CPOR_DRY_RUNS_PER_HOUR="1") as service:
        await service.register()
        service.clock.advance(timedelta(minutes=59, seconds=50))
        answers = [await service.request("POST", "/claims?validate=true", json=claim_as_sent()) for _ in range(2)]

    refused(answers[1], 429, "TooManyDryRuns")
    assert answers[1].headers["Retry-After"] == "10"


async def test_dry_run_does_not_tell_that_a_place_is_held(service: Service) -> None:
    """Neither by an answer nor by a header: there is no oracle about others (decision 8)."""
    before = await service.request(
        "POST", "/claims?validate=true", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER)
    )
    await service.official()

    after = await service.request(
        "POST", "/claims?validate=true", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER)
    )

    assert after.json() == before.json()


async def test_unknown_tenant_and_wrong_domain_are_told_alike(service: Service) -> None:
    """One TenantDomainMismatch stands for all, so that nobody learns which tenants there are."""
    unknown, wrong = claim_as_sent(), claim_as_sent()
    unknown["customer"] = {"tenantId": "bbbbbbbb-0000-4000-8000-00000000000f", "domain": "contoso.fr"}
    wrong["customer"] = {"tenantId": CUSTOMER, "domain": "fabrikam.fr"}

    told = [
        (await service.request("POST", "/claims?validate=true", json=sent)).json()["details"]
        for sent in (unknown, wrong)
    ]

    assert told[0] == told[1]
    assert [detail["code"] for detail in told[0]].count("TenantDomainMismatch") == 1
    assert "ItemNotClaimable" not in [detail["code"] for detail in told[0]]


@pytest.mark.parametrize("value", ["1", "yes", "", "truee", "2", "on"])
@shares_its_service
async def test_validate_is_true_or_false(shared: Service, value: str) -> None:
    """A typing error must not create what was to be judged only; a host drops an empty value, but not the address."""
    answer = await shared.request("POST", f"/claims?validate={value}", json=claim_as_sent())

    assert targets(refused(answer, 400, "ValidationFailed")) == {"validate": "FieldInvalid"}


# --- patches ----------------------------------------------------------------------------------------------------------


async def test_patch_merges_by_rfc_7396(service: Service) -> None:
    """Objects merge, lists and values replace, null removes what is optional; what is not named stays."""
    claim = await service.draft(engagement="modern-work-security-usage", items=[{"workload": "teams"}], comment="Old")
    patch = {
        "name": "Changed",
        "comment": None,
        "items": [{"workload": "sharepoint"}],
        "contacts": {
            "customer": {"title": None, "name": "Bernard Petit"},
            "customerTechnical": {"name": "Luc Martin", "email": "luc@contoso.fr"},
        },
    }

    answer = await service.request(
        "PATCH",
        f"/claims/{claim['id']}",
        json=patch,
        headers={"If-Match": claim["etag"], "Content-Type": "application/merge-patch+json"},
    )

    changed = answer.json()
    assert answer.status_code == 200
    assert (changed["name"], changed["comment"], changed["items"]) == ("Changed", None, [{"workload": "sharepoint"}])
    assert changed["contacts"] == {
        "customer": {"name": "Bernard Petit", "email": "anne.durand@contoso.fr"},
        "customerTechnical": {"name": "Luc Martin", "email": "luc@contoso.fr"},
        "partner": claim["contacts"]["partner"],
    }
    untouched = {"id", "partnerId", "engagement", "customer", "evidence", "createdAt", "status"}
    assert {name: changed[name] for name in untouched} == {name: claim[name] for name in untouched}
    assert changed["etag"] == answer.headers["ETag"] != claim["etag"]


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"customer": {"tenantId": "bbbbbbbb-0000-4000-8000-00000000000f"}}, "Immutable"),
        ({"engagement": "bizapps-revenue"}, "Immutable"),
        ({"engagement": "unknown"}, "Immutable"),
        ({"partnerId": OTHER_PARTNER_ID}, "PartnerIdNotYours"),
        ({"items": [{"workload": "teams"}]}, "ValidationFailed"),
        ({"items": subscriptions(1) * 2}, "DuplicateItem"),
        ({"items": []}, "ValidationFailed"),
        ({"items": None}, "ValidationFailed"),
        ({"name": None}, "ValidationFailed"),
        ({"contacts": None}, "ValidationFailed"),
        ({"contacts": {"customer": {"email": None}}}, "ValidationFailed"),
        ({"contacts": {"customer": {"mail": "x"}}}, "ValidationFailed"),
        ({"contacts": []}, "ValidationFailed"),
        ({"revenue": REVENUE}, "NotForThisEngagement"),
        ({"waiveIncentive": True}, "NotForThisEngagement"),
        ({"status": "official"}, "ValidationFailed"),
        ({"id": "0"}, "ValidationFailed"),
        ({"etag": "0"}, "ValidationFailed"),
        ({"statusReason": None}, "ValidationFailed"),
        ({"submittedAt": None, "name": "x"}, "ValidationFailed"),
        ({"contacts": {"customer": {"mail": None}}}, "ValidationFailed"),
        ({"revenue": {"seller": None}}, "ValidationFailed"),
        ({"partner_id": None}, "ValidationFailed"),
        ([], "ValidationFailed"),
        (None, "ValidationFailed"),
        ("x", "ValidationFailed"),
        ([{"op": "replace", "path": "/name", "value": "x"}], "ValidationFailed"),
    ],
)
@shares_its_service
async def test_patch_must_make_a_claim_that_could_have_been_sent(shared: Service, patch: object, code: str) -> None:
    """Refused as a whole, with the claim as it was."""
    claim = await shared.draft()
    headers = {**ANY, "Content-Type": "application/merge-patch+json"}

    answer = await shared.request("PATCH", f"/claims/{claim['id']}", content=json.dumps(patch), headers=headers)

    refused(answer, 400, code)
    assert (await shared.request("GET", f"/claims/{claim['id']}")).json() == claim


async def test_what_is_fixed_may_be_sent_again_unchanged(service: Service) -> None:
    """A client that sends the whole claim back is not refused for it."""
    sent = claim_as_sent(name="Whole")
    sent["customer"]["tenantId"] = CUSTOMER.upper()
    claim = await service.draft()

    answer = await service.request("PATCH", f"/claims/{claim['id']}", json=sent, headers=ANY)

    assert (answer.status_code, answer.json()["name"]) == (200, "Whole")


async def test_only_a_draft_is_patched_freely(service: Service) -> None:
    """Once submitted it is 409, and the state is named."""
    claim = await service.submitted()

    answer = await service.request("PATCH", f"/claims/{claim['id']}", json={"name": "x"}, headers=ANY)

    assert "awaitingCustomer" in refused(answer, 409, "InvalidState")["message"]


# --- deletion and lapse -----------------------------------------------------------------------------------------------


async def test_deleted_draft_is_gone_everywhere(service: Service) -> None:
    """204 without a body; then nobody finds it, its files or its history, not even the programme."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}"

    answer = await service.request("DELETE", path)

    assert (answer.status_code, answer.content) == (204, b"")
    for gone in (path, f"{path}/history", f"{path}/comments", f"{path}/evidence/sow.pdf"):
        refused(await service.request("GET", gone), 404, "NotFound")
    refused(await service.request("DELETE", path), 404, "NotFound")
    refused(await service.review("GET", f"/reviews/{claim['id']}"), 404, "NotFound")
    assert (await service.request("GET", "/claims")).json() == {"value": []}


async def test_submitted_claim_is_not_deleted(service: Service) -> None:
    """409, and it stands."""
    claim = await service.submitted()

    refused(await service.request("DELETE", f"/claims/{claim['id']}"), 409, "InvalidState")
    assert (await service.request("GET", f"/claims/{claim['id']}")).json() == claim


async def test_draft_lapses_at_its_instant(service: Service) -> None:
    """A microsecond before it is there, at the instant it is not, timer or no timer."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}"

    service.clock.advance(timedelta(days=90) - timedelta(microseconds=1))
    assert (await service.request("GET", path)).status_code == 200
    service.clock.advance(timedelta(microseconds=1))

    refused(await service.request("GET", path), 404, "NotFound")
    refused(await service.request("PATCH", path, json={"name": "x"}, headers=ANY), 404, "NotFound")
    assert (await service.request("GET", "/claims")).json() == {"value": []}
