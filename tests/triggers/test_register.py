"""`GET /register` and `GET /register/changes`: forms, pages, instants, refusals (decisions 53, 54)."""

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from cpor_core.model.base import rfc3339
from tests.support.service import (
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PUBLIC_URL,
    SUBSCRIPTION,
    WORKLOADS,
    Service,
)
from tests.triggers.refusals import refused

FIELDS = [
    "tenantId",
    "customerName",
    "country",
    "engagement",
    "item",
    "itemName",
    "partnerId",
    "partnerName",
    "organisation",
    "since",
    "until",
    "endReason",
    "associationId",
]
EVERY_FORM = pytest.mark.parametrize("filters", ["", f"&tenantId={CUSTOMER}", f"&partnerId={PARTNER_ID}"])
"""Answers from the stored rows, and from the claims of one tenant."""


async def register(service: Service, query: str = "", role: str = "Program.Reader") -> dict[str, Any]:
    """Return an answer of the register."""
    answer = await service.programme("GET", f"/register?{query}", role=role)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def two_items(service: Service) -> None:
    """Bring a claim for two workloads to official by time alone."""
    claim = await service.under_review(items=[{"workload": "teams"}, {"workload": "exchange"}])
    await service.review("POST", f"/reviews/{claim['id']}/approve", json={})
    await service.deliver()
    told = await service.reread(claim)
    service.clock.set(datetime.fromisoformat(told["window"]["endsAt"]) + timedelta(minutes=2))


@EVERY_FORM
async def test_a_row_has_a_closed_list_of_fields(service: Service, filters: str) -> None:
    """The register says who holds which item, and never a person. A reader sees what an operator sees."""
    claim = await service.official()

    found = await register(service, filters)

    assert list(found) == ["asOf", "completeTo", "value"]
    assert list(found["value"][0]) == FIELDS
    assert found["value"] == [
        {
            "tenantId": CUSTOMER,
            "customerName": "Contoso France",
            "country": "FR",
            "engagement": claim["engagement"],
            "item": SUBSCRIPTION,
            "itemName": "Dynamics 365 Sales",
            "partnerId": PARTNER_ID,
            "partnerName": "Adatum Conseil",
            "organisation": PARTNER,
            "since": claim["window"]["endsAt"],
            "until": None,
            "endReason": None,
            "associationId": claim["id"],
        }
    ]
    assert await register(service, filters, role="Program.Operator") == found


@EVERY_FORM
async def test_the_register_answers_about_any_past_instant(service: Service, filters: str) -> None:
    """An association that has ended since is in the answer, with its end."""
    claim = await service.official()
    since = claim["window"]["endsAt"]
    service.clock.advance(timedelta(days=1))
    ended = await service.request("POST", f"/associations/{claim['id']}/end", json={"reason": "Done."})
    until = ended.json()["endedAt"]
    service.clock.advance(timedelta(days=1))

    async def ids(query: str) -> list[tuple[str, str, str]]:
        found = await register(service, f"{query}{filters}")
        return [(one["since"], one["until"], one["endReason"]) for one in found["value"]]

    whole = [(since, until, "partnerDisassociated")]
    assert await ids("") == []
    assert await ids(f"asOf={until}") == []
    assert await ids(f"asOf={since}") == whole
    assert await ids(f"asOf={since[:10]}") == []
    assert await ids("ended=true") == whole
    assert await ids(f"ended=true&from={until}") == whole
    assert await ids(f"ended=true&to={until}") == []
    assert await ids(f"ended=true&from={since}&to={until[:10]}") == []


async def test_an_answer_says_its_instant_and_up_to_when_it_is_complete(service: Service) -> None:
    """The two instants go with each page, also when time goes on."""
    await two_items(service)
    now = await service.clock.now()

    first = await register(service, "maxpagesize=1")
    service.clock.advance(timedelta(hours=1))
    second = await service.programme("GET", first["nextLink"].removeprefix(PUBLIC_URL))
    asked = await register(service, "asOf=2026-11-05T12:00:00Z")

    assert datetime.fromisoformat(first["asOf"]) == now
    assert datetime.fromisoformat(first["completeTo"]) == now - timedelta(minutes=6)
    assert [one["item"] for one in (*first["value"], *second.json()["value"])] == ["exchange", "teams"]
    assert (second.json()["asOf"], second.json()["completeTo"]) == (first["asOf"], first["completeTo"])
    assert "nextLink" not in second.json()
    assert asked["asOf"] == "2026-11-05T12:00:00Z"


