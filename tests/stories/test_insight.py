"""The programme's figures about all claims, as JSON, as a table and as a page."""

import csv
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from cpor_app import bootstrap
from tests.support.service import CUSTOMER, OTHER_PARTNER, OTHER_PARTNER_ID, PARTNER_ID, SUBSCRIPTION, Service

WORKLOADS: dict[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}


@pytest.fixture
async def deployed(service: Service) -> Service:
    """The service as in the cloud: due work moves the sums, and reads do not."""
    settings = service.services.settings.model_copy(update={"sandbox": False})
    service.services = replace(service.services, settings=settings)
    bootstrap.use(service.services)
    return service


async def insight(service: Service, group_by: str, **headers: str) -> Any:
    """Return the figures."""
    answer = await service.programme("GET", f"/insight?groupBy={group_by}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def claims(found: Any) -> dict[str, tuple[int, int]]:
    """Return the number of claims and associations in each group."""
    return {one["key"]: (one["claims"], one["associations"]) for one in found["value"]}


async def lives(service: Service) -> None:
    """Create an association, an overdue review, and another partner's draft."""
    await service.official()
    await service.submitted(**WORKLOADS)
    service.clock.advance(timedelta(days=30))
    await service.draft(tenant=OTHER_PARTNER, partnerId=OTHER_PARTNER_ID)
    await service.fire("finalise_uncontested")


async def test_every_grouping_counts_all_claims(service: Service) -> None:
    """A claim counts once for each of its workloads."""
    await lives(service)

    found = {
        by: await insight(service, by) for by in ("engagement", "workload", "country", "partner", "status", "month")
    }

    assert claims(found["engagement"]) == {"usage-recognition-bizapps": (2, 1), "modern-work-security-usage": (1, 0)}
    assert claims(found["workload"]) == {"dynamics-365-sales": (2, 1), "teams": (1, 0), "exchange": (1, 0)}
    assert claims(found["country"]) == {"FR": (3, 1)}
    assert claims(found["partner"]) == {PARTNER_ID: (2, 1), OTHER_PARTNER_ID: (1, 0)}
    assert claims(found["status"]) == {"draft": (1, 0), "submitted": (1, 0), "official": (1, 1)}
    assert claims(found["month"]) == {"2026-11": (2, 1), "2026-12": (1, 0)}
    total = found["status"]["total"]
    assert (total["claims"], total["associations"], total["overdue"], total["overdueRate"]) == (3, 1, 1, 1.0)
    assert {step["step"]: step["medianHours"] for step in total["steps"] if step["count"]}["window"] > 5 * 24
    assert all(one["total"] == total for one in found.values())


async def test_figures_are_served_as_a_table_too(service: Service) -> None:
    """The table has a byte order mark and one line for each group. A spreadsheet runs nothing in it."""
    await lives(service)

    answer = await service.programme("GET", "/insight?groupBy=partner", headers={"Accept": "text/csv"})

    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["key"], row["name"], row["claims"], row["declineRate"]) for row in rows] == [
        (PARTNER_ID, "Adatum Conseil", "2", "0.0"),
        (OTHER_PARTNER_ID, "Fabrikam Services", "1", ""),
    ]
    assert float(rows[0]["windowMedianHours"]) > 5 * 24


async def test_the_page_shows_the_figures(service: Service) -> None:
    """It has words in place of codes. It has no script and loads nothing from other hosts."""
    await lives(service)

    answer = await service.programme("GET", "/insight/page")

    assert answer.status_code == 200
    assert "script" not in answer.headers["content-security-policy"]
    for words in (
        "Adatum Conseil",
        "Dynamics 365 Sales",
        "Start of review to decision",
        "Official association",
        "December 2026",
        "France",
    ):
        assert words in answer.text
    for code in ("reviewStarted", "underReview", "2026-12<", ">FR<"):
        assert code not in answer.text


async def test_an_empty_page_says_what_is_missing(service: Service) -> None:
    """It has no empty charts of claims."""
    page = (await service.programme("GET", "/insight/page")).text

    assert "There is no claim yet." in page
    assert "No item has both figures yet." in page
    assert "Growth by" not in page


async def test_the_page_of_one_claim_speaks_of_one_claim(service: Service) -> None:
    """A noun agrees with its number."""
    await service.official()
    await service.fire("finalise_uncontested")

    page = (await service.programme("GET", "/insight/page")).text

    assert "; 1 claim<" in page
    assert not re.search(r"\b1 (claims|items|groups|minutes)", page)


async def test_only_operators_see_small_groups_on_the_page(service: Service) -> None:
    """A reader is told how many groups are hidden."""
    await service.official()
    await service.fire("finalise_uncontested")

    seen = (await service.programme("GET", "/insight/page")).text
    hidden = (await service.programme("GET", "/insight/page", role="Program.Reader")).text

    words = "Hidden: 1 group with fewer than five customers."
    assert (words in seen, words in hidden) == (False, True)


