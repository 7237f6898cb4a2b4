"""The operator's functions over HTTP: registry, usage reports and the sandbox's clock. Also the throttle of writes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.clock import SandboxClock
from cpor_app.adapters.throttle import Throttle
from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, PUBLIC_URL, SUBSCRIPTION, Service, claim_as_sent
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets

JSON_LINES = {"Content-Type": "application/x-ndjson"}
NEW_TENANT, SPOKEN_TO = "bbbbbbbb-0000-4000-8000-0000000000fe", "bbbbbbbb-0000-4000-8000-0000000000fd"
LOCATION = {
    "name": "Adatum Praha",
    "entraTenantId": PARTNER,
    "country": "CZ",
    "subdivision": None,
    "timeZone": "Europe/Prague",
    "language": "cs",
    "enrolledEngagements": ["bizapps-revenue"],
}
TENANT: dict[str, Any] = {
    "name": "Contoso Česko",
    "domains": ["contoso.cz", "Contoso.Example"],
    "country": "CZ",
    "subdivision": None,
    "timeZone": "Europe/Prague",
    "language": "cs",
    "noticeAddresses": ["it@contoso.cz"],
    "workloads": ["teams"],
    "subscriptions": [
        {
            "subscriptionId": SUBSCRIPTION,
            "product": "dynamics-365-sales",
            "channel": "WebDirect",
            "state": "grace",
            "seats": 0,
        }
    ],
}


# --- registry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "entry"), [("/partners/77770001", LOCATION), (f"/customers/{NEW_TENANT}", TENANT)])
async def test_entry_is_created_read_and_changed(service: Service, path: str, entry: dict[str, Any]) -> None:
    """The first PUT gives 201 and a Location, the next one 200. A GET returns the sent entry and its ETag."""
    made = await service.programme("PUT", path, json=entry)
    read = await service.programme("GET", path)
    changed = await service.programme("PUT", path, json={**entry, "name": "Other"})

    assert (made.status_code, made.headers["Location"]) == (201, PUBLIC_URL + path)
    assert (read.status_code, read.headers["ETag"]) == (200, made.headers["ETag"])
    assert read.json() == entry | ({"noticeLanguage": "cs"} if path.startswith("/customers") else {})
    assert (changed.status_code, changed.json()["name"]) == (200, "Other")
    assert "Location" not in changed.headers


@pytest.mark.parametrize(
    ("language", "notices"), [("cs", "cs"), ("FR-ca", "fr"), ("hsb", "en"), ("zh-Hant-TW", "en"), ("x-klingon", "en")]
)
@shares_its_service
async def test_answer_names_the_language_of_notices(shared: Service, language: str, notices: str) -> None:
    """Any language tag is accepted. The answer shows which translation notices will use (decision 74)."""
    path = f"/customers/{SPOKEN_TO}"

    put = (await shared.programme("PUT", path, json={**TENANT, "language": language})).json()
    read = (await shared.programme("GET", path)).json()

    assert (put["language"], put["noticeLanguage"]) == (read["language"], read["noticeLanguage"]) == (language, notices)


async def test_unknown_workload_is_accepted_and_reported_and_a_misspelt_one_is_refused(service: Service) -> None:
    """A dry run (`validate=true`) reports unknown workloads too."""
    path = f"/customers/{NEW_TENANT}"
    new = {**TENANT, "workloads": ["teams", "copilot"]}

    tried = await service.programme("PUT", f"{path}?validate=true", json=new)
    put = await service.programme("PUT", path, json=new)
    slip = refused(
        await service.programme("PUT", path, json={**TENANT, "workloads": ["team"], "language": "french"}),
        400,
        "ValidationFailed",
    )

    assert tried.json()["unknownItems"] == put.json()["unknownItems"] == ["copilot"]
    assert {(detail["code"], detail["target"]) for detail in slip["details"]} == {
        ("ItemMisspelt", "workloads[0]"),
        ("ValidationFailed", "language"),
    }
    assert "'teams' is near" in str(slip)


async def test_refusal_of_a_name_with_capitals_names_the_similar_id(service: Service) -> None:
    """Such a name has the wrong form too, but it gets one detail, and that detail names the right id (decision 57)."""
    entry = {**TENANT, "workloads": ["Teams"], "domains": ["x"]}

    error = refused(await service.programme("PUT", f"/customers/{NEW_TENANT}", json=entry), 400, "ValidationFailed")

    assert [(detail["code"], detail["target"]) for detail in error["details"]] == [
        ("FieldInvalid", "domains[0]"),
        ("ItemMisspelt", "workloads[0]"),
    ]


async def test_time_zone_of_another_country_is_accepted_only_if_the_caller_confirms_it(service: Service) -> None:
    """The entry stores the confirmation, so that a caller can send back what it has read."""
    path = f"/customers/{NEW_TENANT}"
    sent = {**TENANT, "timeZone": "Asia/Tokyo"}

    refused(await service.programme("PUT", path, json=sent), 400, "TimeZoneElsewhere")
    taken = await service.programme("PUT", path, json={**sent, "timeZoneElsewhere": True})
    read = (await service.programme("GET", path)).json()

    assert (taken.status_code, read["timeZone"], read["timeZoneElsewhere"]) == (201, "Asia/Tokyo", True)
    assert "timeZoneElsewhere" not in (await service.programme("PUT", path, json=TENANT)).json()


async def test_entry_that_nobody_created_is_not_found(service: Service) -> None:
    """An unknown id gives 404. An id in a wrong form gives 400, for reads and for writes."""
    refused(await service.programme("GET", "/partners/1234567890"), 404, "NotFound")
    refused(await service.programme("GET", f"/customers/{NEW_TENANT}"), 404, "NotFound")
    for path in ("/partners/123", "/partners/x", "/partners/12345678901", "/customers/x", "/customers/contoso.fr"):
        refused(await service.programme("GET", path), 400, "ValidationFailed")
        refused(await service.programme("PUT", path, json=LOCATION), 400, "ValidationFailed")


async def test_tenant_id_in_capitals_names_the_same_tenant(service: Service) -> None:
    """A tenant id in the address of a request is compared without regard to case."""
    assert (await service.programme("GET", f"/customers/{CUSTOMER.upper()}")).json()["name"] == "Contoso France"


async def test_closed_day_is_created_read_renamed_listed_and_deleted(service: Service) -> None:
    """Each country and each region has its own closed days. A deleted closed day gives 404."""
    path = "/closed-days/GB-SCT/2026-11-30"
    made = await service.programme("PUT", path, json={"name": "A royal funeral"})
    read = await service.programme("GET", path)
    renamed = await service.programme("PUT", path, json={"name": "Day of mourning"})
    await service.programme("PUT", "/closed-days/FR/2026-12-01", json={"name": "Closed"})
    listed = await service.programme("GET", "/closed-days?maxpagesize=1")
    rest = await service.programme("GET", listed.json()["nextLink"].removeprefix(PUBLIC_URL))
    deleted = await service.programme("DELETE", path)

    assert (made.status_code, made.headers["Location"]) == (201, PUBLIC_URL + path)
    assert read.json() == {"calendar": "GB-SCT", "date": "2026-11-30", "name": "A royal funeral"}
    assert read.headers["ETag"] == made.headers["ETag"]
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Day of mourning")
    assert listed.json()["value"] == [{"calendar": "FR", "date": "2026-12-01", "name": "Closed"}]
    assert rest.json() == {"value": [{"calendar": "GB-SCT", "date": "2026-11-30", "name": "Day of mourning"}]}
    assert (deleted.status_code, deleted.content) == (204, b"")
    refused(await service.programme("GET", path), 404, "NotFound")
    refused(await service.programme("DELETE", path), 404, "NotFound")


async def test_stale_tag_of_a_closed_day_is_refused(service: Service) -> None:
    """A closed day that has changed since it was read is neither overwritten nor deleted."""
    path = "/closed-days/FR/2026-11-30"
    made = await service.programme("PUT", path, json={"name": "One"})
    await service.programme("PUT", path, json={"name": "Two"})
    stale = {"If-Match": made.headers["ETag"]}

    refused(await service.programme("PUT", path, json={"name": "Three"}, headers=stale), 412, "PreconditionFailed")
    refused(await service.programme("DELETE", path, headers=stale), 412, "PreconditionFailed")
    assert (await service.programme("GET", path)).json()["name"] == "Two"


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("XX/2026-11-30", "calendar"),
        ("fr/2026-11-30", "calendar"),
        ("FR-/2026-11-30", "calendar"),
        ("GB-XX/2026-11-30", "calendar"),
        ("CZ-10/2026-11-30", "calendar"),
        ("FRANCE-PARIS/2026-11-30", "calendar"),
        ("FR/2026-02-30", "date"),
        ("FR/20261130", "date"),
        ("FR/tomorrow", "date"),
    ],
)
@shares_its_service
async def test_closed_day_needs_a_real_place_and_date(shared: Service, place: str, target: str) -> None:
    """A closed day of an unknown place or date would have no effect, and nobody would notice."""
    for method in ("PUT", "GET", "DELETE"):
        body = {"name": "Closed"} if method == "PUT" else None
        answer = await shared.programme(method, f"/closed-days/{place}", json=body)

        assert set(targets(refused(answer, 400, "ValidationFailed"))) == {target}


@pytest.mark.parametrize(
    "body", [{}, {"name": " "}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": "A", "until": "B"}]
)
@shares_its_service
async def test_closed_day_has_a_name_of_one_line(shared: Service, body: dict[str, Any]) -> None:
    """Customers read the name in their mail, so it is one line of 1 to 100 characters."""
    refused(await shared.programme("PUT", "/closed-days/FR/2026-11-30", json=body), 400, "ValidationFailed")


async def test_customer_reads_why_the_window_is_longer(service: Service) -> None:
    """The claim and the mail name the closed day. A customer who was notified before keeps the promised last day."""
    before = await service.notified()
    await service.programme("PUT", "/closed-days/FR/2026-11-05", json={"name": "A day of mourning & silence"})
    unmoved = (await service.request("GET", f"/claims/{before['id']}")).json()["window"]
    await service.request("POST", f"/claims/{before['id']}/withdraw", json={})
    after = await service.notified(tenant=OTHER_PARTNER)

    assert (before["window"]["lastDay"], after["window"]["lastDay"]) == ("2026-11-09", "2026-11-10")
    assert {"date": "2026-11-05", "name": "A day of mourning & silence", "kind": "holiday"} in after["window"][
        "skippedDays"
    ]
    assert unmoved == before["window"]
    assert any("A day of mourning & silence" in mail.text for mail in service.mailbox.sent)


async def test_location_cannot_move_to_another_organisation(service: Service) -> None:
    """The answer is 409, because the claims and associations of a location belong to its organisation."""
    moved = {**LOCATION, "entraTenantId": OTHER_PARTNER}

    refused(await service.programme("PUT", "/partners/4782913", json=moved), 409, "OrganisationFixed")


@shares_its_service
async def test_all_faults_of_an_entry_are_reported_in_one_answer(shared: Service) -> None:
    """A wrong form, a wrong place and a subscription that is named twice get one detail each, in one answer."""
    twice = {
        "subscriptionId": NEW_TENANT,
        "product": "dynamics-365-sales",
        "channel": "EA",
        "state": "active",
        "seats": 1,
    }
    wrong = {
        "country": "France",
        "domains": ["x"],
        "timeZone": "Paris",
        "subscriptions": [twice, {**twice, "subscriptionId": NEW_TENANT.upper()}],
        "unknown": 1,
    }

    customer = await shared.programme("PUT", f"/customers/{NEW_TENANT}", json={**TENANT, **wrong})
    partner = await shared.programme(
        "PUT", "/partners/77770001", json={**LOCATION, "name": "", "subdivision": "ZZ9", "timeZone": "Paris"}
    )

    assert targets(refused(customer, 400, "ValidationFailed")) == {
        "country": "FieldInvalid",
        "domains[0]": "FieldInvalid",
        "timeZone": "ValidationFailed",
        "subscriptions[1].subscriptionId": "ValidationFailed",
        "unknown": "FieldUnknown",
    }
    assert set(targets(refused(partner, 400, "ValidationFailed"))) == {"name", "subdivision", "timeZone"}


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "fr"}, "country"),
        ({"country": "FRA"}, "country"),
        ({"subdivision": "ZZ9"}, "subdivision"),
        ({"country": "GB", "subdivision": "GB-SCT"}, "subdivision"),
        ({"timeZone": "Europe/Paris\x00"}, "timeZone"),
        ({"timeZone": "../../etc/passwd"}, "timeZone"),
        ({"timeZone": "America"}, "timeZone"),
        ({"timeZone": "CEST"}, "timeZone"),
        ({"timeZone": ""}, "timeZone"),
        ({"language": "französisch"}, "language"),
        ({"name": " "}, "name"),
    ],
)
@pytest.mark.parametrize(("path", "entry"), [("/partners/77770001", LOCATION), (f"/customers/{NEW_TENANT}", TENANT)])
@shares_its_service
async def test_unknown_place_is_refused(
    shared: Service, path: str, entry: dict[str, Any], change: dict[str, Any], target: str
) -> None:
    """With an unknown country or time zone the service would count the wrong business days (decision 18)."""
    error = refused(await shared.programme("PUT", path, json={**entry, **change}), 400, "ValidationFailed")

    assert target in targets(error)
    refused(await shared.programme("GET", path), 404, "NotFound")


@pytest.mark.parametrize(
    "change",
    [
        {"domains": []},
        {"domains": ["contoso"]},
        {"noticeAddresses": [f"{n}@contoso.cz" for n in range(11)]},
        {"noticeAddresses": ["nobody"]},
        {"subscriptions": TENANT["subscriptions"] * 2},
        {"subscriptions": [{**TENANT["subscriptions"][0], "seats": -1}]},
        {"subscriptions": [{**TENANT["subscriptions"][0], "seats": 10**30}]},
        {"subscriptions": [{**TENANT["subscriptions"][0], "seats": "5"}]},
        {"subscriptions": [{**TENANT["subscriptions"][0], "state": "Active"}]},
        {"workloads": ["Teams!"]},
    ],
)
@shares_its_service
async def test_customer_out_of_bounds_is_refused(shared: Service, change: dict[str, Any]) -> None:
    """For example, more than ten notice addresses, the same subscription twice, or a negative number of seats."""
    refused(
        await shared.programme("PUT", f"/customers/{NEW_TENANT}", json={**TENANT, **change}), 400, "ValidationFailed"
    )


async def test_500_subscriptions_fit_and_one_more_does_not(service: Service) -> None:
    """A customer has at most 500 subscriptions (decision 6)."""
    path = f"/customers/{NEW_TENANT}"
    many = [{**TENANT["subscriptions"][0], "subscriptionId": f"cccccccc-0000-4000-8000-{n:012x}"} for n in range(501)]

    assert (await service.programme("PUT", path, json={**TENANT, "subscriptions": many[:500]})).status_code == 201
    refused(await service.programme("PUT", path, json={**TENANT, "subscriptions": many}), 400, "ValidationFailed")
    assert (await service.programme("GET", path)).json()["subscriptions"] == many[:500]


async def test_partner_is_enrolled_only_in_known_engagements(service: Service) -> None:
    """Older programmes are known engagements too."""
    unknown = {**LOCATION, "enrolledEngagements": ["bizapps-revenue", "nothing"]}

    refused(await service.programme("PUT", "/partners/77770001", json=unknown), 400, "EngagementUnknown")
    assert (
        await service.programme("PUT", "/partners/77770001", json={**LOCATION, "enrolledEngagements": ["osu-m365"]})
    ).status_code == 201


# --- usage reports ----------------------------------------------------------------------------------------------------

FEED = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
LINE = '{"month": "2026-11", "item": "teams", "activeUsers": 1}'


@pytest.mark.parametrize(
    ("row", "taken"),
    [
        (LINE, True),
        ('{"month": "2026-11", "item": "teams", "activeUsers": 2147483647}', True),
        ('{"month": "2026-11", "item": "teams", "activeUsers": 1' + "0" * 400 + "}", False),
        ('{"month": "2026-13", "item": "teams", "activeUsers": 1}', False),
        ('{"month": "2026-11", "item": "teams", "activeUsers": -1}', False),
        ('{"month": "2026-11", "item": "teams", "activeUsers": 1.5}', False),
        ('{"month": "2026-11", "item": "teams", "activeUsers": NaN}', False),
        ('{"month": "2026-11", "item": "../x|y", "activeUsers": 1}', False),
        ('{"month": "2026-11"}', False),
        ("[]", False),
        ("{", False),
        ("\ufeff" + LINE, False),
        ("[" * 5000, False),
    ],
)
async def test_bad_row_is_reported_and_the_others_are_stored(service: Service, row: str, taken: bool) -> None:  # noqa: FBT001
    """The report has the number of the line, from 1. An empty line counts as a line, but not as a row."""
    answer = await service.programme("POST", FEED, content=f"{LINE}\r\n\n{row}\n", headers=JSON_LINES)

    result = answer.json()
    assert answer.status_code == 200, answer.text
    assert result["accepted"] + result["unchanged"] == (2 if taken else 1)
    assert [one["row"] for one in result["rejected"]] == ([] if taken else [3])


async def test_line_that_is_not_utf_8_is_a_bad_row(service: Service) -> None:
    """Such a line does not make the whole request fail."""
    answer = await service.programme("POST", FEED, content=b"\xff\xfe\n" + LINE.encode(), headers=JSON_LINES)

    assert (answer.json()["accepted"], [one["row"] for one in answer.json()["rejected"]]) == (1, [1])


@pytest.mark.parametrize(
    "query",
    ["?format=xml", "?format=", "?tenantId=x", "?asOf=today", "?asOf=2026-11-31", "?format=GRAPH-SUBSCRIPTIONS"],
)
@shares_its_service
async def test_wrong_query_of_a_usage_report_is_refused(shared: Service, query: str) -> None:
    """The query names the format, the tenant and the day of the figures. A wrong value gives 400."""
    refused(
        await shared.programme("POST", f"/usage/reports{query}", content=LINE, headers=JSON_LINES),
        400,
        "ValidationFailed",
    )


@pytest.mark.parametrize(
    ("format_", "takes"),
    [
        ("jsonl", "application/x-ndjson"),
        ("graph-subscribed-skus", "application/json"),
        ("graph-subscriptions", "application/json"),
        ("graph-service-user-counts", "text/csv"),
    ],
)
@shares_its_service
async def test_each_format_has_its_media_type(shared: Service, format_: str, takes: str) -> None:
    """Every other media type gives 415, also one of another format."""
    for other in {"application/x-ndjson", "application/json", "text/csv", "text/plain", ""} - {takes}:
        answer = await shared.programme(
            "POST",
            f"/usage/reports?tenantId={CUSTOMER}&format={format_}",
            content=b"{}",
            headers={"Content-Type": other},
        )
        refused(answer, 415, "UnsupportedMediaType")


@pytest.mark.parametrize("format_", ["graph-subscribed-skus", "graph-subscriptions", "graph-service-user-counts"])
@shares_its_service
async def test_report_of_graph_needs_a_tenant_in_the_query(shared: Service, format_: str) -> None:
    """The report itself does not name its tenant."""
    takes = "text/csv" if format_ == "graph-service-user-counts" else "application/json"

    error = refused(
        await shared.programme(
            "POST", f"/usage/reports?format={format_}", content=b'{"value": []}', headers={"Content-Type": takes}
        ),
        400,
        "ValidationFailed",
    )

    assert [(one["code"], one["target"]) for one in error["details"]] == [("FieldRequired", "tenantId")]


@pytest.mark.slow
async def test_usage_report_has_at_most_32_mebibytes(service: Service) -> None:
    """A longer report gives 413. A report without a format in its query is read as JSON lines."""
    path = f"/usage/reports?tenantId={CUSTOMER}"
    refused(
        await service.programme("POST", path, content=b"\n" * (32 * 2**20 + 1), headers=JSON_LINES),
        413,
        "PayloadTooLarge",
    )

    answer = await service.programme("POST", path, content=LINE + "\n" * (32 * 2**20 - len(LINE)), headers=JSON_LINES)

    assert answer.json() == {"accepted": 1, "unchanged": 0, "rejected": []}


# --- throttling -------------------------------------------------------------------------------------------------------


async def test_partner_that_writes_too_fast_must_wait(service: Service) -> None:
    """Its next write gives 429 with Retry-After. Its reads, other partners and the programme are not limited."""

    class OneWrite(Throttle):
        def admits(self, organisation: str, at: float) -> bool:
            return super().admits(organisation, 0.0)

    bootstrap.use(replace(service.services, throttle=OneWrite(1)))
    answers = [await service.request("POST", "/claims", json=claim_as_sent()) for _ in range(2)]
    read = await service.request("GET", "/claims")
    other = await service.request("POST", "/claims", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER))
    programme = [await service.programme("PUT", f"/customers/{NEW_TENANT}", json=TENANT) for _ in range(3)]

    assert answers[0].status_code == 201
    refused(answers[1], 429, "TooManyRequests")
    assert answers[1].headers["Retry-After"] == "1"
    assert (read.status_code, other.status_code) == (200, 201)
    assert [answer.status_code for answer in programme] == [201, 200, 200]


# --- the sandbox's clock ----------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox(service: Service) -> AsyncIterator[Service]:
    """The service with the real clock of the sandbox: its offset is stored in a table, and its time goes on."""
    clock = SandboxClock(service.services.rows)
    ports = replace(service.services.ports, now=clock.now, real_now=clock.real)
    bootstrap.use(replace(service.services, clock=clock, ports=ports))
    yield service
    bootstrap.use(service.services)


async def now_of(service: Service) -> datetime:
    """Return the service's time."""
    return datetime.fromisoformat((await service.programme("GET", "/sandbox/clock")).json()["now"])


