"""The programme's list of claims in any state, and its search (decisions 52 and 55)."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from cpor_core.use_cases.claims import any_state
from tests.support.service import (
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PUBLIC_URL,
    WORKLOADS,
    Service,
)
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused

ZABKA = "bbbbbbbb-0000-4000-8000-000000000002"
LISTS = ("", f"&tenantId={CUSTOMER}", f"&partnerId={PARTNER_ID}")
"""The three ways to the same claims: the list of all, a tenant's claims, an organisation's list."""


async def listed(service: Service, query: str = "", role: str = "Program.Reader") -> list[Any]:
    """Return the rows of the list, over all its pages."""
    rows: list[Any] = []
    path = f"/reviews?state=any{query}"
    while path:
        answer = await service.programme("GET", path, role=role)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["value"]
        path = answer.json().get("nextLink", "").removeprefix(PUBLIC_URL)
    return rows


async def ids(service: Service, query: str = "", role: str = "Program.Reader") -> list[str]:
    """Return the ids of the claims in the list."""
    return [row["id"] for row in await listed(service, query, role)]


async def zabka(service: Service) -> None:
    """Register a second customer."""
    customer = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()
    for name in ("noticeLanguage", "unknownItems"):
        customer.pop(name, None)
    changes = {"name": "Żabka Polska", "domains": ["zabka.pl"], "subscriptions": []}
    answer = await service.programme("PUT", f"/customers/{ZABKA}", json={**customer, **changes})
    assert answer.status_code == 201, answer.text


async def at_zabka(service: Service, **changes: Any) -> str:
    """Return the id of a new draft for the second customer."""
    service.clock.advance(timedelta(minutes=1))
    draft = await service.draft(**{**WORKLOADS, "customer": {"tenantId": ZABKA, "domain": "zabka.pl"}, **changes})
    return str(draft["id"])


async def in_states(service: Service) -> dict[str, str]:
    """Return the ids of claims in several states, by state, the newest first."""
    made: dict[str, str] = {}

    async def keep(status: str, claim: Any) -> None:
        service.clock.advance(timedelta(minutes=1))
        made[status] = claim["id"]

    await keep("official", await service.official())
    withdrawn = await service.submitted(**{**WORKLOADS, "items": [{"workload": "sharepoint"}]})
    await service.request("POST", f"/claims/{withdrawn['id']}/withdraw", json={})
    await keep("withdrawn", withdrawn)
    await keep("underReview", await service.under_review())
    await keep("draft", await service.draft())
    gone = await service.draft()
    await service.request("DELETE", f"/claims/{gone['id']}")
    return dict(reversed(made.items()))


@pytest.mark.parametrize("source", LISTS)
async def test_claims_in_every_state_are_listed_newest_first(service: Service, source: str) -> None:
    """Page by page, drafts too. A deleted draft is gone. One or several states can be chosen."""
    made = await in_states(service)

    assert await ids(service, source) == await ids(service, f"{source}&maxpagesize=1") == list(made.values())
    assert [row["status"] for row in await listed(service, source)] == list(made)
    assert await ids(service, f"{source}&status=official") == [made["official"]]
    both = [made["draft"], made["official"]]
    assert await ids(service, f"{source}&status=official,draft&maxpagesize=1") == both
    assert await ids(service, f"{source}&status=official&status=draft") == both
    assert await ids(service, f"{source}&status=declined") == []


async def test_a_tenant_and_a_location_can_be_chosen(service: Service) -> None:
    """Each alone, and both together. A location is not the whole organisation."""
    await zabka(service)
    own, at_other = (await service.draft())["id"], await at_zabka(service)
    service.clock.advance(timedelta(minutes=1))
    of_other = (await service.draft(tenant=OTHER_PARTNER))["id"]
    location = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    await service.programme("PUT", "/partners/77001", json={**location, "name": "Adatum Lyon"})
    service.clock.advance(timedelta(minutes=1))
    in_lyon = (await service.draft(partnerId="77001"))["id"]

    assert await ids(service) == [in_lyon, of_other, at_other, own]
    assert await ids(service, f"&tenantId={ZABKA}") == [at_other]
    assert await ids(service, f"&tenantId={CUSTOMER.upper()}") == [in_lyon, of_other, own]
    assert await ids(service, f"&partnerId={PARTNER_ID}") == [at_other, own]
    assert await ids(service, f"&partnerId={PARTNER_ID}&tenantId={CUSTOMER}") == [own]
    assert await ids(service, "&partnerId=77001") == [in_lyon]
    assert await ids(service, f"&tenantId={PARTNER}") == await ids(service, "&partnerId=990099") == []


async def test_rows_are_those_of_the_queue(service: Service) -> None:
    """Names and taker; a reader gets the closed row; `overdue` and `competing` select."""
    claim = await service.under_review()
    service.clock.advance(timedelta(minutes=1))
    draft = await service.draft(tenant=OTHER_PARTNER)

    [first, whole] = await listed(service, role="Program.Operator")
    [row] = (await service.programme("GET", "/reviews")).json()["value"]

    assert whole == row
    assert (first["id"], first["partnerName"], first["takenBy"]) == (draft["id"], "Fabrikam Services", None)
    assert "name" not in (await listed(service))[0]
    assert await ids(service, "&competing=true") == []
    assert await ids(service, "&overdue=false") == [draft["id"], claim["id"]]
    service.clock.advance(timedelta(days=30))
    assert await ids(service, "&overdue=true") == [claim["id"]]


@pytest.mark.parametrize("few", [any_state.FEW_SOURCES, 0], ids=["few sources", "the list of all"])
async def test_a_search_finds_ids_and_names_of_the_registry_only(
    service: Service, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Every word of the query must fit. The claim's own words are not searched, for nobody."""
    monkeypatch.setattr(any_state, "FEW_SOURCES", few)
    await zabka(service)
    words: Any = {"name": "Zebra project", "reference": "Zebra-1", "comment": "Zebra"}
    one = (await service.draft(**words))["id"]
    two = await at_zabka(service, **words)
    service.clock.advance(timedelta(minutes=1))
    three = (await service.draft(tenant=OTHER_PARTNER, **words))["id"]

    for q, found in {
        "contoso": [three, one],
        "contoso.fr": [three, one],
        "zabka": [two],
        "ŻABKA pol": [two],
        "adatum": [two, one],
        "adatum zab": [two],
        "fabrikam, contoso": [three],
        "fabrikam zabka": [],
        PARTNER_ID: [two, one],
        OTHER_PARTNER_ID[:4]: [three],
        PARTNER: [two, one],
        ZABKA: [two],
        one: [one],
        one[:40]: [one],
        one.upper(): [one],
        f"{one} zabka": [],
        "zebra": [],
        "Anne Durand": [],
        "sow.pdf": [],
    }.items():
        for role in ("Program.Reader", "Program.Operator"):
            assert await ids(service, f"&q={quote(q)}", role) == found, q
        assert await ids(service, f"&q={quote(q)}&maxpagesize=1") == found, q
    assert await ids(service, "&q=contoso&q=fabrikam&maxpagesize=1") == [three]
    assert await ids(service, f"&q=contoso&partnerId={PARTNER_ID}&status=draft") == [one]
    assert await ids(service, f"&q=adatum&tenantId={ZABKA}") == [two]


