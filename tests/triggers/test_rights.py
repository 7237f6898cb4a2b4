"""Who may do what: roles where they count, and nothing of anybody else's (decisions 1 and 2)."""

import json
from functools import partial

import pytest

from cpor_app.http.route_table import operations
from cpor_core.model.caller import Role
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PDF,
    Service,
    claim_as_sent,
)
from tests.triggers.calls import TENANTS, ask, line_of, make_named
from tests.triggers.refusals import refused

STRANGER = "dddddddd-0000-4000-8000-00000000000d"


async def test_every_operation_with_roles_asks_for_a_token(service: Service) -> None:
    """Before it looks at anything else."""
    for line in operations():
        if line.roles is not None:
            answer = await service.client.request(line.method, "/" + line.route.replace("{", "").replace("}", ""))
            refused(answer, 401, "Unauthenticated")


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_opens_the_operations_that_list_it_and_no_other(service: Service, role: Role) -> None:
    """In the very tenant where it counts."""
    claim = await service.draft()
    for line in operations():
        if line.roles and role not in line.roles:
            refused(await ask(service, line, claim["id"], role=role, tenant=TENANTS[role]), 403, "RoleRequired")


@pytest.mark.parametrize("tenant", [PARTNER, CUSTOMER, STRANGER])
@pytest.mark.parametrize("role", [Role.PROGRAM_READER, Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR, Role.MAIL_EVENTS])
async def test_the_programmes_roles_open_nothing_in_any_other_tenant(service: Service, tenant: str, role: Role) -> None:
    """Every tenant's administrator can hand them out to his own people."""
    claim = await service.draft()
    for line in operations():
        if line.roles is not None and role in line.roles:
            refused(await ask(service, line, claim["id"], role=role, tenant=tenant), 403, "RoleRequired")


async def test_partner_who_has_the_programmes_roles_as_well_is_a_partner(service: Service) -> None:
    """The token carries all roles: the claim is his, and nothing of the programme opens."""
    claim = await service.submitted()
    everything = ",".join(role.value for role in Role)

    own = await service.request("GET", f"/claims/{claim['id']}", role=everything)
    reviews = await service.request("GET", "/reviews", role=everything)
    approved = await service.request("POST", f"/reviews/{claim['id']}/approve", role=everything)
    registered = await service.request("GET", f"/customers/{CUSTOMER}", role=everything)

    assert own.status_code == 200
    for answer in (reviews, approved, registered):
        refused(answer, 403, "RoleRequired")


async def test_nothing_of_another_organisation_is_found(service: Service) -> None:
    """Whatever is asked about a claim, its association, evidence and history: 404, and nothing changes."""
    claim = await service.official()
    before = (await service.request("GET", f"/claims/{claim['id']}")).json()

    for line in operations():
        if Role.INCENTIVES_ADMIN in (line.roles or ()) and "Id}" in line.route:
            for tenant in (OTHER_PARTNER, STRANGER, PROGRAMME_TENANT, CUSTOMER):
                answer = await ask(service, line, claim["id"], b"{}", role=Role.INCENTIVES_ADMIN, tenant=tenant)
                refused(answer, 404, "NotFound")

    assert (await service.request("GET", f"/claims/{claim['id']}")).json() == before


async def test_lists_show_nothing_of_another_organisation(service: Service) -> None:
    """Claims and associations are listed for their own partner alone."""
    await service.official()

    for path in ("/claims", "/associations?includeEnded=true"):
        assert len((await service.request("GET", path)).json()["value"]) == 1
        for tenant in (OTHER_PARTNER, STRANGER, PROGRAMME_TENANT):
            assert (await service.request("GET", path, tenant=tenant)).json() == {"value": []}


async def test_organisation_that_is_not_registered_has_empty_lists_and_makes_nothing(service: Service) -> None:
    """Its token is good, and there is nothing for it."""
    listed = await service.request("GET", "/claims", tenant=STRANGER)
    made = await service.request("POST", "/claims", tenant=STRANGER, json=claim_as_sent())

    assert listed.json() == {"value": []}
    refused(made, 400, "PartnerIdNotYours")


