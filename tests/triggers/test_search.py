"""`q` in the lists of claims, partners and customers (decision 55b)."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.service import (
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER_ID,
    PUBLIC_URL,
    Service,
    claim_as_sent,
)
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets

LISTS = ("/claims", "/partners", "/customers")


async def ask(service: Service, path: str, **who: str) -> Any:
    """Send a GET as the one who may read this list."""
    if path.startswith("/claims"):
        return await service.request("GET", path, **who)  # type: ignore[arg-type]
    return await service.programme("GET", path, **who)


async def ids(service: Service, path: str, name: str = "id", **who: str) -> list[str]:
    """Return the ids of a list, over all its pages."""
    found: list[str] = []
    while path:
        answer = await ask(service, path, **who)
        assert answer.status_code == 200, answer.text
        found += [one[name] for one in answer.json()["value"]]
        path = answer.json().get("nextLink", "").removeprefix(PUBLIC_URL)
    return found


@pytest.mark.parametrize(
    ("q", "says"),
    [
        ("", "q must have 2 to 100 characters."),
        ("a", "q must have 2 to 100 characters."),
        ("%20a%20", "q must have 2 to 100 characters."),
        ("a" * 101, "q must have 2 to 100 characters."),
        ("a+b+c+d+e+f", "q may have at most 5 words."),
        ("--", "q must have a letter or a digit."),
    ],
)
@shares_its_service
async def test_a_search_that_cannot_be_made_is_refused(shared: Service, q: str, says: str) -> None:
    """In every list, with the limit that it breaks."""
    for path in LISTS:
        answer = await ask(shared, f"{path}?q={q}")
        assert targets(refused(answer, 400, "ValidationFailed")) == {"q": "FieldInvalid"}
        assert answer.json()["error"]["details"][0]["message"] == says


async def test_words_can_be_separated_by_blanks_commas_and_parameters(service: Service) -> None:
    """All forms mean the same search."""
    claim = await service.draft(name="Teams adoption", reference="PO 4711")
    await service.draft(name="Teams", reference="X 4822")

    for q in ("q=tea%204711", "q=tea,4711", "q=TEA+47%2Cpo,", "q=tea&q=4711", "q=%20tea%20,%204711"):
        assert await ids(service, f"/claims?{q}") == [claim["id"]], q


async def test_a_draft_is_found_by_all_of_its_texts(service: Service) -> None:
    """Name, the customer's registered name, domain, reference and id; in the export's filters there is no search."""
    await service.register(name="Żabka Polska")
    claim = await service.draft(name="Déploiement Teams", reference="CRM-4711")

    for q in ("deploiement", "żab", "zabka polska", "contoso.fr", "crm-47", claim["id"], claim["id"][:40], CUSTOMER):
        assert await ids(service, f"/claims?q={quote(q)}") == [claim["id"]], q
        assert await ids(service, f"/claims?q={quote(q)}", tenant=OTHER_PARTNER) == []
    refused(await ask(service, "/claims/export?q=teams"), 400, "QueryUnknown")


async def test_a_search_combines_with_filters_and_pages(service: Service) -> None:
    """The link to the next page keeps the search, and its cursor fits no other search."""
    made = [(await service.draft(name=f"Teams {n}", reference="A" if n % 2 else "B"))["id"] for n in range(5)]
    await service.draft(name="Exchange")

    assert sorted(await ids(service, "/claims?q=teams&maxpagesize=2")) == sorted(made)
    assert sorted(await ids(service, "/claims?q=teams&reference=A&maxpagesize=1")) == sorted(made[1::2])
    assert await ids(service, "/claims?q=teams&status=official") == []
    link = (await ask(service, "/claims?q=teams&maxpagesize=2")).json()["nextLink"]
    assert "q=teams" in link
    cursor = link.partition("cursor=")[2]
    for other in ("/claims?q=team", "/claims?"):
        refused(await ask(service, f"{other}&maxpagesize=2&cursor={cursor}"), 400, "InvalidCursor")


async def test_changes_are_found_at_once(service: Service) -> None:
    """A new name, a new reference of a submitted claim, a deleted draft."""
    claim, draft = await service.submitted(name="Teams"), await service.draft(name="Teams draft")
    await service.request("PATCH", f"/claims/{claim['id']}", json={"reference": "PO-4711"}, headers={"If-Match": "*"})
    await service.request("PATCH", f"/claims/{draft['id']}", json={"name": "Exchange"}, headers={"If-Match": "*"})

    assert await ids(service, "/claims?q=4711") == await ids(service, "/claims?q=teams") == [claim["id"]]
    assert await ids(service, "/claims?q=exch") == [draft["id"]]
    await service.request("DELETE", f"/claims/{draft['id']}")
    assert await ids(service, "/claims?q=exch") == []


async def test_drafts_of_a_batch_are_found(service: Service) -> None:
    """By the same words as other drafts."""
    rows = json.dumps(claim_as_sent(name="Bulk Teams")) + "\n"
    sent = await service.request(
        "POST", "/claim-batches", content=rows, headers={"Content-Type": "application/x-ndjson"}
    )
    assert sent.status_code == 202, sent.text
    await service.deliver()

    assert len(await ids(service, "/claims?q=bulk")) == 1


async def test_the_programme_lists_partners_and_customers(service: Service) -> None:
    """Each entry is the single answer with its id, in the order of the ids."""
    partner = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    customer = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()

    partners = (await service.programme("GET", "/partners")).json()
    customers = (await service.programme("GET", "/customers")).json()

    assert [one["partnerId"] for one in partners["value"]] == sorted([PARTNER_ID, OTHER_PARTNER_ID])
    assert {**partner, "partnerId": PARTNER_ID} in partners["value"]
    assert customers == {"value": [{**customer, "tenantId": CUSTOMER}]}
    assert await ids(service, "/partners?maxpagesize=1", "partnerId") == sorted([PARTNER_ID, OTHER_PARTNER_ID])


async def test_the_programme_searches_partners_and_customers(service: Service) -> None:
    """By name, id and domain, as they are registered now."""
    partner = (await service.programme("GET", f"/partners/{PARTNER_ID}")).json()
    await service.register(name="Žižkov Brewery", domains=["contoso.fr", "zizkov.cz"])
    await service.programme("PUT", f"/partners/{PARTNER_ID}", json={**partner, "name": "Conseil d'Évry"})

    for q in ("evry", "conseil%20d", PARTNER_ID, partner["entraTenantId"]):
        assert await ids(service, f"/partners?q={q}", "partnerId") == [PARTNER_ID], q
    assert await ids(service, "/partners?q=adatum", "partnerId") == []
    for q in ("zizkov", "BREW", "zizkov.cz", CUSTOMER, CUSTOMER.replace("-", "")):
        assert await ids(service, f"/customers?q={q}", "tenantId") == [CUSTOMER], q
    assert await ids(service, "/customers?q=ewery", "tenantId") == []