async def test_a_claim_for_a_tenant_that_is_not_registered_is_found_by_its_ids(service: Service) -> None:
    """A draft can name any tenant."""
    draft = await at_zabka(service)

    for q in (draft, draft[:36], ZABKA, "adatum"):
        assert await ids(service, f"&q={q}") == [draft]
    [row] = await listed(service)
    assert (row["customerName"], row["partnerName"]) == (None, "Adatum Conseil")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=all", "state must be any."),
        ("state=any&sample=true", "The query has `sample`, which is not possible together with `state=any`."),
        *(
            (query, "The query needs `state=any`, because it has `tenantId`, `partnerId`, `status` or `q`.")
            for query in (f"tenantId={CUSTOMER}", f"partnerId={PARTNER_ID}", "status=draft", "q=contoso")
        ),
        ("state=any&q=a", "q must have 2 to 100 characters."),
        ("state=any&q=a+b+c+d+e+f", "q may have at most 5 words."),
        ("state=any&tenantId=contoso", None),
        ("state=any&partnerId=x", None),
        ("state=any&status=opened", None),
        ("state=any&status=", None),
    ],
)
@shares_its_service
async def test_a_wrong_filter_is_refused(shared: Service, query: str, says: str | None) -> None:
    """With a sentence about it."""
    answer = await shared.programme("GET", f"/reviews?{query}")

    refused(answer, 400, "ValidationFailed")
    assert says in (None, answer.json()["error"]["details"][0]["message"])


async def test_a_cursor_fits_only_the_list_that_gave_it(service: Service) -> None:
    """Another filter needs a new first page."""
    for _ in range(2):
        service.clock.advance(timedelta(minutes=1))
        await service.draft()
    page = await service.programme("GET", "/reviews?state=any&maxpagesize=1")
    cursor = page.json()["nextLink"].rpartition("cursor=")[2]

    refused(await service.programme("GET", f"/reviews?cursor={cursor}"), 400, "InvalidCursor")
    other = f"/reviews?state=any&tenantId={CUSTOMER}&cursor={cursor}"
    refused(await service.programme("GET", other), 400, "InvalidCursor")