async def test_user_drafts_and_does_not_decide(service: Service) -> None:
    """`Incentives.User` makes, edits, documents, comments and deletes drafts; all else is the administrator's."""
    user = partial(service.request, role="Incentives.User")

    made = await user("POST", "/claims", json=claim_as_sent())
    path = f"/claims/{made.json()['id']}"
    allowed = [
        await user("PATCH", path, json={"name": "Changed"}, headers={"If-Match": "*"}),
        await user("PUT", f"{path}/evidence/sow.pdf?signedOn=2026-10-01", content=PDF),
        await user("PUT", f"{path}/evidence/sow.pdf?signedOn=2026-10-02", content=PDF),
        await user("POST", f"{path}/comments", json={"text": "Ready."}),
        await user("GET", path),
        await user("GET", f"{path}/evidence/sow.pdf"),
        await user("GET", f"{path}/history"),
        await user("GET", f"{path}/comments"),
        await user("GET", "/claims"),
        await user("GET", "/associations"),
    ]
    dry_run = await user("POST", f"{path}/submit?validate=true", json=ACKNOWLEDGED)

    assert made.status_code == 201
    assert [answer.status_code for answer in allowed] == [200, 201, 200, 201, 200, 200, 200, 200, 200, 200]
    refused(dry_run, 403, "RoleRequired")
    for act in ("submit", "withdraw", "resubmit", "dispute"):
        refused(await user("POST", f"{path}/{act}", json={}), 403, "RoleRequired")
    refused(
        await user("POST", f"{path.replace('claims', 'associations')}/end", json={}),
        403,
        "RoleRequired",
    )
    assert (await user("DELETE", f"{path}/evidence/sow.pdf")).status_code == 204
    assert (await user("DELETE", path)).status_code == 204


async def test_user_adds_no_evidence_after_the_submission(service: Service) -> None:
    """Evidence of drafts is theirs; of an official claim it defends an association, which is the administrator's."""
    claim = await service.official()
    path = f"/claims/{claim['id']}/evidence/more.pdf"

    refused(await service.request("PUT", path, role="Incentives.User", content=PDF), 403, "RoleRequired")
    assert (await service.request("PUT", path, content=PDF)).status_code == 201


async def test_reviewer_and_operator_read_any_claim_and_only_the_reviewer_acts(service: Service) -> None:
    """In any state, a draft too."""
    claim = await service.draft()
    read = ("get_review", "review_history", "review_comments", "review_evidence")
    acts = [line for line in operations() if line.route.startswith("reviews/{claimId}/") and line.method == "POST"]

    for name in read:
        for role in (Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR):
            assert (await ask(service, line_of(name), claim["id"], role=role)).status_code == 200, name
    for line in acts:
        refused(await ask(service, line, claim["id"], b"{}", role=Role.PROGRAM_OPERATOR), 403, "RoleRequired")
        refused(await ask(service, line, "0" * 52, b"{}"), 404, "NotFound")


async def test_an_application_acts_like_a_person_and_is_told_apart_in_the_history(service: Service) -> None:
    """App-only tokens have the same roles; the history says which it was."""
    headers = {"Authorization": f"Bearer {service.token('Incentives.Admin', PARTNER, app=True)}"}
    made = await service.request("POST", "/claims", role=None, json=claim_as_sent(), headers=headers)

    history = await service.request("GET", f"/claims/{made.json()['id']}/history")

    assert made.status_code == 201
    assert history.json()["value"][0]["actor"]["kind"] == "app"


async def test_programmes_people_are_not_named_to_the_partner(service: Service) -> None:
    """History says `programme`, comments say the side."""
    claim = await service.submitted(items=[{"workload": "teams"}], engagement="modern-work-security-usage")
    await service.review("POST", f"/reviews/{claim['id']}/start", json={"comment": "I have a look."})
    await service.review("POST", f"/reviews/{claim['id']}/comments", json={"text": "Looks good."})

    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    comments = (await service.request("GET", f"/claims/{claim['id']}/comments")).json()["value"]

    programme = [entry["actor"] for entry in history if entry["actor"]["kind"] == "programme"]
    assert programme == [{"kind": "programme", "id": "programme"}] * 2
    assert [(comment["author"], comment["text"]) for comment in comments] == [
        ("programme", "I have a look."),
        ("programme", "Looks good."),
    ]
    assert "oid" not in json.dumps(comments)


