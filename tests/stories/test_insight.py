"""
The programme's figures about all claims, as JSON, as a table and as a page.

They are counted each hour and on request.
"""

import csv
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest

from cpor_app import bootstrap
from tests.support.service import OTHER_PARTNER, OTHER_PARTNER_ID, PARTNER_ID, Service

WORKLOADS: dict[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}


@pytest.fixture
async def deployed(service: Service) -> Service:
    """The service as in the cloud: the timer counts the figures, and reads do not."""
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
    """Create an association, an overdue review, and another partner's draft with a formula in its name."""
    await service.official()
    await service.submitted(**WORKLOADS)
    service.clock.advance(timedelta(days=30))
    await service.draft(tenant=OTHER_PARTNER, partnerId=OTHER_PARTNER_ID)


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
    """Each grouping has a chart and a table. The page has no script and loads nothing from other hosts."""
    await lives(service)

    answer = await service.programme("GET", "/insight/page")

    assert answer.status_code == 200
    assert "script" not in answer.headers["content-security-policy"]
    assert answer.text.count('<svg role="img"') == 1 + 2 * 6 - 1
    assert "3 claims, 1 of them official associations" in answer.text
    for words in ("Adatum Conseil", "Dynamics 365 Sales", "Start of review to decision"):
        assert words in answer.text


async def test_in_the_cloud_the_timer_counts(deployed: Service) -> None:
    """Nothing is shown before the first count. Its figures stay until the next count, which can be requested."""
    assert await insight(deployed, "status") == {"asOf": None, "groupBy": "status", "total": None, "value": []}
    assert "Nothing has been counted yet" in (await deployed.programme("GET", "/insight/page")).text
    await deployed.draft()

    await deployed.fire("recount_insight")
    first = await insight(deployed, "status")
    assert claims(first) == {"draft": (1, 0)}
    await deployed.draft()
    await deployed.fire("recount_insight")
    assert await insight(deployed, "status") == first

    asked = await deployed.programme("POST", "/insight/recount")
    assert (asked.status_code, asked.json()) == (202, {"asOf": first["asOf"]})
    assert asked.headers["operation-location"].endswith("/api/insight")
    await deployed.fire("recount_insight")
    assert claims(await insight(deployed, "status")) == {"draft": (2, 0)}
    assert "2 claims" in (await deployed.programme("GET", "/insight/page")).text


async def test_an_unknown_grouping_is_refused(service: Service) -> None:
    """The refusal lists the groupings."""
    answer = await service.programme("GET", "/insight?groupBy=colour")

    assert answer.status_code == 400
    assert "engagement" in answer.text