@EVERY_FORM
async def test_csv_is_for_spreadsheets(service: Service, filters: str) -> None:
    """Each page has the names of the columns. A text that would run as a formula is defused."""
    await service.register(name="=HYPERLINK(1)")
    await two_items(service)

    seen, link, now = [], f"/register?maxpagesize=1{filters}", await service.clock.now()
    while link:
        answer = await service.programme("GET", link, headers={"Accept": "text/csv"})
        assert answer.headers["Cpor-As-Of"] == rfc3339(now)
        assert answer.headers["Cpor-Complete-To"] == rfc3339(now - timedelta(minutes=6))
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert answer.content.startswith(b"\xef\xbb\xbf")
        names, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
        assert names == FIELDS
        seen += [dict(zip(names, row, strict=True)) for row in rows]
        link = next_page(answer.headers.get("Link", ""))

    assert [(one["item"], one["itemName"], one["until"]) for one in seen] == [
        ("exchange", "Exchange", ""),
        ("teams", "Teams", ""),
    ]
    assert {one["customerName"] for one in seen} == {"'=HYPERLINK(1)"}


async def test_json_lines_have_a_row_on_each_line(service: Service) -> None:
    """The lines of all pages are the rows of the JSON answer."""
    await two_items(service)
    wanted = await register(service)

    lines, link = [], "/register?maxpagesize=1"
    while link:
        answer = await service.programme("GET", link, headers={"Accept": "application/x-ndjson"})
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        lines += answer.text.splitlines()
        link = next_page(answer.headers.get("Link", ""))

    assert [json.loads(line) for line in lines] == wanted["value"]


def next_page(header: str) -> str:
    """Return the address in a Link header of RFC 8288."""
    if not header:
        return ""
    assert header.startswith(f"<{PUBLIC_URL}/register?")
    assert header.endswith(">; rel=next")
    return header.removeprefix(f"<{PUBLIC_URL}").removesuffix(">; rel=next")


async def test_filters_of_the_register(service: Service) -> None:
    """Each filter leaves out what does not fit. Capital letters in an id are accepted."""
    await two_items(service)

    for fits in (
        f"tenantId={CUSTOMER.upper()}",
        f"partnerId={PARTNER_ID}",
        f"organisation={PARTNER.upper()}",
        "engagement=modern-work-security-usage",
        "country=FR",
        f"item=Teams&partnerId={PARTNER_ID}&tenantId={CUSTOMER}&country=FR",
    ):
        assert (await register(service, fits))["value"], fits
    for other in (
        f"tenantId={PARTNER}",
        f"partnerId={OTHER_PARTNER_ID}",
        "partnerId=99990000",
        f"organisation={OTHER_PARTNER}",
        "engagement=bizapps-revenue",
        "country=CZ",
        f"tenantId={CUSTOMER}&country=CZ",
        "item=sharepoint",
    ):
        assert (await register(service, other))["value"] == [], other


@pytest.mark.parametrize(
    ("query", "targets"),
    [
        ("asOf=2026-11-02T09:00:01Z", ["asOf"]),
        ("ended=true&to=2026-11-03", ["to"]),
        ("ended=true&asOf=2026-11-01", ["asOf"]),
        ("from=2026-10-01", ["from"]),
        ("from=2026-10-01&to=2026-10-02", ["from", "to"]),
        ("ended=true&from=2026-11-01&to=2026-10-01", ["from"]),
        ("ended=true&from=2026-11-03", ["from"]),
        ("asOf=yesterday", ["asOf"]),
        ("ended=yes", ["ended"]),
        ("tenantId=contoso", ["tenantId"]),
        ("organisation=adatum", ["organisation"]),
        ("partnerId=12", ["partnerId"]),
        ("country=fr", ["country"]),
        ("item=a|b", ["item"]),
        ("maxpagesize=1001", ["maxpagesize"]),
    ],
)
async def test_a_wrong_question_is_refused_in_full(service: Service, query: str, targets: list[str]) -> None:
    """Each detail names its parameter and says what to send."""
    answer = await service.programme("GET", f"/register?{query}")

    details = refused(answer, 400, "ValidationFailed")["details"]
    assert [detail["target"] for detail in details] == targets
    assert all(detail["resolution"] for detail in details)