async def test_clock_goes_forward_by_a_duration_or_to_an_instant(sandbox: Service) -> None:
    """The answer has the new time."""
    before = await now_of(sandbox)
    advanced = await sandbox.programme("POST", "/sandbox/clock", json={"advance": "P1DT1H"})
    set_to = await sandbox.programme("POST", "/sandbox/clock", json={"now": "2090-01-01T00:00:00+01:00"})

    gone = datetime.fromisoformat(advanced.json()["now"]) - before
    assert 25 * 3600 <= gone.total_seconds() < 25 * 3600 + 60
    assert (await now_of(sandbox)).year == 2089
    assert datetime.fromisoformat(set_to.json()["now"]) >= datetime(2089, 12, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"advance": "-P1D"}, "ClockBackwards"),
        ({"now": "2000-01-01T00:00:00Z"}, "ClockBackwards"),
        ({"now": "9999-12-31T23:59:59Z"}, "ValidationFailed"),
        ({"now": "0001-01-01T00:00:00+23:59"}, "ValidationFailed"),
        ({"advance": "P999999999D"}, "ValidationFailed"),
        ({"advance": "P9999999999999D"}, "ValidationFailed"),
        ({"advance": "1 day"}, "ValidationFailed"),
        ({"advance": 86400}, "ValidationFailed"),
        ({"advance": "86400"}, "ValidationFailed"),
        ({"advance": "P"}, "ValidationFailed"),
        ({"now": "tomorrow"}, "ValidationFailed"),
        ({"now": 0}, "ValidationFailed"),
        ({"now": "2090-01-01T00:00:00"}, "ValidationFailed"),
        ({"advance": "P1D", "now": "2090-01-01T00:00:00Z"}, "ValidationFailed"),
        ({}, "ValidationFailed"),
        ({"advance": None, "now": None}, "ValidationFailed"),
    ],
)
async def test_clock_refuses_a_wrong_change(sandbox: Service, change: dict[str, Any], code: str) -> None:
    """A change that is backwards, too far, or not in ISO 8601 is refused, and the time does not change."""
    refused(await sandbox.programme("POST", "/sandbox/clock", json=change), 400, code)
    assert (await now_of(sandbox)).year < 2089


async def test_clock_exists_only_in_the_sandbox(service: Service) -> None:
    """Elsewhere its address gives 404, for the operator too."""
    settings = service.services.settings.model_copy(update={"sandbox": False})
    bootstrap.use(replace(service.services, settings=settings))

    refused(await service.programme("GET", "/sandbox/clock"), 404, "NotFound")
    refused(await service.programme("POST", "/sandbox/clock", json={"advance": "P1D"}), 404, "NotFound")