async def test_user_may_not_edit_what_is_no_draft(service: Service) -> None:
    """`Incentives.User` edits drafts; only the administrator answers a reviewer."""
    claim = await service.under_review()
    asked = await service.review(
        "POST", f"/reviews/{claim['id']}/request-information", json={"reasons": ["productsMissing"]}
    )
    patched = await service.request(
        "PATCH",
        f"/claims/{claim['id']}",
        role="Incentives.User",
        json={"items": [{"workload": "exchange"}]},
        headers={"If-Match": asked.json()["etag"]},
    )
    assert patched.status_code == 403, patched.text


READERS_CUSTOMER = {
    "name",
    "domains",
    "country",
    "subdivision",
    "timeZone",
    "language",
    "noticeLanguage",
    "workloads",
    "subscriptions",
}
READERS_PARTNER = {
    "name",
    "entraTenantId",
    "country",
    "subdivision",
    "timeZone",
    "language",
    "enrolledEngagements",
}


@pytest.mark.parametrize("role", [Role.PROGRAM_READER, Role.PROGRAM_REVIEWER])
async def test_only_the_operator_sees_mail_addresses_of_the_registry(service: Service, role: Role) -> None:
    """A reader sees a closed list of fields without personal data (decision 52); a reviewer sees people by claim."""
    await service.register(noticeAddresses=["it@contoso.fr"])

    customer = await service.programme("GET", f"/customers/{CUSTOMER}", role=role)
    whole = await service.programme("GET", f"/customers/{CUSTOMER}")
    partner = await service.programme("GET", f"/partners/{PARTNER_ID}", role=role)
    [listed] = (await service.programme("GET", "/customers", role=role)).json()["value"]
    [listed_whole] = (await service.programme("GET", "/customers")).json()["value"]
    listed_partners = (await service.programme("GET", "/partners", role=role)).json()["value"]

    assert listed == {**customer.json(), "tenantId": CUSTOMER}
    assert listed_whole == {**whole.json(), "tenantId": CUSTOMER}
    assert {**partner.json(), "partnerId": PARTNER_ID} in listed_partners
    assert set(customer.json()) == READERS_CUSTOMER
    assert customer.json().items() <= whole.json().items()
    assert whole.json()["noticeAddresses"] == ["it@contoso.fr"]
    assert "@" not in customer.text
    assert set(partner.json()) == READERS_PARTNER


async def test_reader_reads_what_names_no_person_and_acts_on_nothing(service: Service) -> None:
    """The answers of the operations below, and no other (decision 52)."""
    claim = await service.official()
    await make_named(service)
    open_to_readers = [line for line in operations() if line.roles and Role.PROGRAM_READER in line.roles]
    contacts = claim["contacts"].values()
    private = [claim["name"], *(contact[field] for contact in contacts if contact for field in ("name", "email"))]

    for line in open_to_readers:
        answer = await ask(service, line, claim["id"], role=Role.PROGRAM_READER)
        assert answer.status_code == 200, line.name
        assert [text for text in private if text in answer.text] == [], line.name
    assert {line.method for line in open_to_readers} == {"GET"}
    assert {line.name for line in open_to_readers} == {
        "list_reviews",
        "get_review",
        "review_history",
        "review_mails",
        "list_register",
        "list_register_changes",
        "list_untold_associations",
        "get_insight",
        "get_insight_page",
        "list_partners",
        "get_partner",
        "list_customers",
        "get_customer",
        "list_closed_days",
        "get_closed_day",
    }


async def test_partner_reads_its_own_locations_only(service: Service) -> None:
    """A location of another organisation, and one that is not registered, are not found."""
    own = await service.request("GET", f"/partners/{PARTNER_ID}", role="Incentives.User")
    registered = await service.programme("GET", f"/partners/{PARTNER_ID}")

    assert (own.status_code, own.json()) == (200, registered.json())
    for partner_id in (OTHER_PARTNER_ID, "99990000"):
        refused(await service.request("GET", f"/partners/{partner_id}"), 404, "NotFound")