async def test_a_cursor_belongs_to_its_question(service: Service) -> None:
    """A cursor of another question, or a changed cursor, is refused."""
    await two_items(service)
    link = (await register(service, "maxpagesize=1"))["nextLink"]
    cursor = link.partition("cursor=")[2]

    other = await service.programme("GET", f"/register?country=FR&cursor={cursor}")
    changed = await service.programme("GET", f"/register?cursor={cursor[:-2]}AA")

    refused(other, 400, "InvalidCursor")
    refused(changed, 400, "InvalidCursor")


# --- the programme's feed --------------------------------------------------------------------------------------------


async def changes(service: Service, query: str = "") -> dict[str, Any]:
    """Return the next changes of the programme's feed."""
    answer = await service.programme("GET", f"/register/changes?{query}", role="Program.Reader")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_programmes_feed_has_the_changes_of_all_claims(service: Service) -> None:
    """Each change has the fields of the partner's feed, and says whose claim it is."""
    own = await service.submitted()
    other = await service.submitted(tenant=OTHER_PARTNER, **WORKLOADS)

    found = await changes(service, "maxpagesize=1000")

    for claim, partner, partner_id in ((own, PARTNER, PARTNER_ID), (other, OTHER_PARTNER, OTHER_PARTNER_ID)):
        of_partner = (await service.request("GET", "/changes", tenant=partner)).json()["value"]
        of_claim = [one for one in found["value"] if one["claimId"] == claim["id"]]
        assert [(one["type"], one["status"], one["at"]) for one in of_claim] == [
            (one["type"], one["status"], one["at"]) for one in of_partner
        ]
        assert {(one["organisation"], one["partnerId"], one["tenantId"]) for one in of_claim} == {
            (partner, partner_id, CUSTOMER)
        }
        assert len({one["feed"] for one in of_claim}) == 1
        assert set(of_claim[0]) == set(of_partner[0]) | {"organisation", "partnerId", "tenantId", "feed"}


async def test_a_cursor_of_the_programme_goes_on_where_it_was_taken(service: Service) -> None:
    """Then nothing, until something new happens."""
    claim = await service.submitted()
    first = await changes(service)
    again = await changes(service, f"cursor={quote(first['cursor'])}")
    await service.request("POST", f"/claims/{claim['id']}/withdraw")
    after = await changes(service, f"cursor={quote(again['cursor'])}")

    assert (again["value"], again["cursor"]) == ([], first["cursor"])
    assert [one["type"] for one in after["value"]] == ["claim.withdrawn"]


async def test_a_partners_reference_is_not_in_the_programmes_feed(service: Service) -> None:
    """No other side sees that the reference has changed (decision 56)."""
    claim = await service.submitted()
    tag = {"If-Match": claim["etag"]}
    await service.request("PATCH", f"/claims/{claim['id']}", json={"reference": "PO 4711"}, headers=tag)

    found = await changes(service)

    assert "noteChanged" not in json.dumps(found)


async def test_a_cursor_of_the_programme_expires(service: Service) -> None:
    """After 400 days a change is deleted. Then the cursor before it is refused."""
    await service.submitted()
    first = await changes(service)
    claim = await service.submitted(**WORKLOADS)
    for _ in range(3):
        await changes(service)
    service.clock.advance(timedelta(days=401))
    for act in ("start", "approve"):
        await service.review("POST", f"/reviews/{claim['id']}/{act}", json={})
    for _ in range(4):
        await changes(service)
        service.clock.advance(timedelta(minutes=12))
        await service.sweep()

    answer = await service.programme("GET", f"/register/changes?cursor={quote(first['cursor'])}")

    refused(answer, 410, "CursorExpired")
    assert (await changes(service))["value"]


async def test_a_changed_cursor_of_the_programme_is_refused(service: Service) -> None:
    """The cursor of another list is refused too."""
    partners = (await service.request("GET", "/changes")).json()["cursor"]
    own = (await changes(service))["cursor"]

    for cursor in (partners, own[:-2] + "AA", "0,0"):
        answer = await service.programme("GET", f"/register/changes?cursor={quote(cursor)}")
        refused(answer, 400, "InvalidCursor")