async def test_in_the_cloud_due_work_moves_the_sums(deployed: Service) -> None:
    """An act is counted when its due work is done. `asOf` says up to when that is certain."""
    empty = await insight(deployed, "status")
    assert (empty["total"]["claims"], empty["value"]) == (0, [])
    assert datetime.fromisoformat(empty["asOf"]) < deployed.clock.real()
    await deployed.draft()

    before = await insight(deployed, "status")
    deployed.clock.advance(timedelta(minutes=3))
    await deployed.fire("finalise_uncontested")

    assert before["value"] == []
    assert claims(await insight(deployed, "status")) == {"draft": (1, 0)}


async def test_an_operator_can_have_all_claims_counted_again(deployed: Service) -> None:
    """The figures go on to be shown, and they are the same afterwards."""
    await deployed.draft()
    deployed.clock.advance(timedelta(minutes=3))
    await deployed.fire("finalise_uncontested")

    asked = await deployed.programme("POST", "/insight/recount")

    assert asked.status_code == 202
    assert asked.headers["operation-location"].endswith("/api/insight")
    assert asked.json()["asOf"] == (await insight(deployed, "status"))["asOf"]
    deployed.clock.advance(timedelta(minutes=1))
    await deployed.fire("finalise_uncontested")
    assert claims(await insight(deployed, "status")) == {"draft": (1, 0)}


async def test_an_unknown_grouping_is_refused(service: Service) -> None:
    """The refusal lists the groupings."""
    answer = await service.programme("GET", "/insight?groupBy=colour")

    assert answer.status_code == 400
    assert "engagement" in answer.text


async def test_only_an_operator_sees_the_impact_of_a_few_customers(service: Service) -> None:
    """Others get the number of hidden groups. The operator gets the growth of the associated item."""
    await load(service, users=40)
    await service.official()
    service.clock.advance(timedelta(days=40))
    await service.fire("finalise_uncontested")
    await load(service, users=50)

    seen = (await service.programme("GET", IMPACT)).json()
    hidden = (await service.programme("GET", IMPACT, role="Program.Reader")).json()

    assert seen["value"] == [seen["total"] | {"key": PARTNER_ID, "name": "Adatum Conseil"}]
    assert seen["total"] == {
        "key": "",
        "name": "",
        "baseline": 40,
        "now": 50,
        "growth": 10,
        "growthShare": 0.25,
        "counted": 1,
        "withoutBaseline": 0,
        "withoutNow": 0,
    }
    assert (hidden["value"], hidden["total"], hidden["hidden"], hidden["measure"]) == ([], None, 1, "impact")
    assert "+25.0 %" in (await service.programme("GET", "/insight/page")).text
    assert "+25.0 %" not in (await service.programme("GET", "/insight/page", role="Program.Reader")).text


IMPACT = "/insight?measure=impact&groupBy=partner"


async def load(service: Service, *, users: int) -> None:
    """Load the active users of the customer's subscription, as of today."""
    day = service.clock.real().date()
    line = {"month": f"{day:%Y-%m}", "item": SUBSCRIPTION, "activeUsers": users}
    loaded = await service.programme(
        "POST",
        f"/usage/reports?format=jsonl&tenantId={CUSTOMER}&asOf={day}",
        content=json.dumps(line),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert loaded.json()["accepted"] == 1, loaded.text


@pytest.mark.parametrize("measure", ["impact", "coverage", "reasons", "funnel"])
async def test_each_measure_is_served_as_a_table_too(service: Service, measure: str) -> None:
    """The columns are the same with and without groups."""
    path = f"/insight?measure={measure}&groupBy=country"
    empty = await service.programme("GET", path, headers={"Accept": "text/csv"})
    await lives(service)

    table = await service.programme("GET", path, headers={"Accept": "text/csv"})
    found = (await service.programme("GET", path)).json()

    rows = list(csv.DictReader(StringIO(table.content.decode("utf-8-sig"))))
    assert table.text.splitlines()[0] == empty.text.splitlines()[0]
    assert [row["key"] for row in rows] == [one["key"] for one in found["value"]]
    assert len(rows) == (measure != "reasons")  # no claim was rejected or declined, and no association has ended
    assert found["measure"] == measure


async def test_coverage_names_the_groupings_that_go_with_it(service: Service) -> None:
    """An item that nobody has claimed has no partner."""
    answer = await service.programme("GET", "/insight?measure=coverage&groupBy=partner")

    assert answer.status_code == 400
    (detail,) = answer.json()["error"]["details"]
    assert detail["target"] == "groupBy"
    assert detail["message"] == "groupBy must be one of: engagement, workload, country for measure=coverage."
