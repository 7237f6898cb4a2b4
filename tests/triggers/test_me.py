"""`GET /me`: the caller's roles, and the registration of the caller's organisation."""

from typing import Any

from cpor_app.adapters.storage.row_store import Delete
from cpor_core.use_cases.due_work.rebuild import rebuild
from devhost.stack.issuer import PROGRAMME_TENANT, object_id
from tests.support.service import CUSTOMER, PARTNER, PARTNER_ID, Service
from tests.triggers.refusals import refused

STRANGER = "dddddddd-0000-4000-8000-00000000000d"


async def me(service: Service, role: str, tenant: str) -> Any:
    """Return the answer to a caller with *role* in *tenant*."""
    answer = await service.request("GET", "/me", role=role, tenant=tenant)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_partner_sees_the_locations_of_its_own_organisation(service: Service) -> None:
    """In the order of their ids, with their enrolments as they are registered now."""
    location = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    more = {**location, "name": "Adatum Praha", "country": "CZ", "enrolledEngagements": ["bizapps-revenue"]}
    await service.programme("PUT", "/partners/77770001", json=more)

    answer = await me(service, "Incentives.User", PARTNER)

    assert answer == {
        "tenantId": PARTNER,
        "objectId": object_id(["Incentives.User"], PARTNER),
        "kind": "person",
        "roles": ["Incentives.User"],
        "partner": {
            "organisation": PARTNER,
            "locations": [
                {
                    "partnerId": PARTNER_ID,
                    "name": location["name"],
                    "country": location["country"],
                    "enrolledEngagements": location["enrolledEngagements"],
                },
                {
                    "partnerId": "77770001",
                    "name": "Adatum Praha",
                    "country": "CZ",
                    "enrolledEngagements": ["bizapps-revenue"],
                },
            ],
        },
        "customer": None,
    }


async def test_an_administrator_sees_the_entry_of_the_own_tenant(service: Service) -> None:
    """The same entry that the operator reads. Other people of the tenant do not see it."""
    registered = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()

    assert (await me(service, "Customer.Admin", CUSTOMER))["customer"] == registered
    assert (await me(service, "Incentives.Admin", CUSTOMER))["customer"] is None


async def test_any_token_is_enough(service: Service) -> None:
    """A tenant that is not registered, a role that does not count, an application, a person without a role."""
    stranger = await me(service, "Program.Operator,Customer.Admin", STRANGER)
    reader = await me(service, "Program.Reader", PROGRAMME_TENANT)
    roleless = {"Authorization": f"Bearer {service.token('Nothing.Known', PARTNER)}"}
    unknown = await service.request("GET", "/me", role=None, headers=roleless)
    app = {"Authorization": f"Bearer {service.token('Mail.Events', PROGRAMME_TENANT, app=True)}"}
    program = await service.request("GET", "/me", role=None, headers=app)

    assert (stranger["roles"], stranger["partner"], stranger["customer"]) == (["Customer.Admin"], None, None)
    assert (reader["roles"], reader["partner"], reader["customer"]) == (["Program.Reader"], None, None)
    assert (unknown.json()["roles"], unknown.json()["partner"]["organisation"]) == ([], PARTNER)
    assert (program.json()["kind"], program.json()["roles"]) == ("app", ["Mail.Events"])
    refused(await service.request("GET", "/me", role=None), 401, "Unauthenticated")


async def test_a_location_of_an_earlier_release_is_listed_after_its_next_put_or_a_rebuild(service: Service) -> None:
    """The earlier release kept no list of an organisation's locations."""

    async def upgrade() -> None:
        await service.services.rows.write("registry", f"organisation|{PARTNER}", Delete(PARTNER_ID))
        assert (await me(service, "Incentives.Admin", PARTNER))["partner"] is None

    async def listed() -> list[str]:
        return [one["partnerId"] for one in (await me(service, "Incentives.Admin", PARTNER))["partner"]["locations"]]

    await upgrade()
    location = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    await service.programme("PUT", f"/partners/{PARTNER_ID}", json=location)
    after_put = await listed()
    await upgrade()
    await rebuild(service.services.ports, await service.clock.now())

    assert after_put == await listed() == [PARTNER_ID]
