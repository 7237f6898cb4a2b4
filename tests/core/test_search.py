"""Searches: index rows lead to claims, partners and customers, and only what has all words now is found."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables import indexes
from cpor_core.due_work import Kind
from cpor_core.errors import Refused, Retryable
from cpor_core.model.claim import ClaimedCustomer, NewClaim
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules import search_words
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import drafts, listing, search
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.use_cases.registry import lists, partners_and_customers
from cpor_core.use_cases.registry.partners_and_customers import CustomerChange
from tests.core.builders import ADATUM, FABRIKAM, PARTNER_IDS, PERSON, TENANT, contacts, customer, partner
from tests.core.memory_core import Core

OTHER_TENANT = "bbbbbbbb-0000-4000-8000-000000000002"


async def named(core: Core, name: str, organisation: str = ADATUM, **changes: Any) -> Case:
    """Create a draft with this name, a minute after the last."""
    core.clock.advance(timedelta(minutes=1))
    return await changed(core, await core.draft(organisation, evidence=False), name=name, **changes)


async def changed(core: Core, case: Case, **patch: Any) -> Case:
    """Change a draft by a merge patch."""
    return await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)


async def found(core: Core, query: str, organisation: str = ADATUM, **more: Any) -> list[str]:
    """Return the names of the claims that a query finds, in order."""
    more = {"after": "", "limit": 50, **more}
    page = await search.search_own(core.ports, organisation, query, await core.now(), **more)
    assert page.position is None
    return [case.claim.name for case in page.cases]


async def put_customer(core: Core, tenant_id: str = TENANT, **changes: Any) -> None:
    """Register a customer as the operator does."""
    change = CustomerChange(tenant_id, customer(**changes))
    await partners_and_customers.put_customer(core.ports, change, await core.now())


def words_of_claims(core: Core) -> set[str]:
    """Return the words for which `partnerclaims` has index rows."""
    keys = [key for table, _, key in core.rows._rows if table == "partnerclaims" and key.startswith("word|")]
    return {bytes.fromhex(key.split("|")[1]).decode() for key in keys}


# --- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["tea", "TEAMS roll-out", "contoso.fr", "po4711 teams", "żółw", "zołw", f"{TENANT}", "4711 żół tea"]
)
async def test_a_claim_is_found_by_the_beginnings_of_its_words(core: Core, query: str) -> None:
    """The words are in its name, its domain, its reference and its id."""
    await named(core, "Teams roll-out Żółw", reference="PO4711 4711")
    await named(core, "Exchange", FABRIKAM)

    assert await found(core, query) == ["Teams roll-out Żółw"]


@pytest.mark.parametrize("query", ["eams", "teams exchange", "adatum", "anne"])
async def test_a_claim_without_one_of_the_words_is_not_found(core: Core, query: str) -> None:
    """People, partners and the middle of words are not searched."""
    await named(core, "Teams")
    await named(core, "Exchange")

    assert await found(core, query) == []


async def test_a_search_is_newest_first_over_all_words(core: Core) -> None:
    """Whichever word of a claim begins so, the claim comes once and in the order of creation."""
    for name in ("Team two", "Teamwork teams", "Tea", "Team"):
        await named(core, name)

    assert await found(core, "te") == ["Team", "Tea", "Teamwork teams", "Team two"]


async def test_pages_of_a_search_follow_one_another(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim comes once, also if one call can read only few claims and most of them lack a word."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 2)
    for number in range(6):
        await named(core, f"Teams {'even' if number % 2 == 0 else 'odd'} n{number}")
    after, names, pages = "", list[str](), 0

    while True:
        page = await search.search_own(core.ports, ADATUM, "od teams", await core.now(), after=after, limit=2)
        names += [case.claim.name for case in page.cases]
        pages += 1
        if page.position is None:
            break
        after = page.position

    assert names == ["Teams odd n5", "Teams odd n3", "Teams odd n1"]
    assert pages == 3


async def test_a_search_combines_with_other_filters(core: Core) -> None:
    """A claim must fit both."""
    first = await named(core, "Teams one")
    await named(core, "Teams two")

    assert await found(core, "teams", wanted=lambda case: case.claim.id == first.claim.id) == ["Teams one"]


async def test_nobody_finds_a_claim_of_another_organisation(core: Core) -> None:
    """Its words are in the partition of its own organisation, and so is its tenant."""
    await put_customer(core, name="Żabka Polska")
    await named(core, "Teams", FABRIKAM)

    assert await found(core, "teams") == await found(core, "zabka") == await found(core, TENANT) == []


async def test_a_claim_is_found_by_the_registered_name_of_its_customer(core: Core) -> None:
    """A draft too. The name is the one that is registered now, and can be combined with words of the claim."""
    await named(core, "Teams")
    await named(core, "Exchange")
    await put_customer(core, name="Żabka Polska")

    assert await found(core, "zab") == ["Exchange", "Teams"]
    assert await found(core, "polska teams") == await found(core, "pol teams zabka") == ["Teams"]
    assert await found(core, "zab fabrikam") == []
    await put_customer(core, name="Contoso AG")
    assert await found(core, "zab") == []
    assert await found(core, "ag") == ["Exchange", "Teams"]


async def test_a_domain_that_only_the_registry_knows_finds_no_claim(core: Core) -> None:
    """A partner does not learn by a search which domains its customer has."""
    await named(core, "Teams")
    await put_customer(core, domains=("contoso.fr", "secret.example"))

    assert await found(core, "secret") == []


async def test_claims_at_many_tenants_are_found_in_few_requests(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of wanted tenants are read on from one to the next, also when a tenant fills several pages."""
    monkeypatch.setattr(indexes, "PAGE_ROWS", 3)
    tenants = [f"bbbbbbbb-0000-4000-8000-0000000001{number:02d}" for number in range(6)]
    ids = [tenant.replace("-", "") + f"{number:020x}" for tenant in tenants for number in range(4)]
    for number, claim_id in enumerate(ids):
        await core.ports.partner_claims.add(ADATUM, f"{number:016d}|{claim_id}", claim_id, ["word"])

    for wanted in (tenants, tenants[1:2], tenants[::5], [*tenants[2:4], OTHER_TENANT], []):
        rows = await core.ports.partner_claims.at_tenants(ADATUM, wanted, limit=100)
        assert {row.claim_id for row in rows} == {
            one for one in ids if one[:32] in {tenant.replace("-", "") for tenant in wanted}
        }
        assert len({row.position for row in rows}) == len(rows)


async def test_a_word_that_leads_to_too_many_entries_is_refused(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says what to do, and a longer word leads to fewer entries."""
    for module in (search, lists, search_words):
        monkeypatch.setattr(module, "MOST_FOUND", 2)
    for name in ("Teams", "Teamwork", "Team"):
        await named(core, name)
    for number in range(3):
        await put_partner(core, f"700000{number}", name=f"Northwind {number}")

    for asked in (found(core, "te"), lists.partners(core.ports, "nort", after="", limit=9)):
        with pytest.raises(Refused, match="ValidationFailed") as refused:
            await asked
        assert (refused.value.target, refused.value.resolution) == (
            "q",
            "Send a longer word, or one more word that is longer.",
        )
    assert await found(core, "te teamw") == ["Teamwork"]


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_a_changed_claim_is_found_by_its_new_words_at_once(core: Core) -> None:
    """The old words find it no more, and the timer deletes their rows."""
    case = await named(core, "Teams", reference="PO4711")
    await changed(core, case, name="Exchange", reference="PO4712", customer={"domain": "contoso.com"})

    assert await found(core, "exchange po4712 com") == ["Exchange"]
    assert await found(core, "teams") == await found(core, "po4711") == []
    assert "teams" in words_of_claims(core)
    await core.rest()
    assert words_of_claims(core) == {case.claim.id[: search_words.LONGEST_WORD], "exchange", "contoso", "com", "po4712"}
    assert Kind.REPLACE_WORDS not in {row.kind for row in await core.due_rows(case)}


async def test_a_change_that_is_not_stored_loses_nothing(core: Core) -> None:
    """The process dies after the index rows. The claim is found as it is stored, before and after the timer."""

    async def die(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise Retryable("the process died")

    case = await named(core, "Teams")
    core.rows.before = die
    with pytest.raises(Retryable):
        await changed(core, case, name="Exchange")
    core.rows.before = None

    for _ in range(2):
        assert await found(core, "teams") == ["Teams"]
        assert await found(core, "exchange") == []
        for _ in range(5):
            await core.rest()
    assert "exchange" not in words_of_claims(core)
    await changed(core, case, name="Exchange")
    assert await found(core, "exchange") == ["Exchange"]


@pytest.mark.parametrize("comes_again", [False, True])
async def test_a_creation_that_is_never_stored_leaves_no_words(core: Core, comes_again: bool) -> None:  # noqa: FBT001 - a column of the table
    """The process dies between the index rows and the claim. The caller may send the request again with its key."""

    async def die(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise SystemError("the process dies")

    sent, key = await new_claim(core), IdempotencyKey("k" * 64, "b" * 64, ADATUM)
    core.rows.before = die
    with pytest.raises(SystemError):
        await drafts.create(core.ports, ADATUM, PERSON, sent, await core.now(), key)
    core.rows.before = None
    core.clock.advance(timedelta(minutes=2))
    if comes_again:
        await drafts.create(core.ports, ADATUM, PERSON, sent, await core.now(), key)
    await core.sweep()

    assert "teams" in words_of_claims(core)
    assert await found(core, "teams") == (["Teams"] if comes_again else [])
    for _ in range(5):
        await core.rest()
    assert await found(core, "teams") == (["Teams"] if comes_again else [])
    rows = [key for _, of, key in core.rows._rows if of == ADATUM and key.startswith("word|")]
    assert len(rows) == (4 if comes_again else 0)
    assert [row for row in await core.due_rows() if row.kind is Kind.REPLACE_WORDS] == []


async def new_claim(core: Core) -> NewClaim:
    """Return a claim named *Teams* as a partner sends it."""
    claim = (await core.draft(FABRIKAM, evidence=False)).claim
    return NewClaim(
        name="Teams",
        partner_id=PARTNER_IDS[ADATUM],
        engagement=claim.engagement,
        customer=ClaimedCustomer(tenant_id=TENANT, domain=claim.domain),
        items=claim.items,
        contacts=contacts(),
    )


async def test_a_deleted_draft_leaves_no_words(core: Core) -> None:
    """Its key and all of its words go."""
    case = await named(core, "Teams")
    await changed(core, case, name="Exchange")
    await drafts.delete(core.ports, await core.case(case), PERSON, await core.now())

    assert await found(core, "exchange") == []
    for _ in range(3):
        await core.rest()
    assert words_of_claims(core) == set()
    assert [key for table, _, key in core.rows._rows if table == "partnerclaims"] == []


async def test_a_deleted_draft_whose_words_changed_at_last_gets_no_new_words(core: Core) -> None:
    """The due rows of both acts come together, and the queue is late."""
    case = await named(core, "Teams")
    await changed(core, case, name="Exchange")
    await drafts.delete(core.ports, await core.case(case), PERSON, await core.now())
    core.lose_messages()

    for _ in range(3):
        await core.rest()
    assert words_of_claims(core) == set()


async def test_a_claim_of_release_1_is_found_after_a_rebuild(core: Core) -> None:
    """The rebuild also deletes words that the claim does not have."""
    case = await named(core, "Teams")
    for table, partition, key in list(core.rows._rows):
        if table in ("partnerclaims", "registry") and key.startswith(("word", "entry|")):
            del core.rows._rows[table, partition, key]
    position = listing.position_of(case.claim)
    await core.ports.partner_claims.add(ADATUM, position, case.claim.id, ["wrong"])
    assert await found(core, "teams") == []
    assert (await lists.customers(core.ports, None, after="", limit=9))[0] == []

    await rebuild(core.ports, await core.now())

    assert await found(core, "teams") == ["Teams"]
    assert "wrong" not in words_of_claims(core)
    assert await found(core, customer().name) == ["Teams"]
    assert [tenant for tenant, _ in (await lists.customers(core.ports, None, after="", limit=9))[0]] == [TENANT]
    assert len((await lists.partners(core.ports, "adatum", after="", limit=9))[0]) == 1


async def test_a_list_has_no_words_in_it(core: Core) -> None:
    """The rows of words come after all keys of the list, and no page reaches them."""
    await named(core, "Teams")

    rows = await core.ports.partner_claims.page(ADATUM, after="", limit=9)

    assert len(rows) == 1
    assert await core.ports.partner_claims.page(ADATUM, after=rows[0].position, limit=9) == []


# --- partners and customers -------------------------------------------------------------------------------------------


async def put_partner(core: Core, partner_id: str, **changes: Any) -> Partner:
    """Register a location as the operator does."""
    value = partner(**changes)
    await partners_and_customers.put_partner(core.ports, partner_id, value, None, await core.now())
    return value


async def all_pages(core: Core, query: str | None, limit: int) -> list[str]:
    """Return the partnerIds of a list, page by page."""
    after, ids = "", list[str]()
    while True:
        page, position = await lists.partners(core.ports, query, after=after, limit=limit)
        ids += [partner_id for partner_id, _ in page]
        assert len(page) <= limit
        if position is None:
            return ids
        after = position


@pytest.mark.parametrize("limit", [1, 2, 5, 40, 1000])
async def test_the_list_has_all_partners_by_their_ids(core: Core, limit: int) -> None:
    """Whatever the size of a page. A search has those that fit, in the same order."""
    numbers = [str(7000000 + number) for number in range(40)]
    for number in reversed(numbers):
        await put_partner(core, number, name=f"Northwind {'North' if int(number) % 2 else 'South'}")

    assert await all_pages(core, None, limit) == numbers
    assert await all_pages(core, "northw", limit) == numbers
    assert await all_pages(core, "northw nor sou", limit) == numbers[::2]
    assert await all_pages(core, "7000007", limit) == ["7000007"]
    assert await all_pages(core, "westwind", limit) == []


async def test_one_call_reads_few_entries(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page can be empty and have a next page."""
    monkeypatch.setattr(lists, "MOST_LOOKED_AT", 2)
    for number in range(5):
        await put_partner(core, f"700000{number}", name="Northwind last" if number == 4 else "Northwind")

    assert await lists.partners(core.ports, "northwind last", after="", limit=9) == ([], "7000001")
    assert await all_pages(core, "northwind last", 9) == ["7000004"]
    assert len(await all_pages(core, None, 9)) == 5


async def test_a_customer_is_found_by_name_domain_and_tenant(core: Core) -> None:
    """A change of its name deletes the old words."""
    await put_customer(core, name="Żabka", domains=("zabka.pl", "zabka.onmicrosoft.com"))
    await put_customer(core, OTHER_TENANT, name="Northwind", domains=("northwind.example",))

    async def tenants(query: str) -> list[tuple[str, Customer]]:
        page, position = await lists.customers(core.ports, query, after="", limit=9)
        assert position is None
        return list(page)

    for query in ("zabka", "ZAB pl", "zabka.onmicrosoft.com", TENANT, TENANT.replace("-", "")[:32]):
        assert await tenants(query) == [(TENANT, customer(name="Żabka", domains=("zabka.pl", "zabka.onmicrosoft.com")))]
    await put_customer(core, name="Fresh", domains=("fresh.example",))
    assert await tenants("zabka") == []
    assert [tenant for tenant, _ in await tenants("fres")] == [TENANT]
    assert await core.ports.customers.found("zabka", limit=9) == []


async def test_equal_words_cost_no_request(core: Core) -> None:
    """The nightly synchronisation of customers mostly changes no name."""
    await put_customer(core)
    core.rows.written.clear()

    await put_customer(core, language="fr")

    assert core.rows.written == ["registry"]


async def test_an_entry_is_never_registered_without_being_listed(core: Core) -> None:
    """The process dies before the entry, at its change too. A listed entry that is not registered is not shown."""

    async def die(_: str, ops: Sequence[Op]) -> None:
        if ops[0].key == "registered":
            raise Retryable("the process died")

    core.rows.before = die
    with pytest.raises(Retryable):
        await put_partner(core, "7000001", name="First")
    core.rows.before = None
    assert await core.ports.partners.page(after="", limit=9) == ["7000001"]
    assert await lists.partners(core.ports, None, after="", limit=9) == ([], None)
    await put_partner(core, "7000001", name="First")

    core.rows.before = die
    with pytest.raises(Retryable):
        await put_partner(core, "7000001", name="Second")
    core.rows.before = None

    assert await all_pages(core, "first", 9) == ["7000001"]
    assert await all_pages(core, "second", 9) == []
    await put_partner(core, "7000001", name="Second")
    assert await all_pages(core, "second", 9) == ["7000001"]
    assert await core.ports.partners.found("first", limit=9) == []


async def test_the_longest_word_of_four_bytes_a_letter_fits_its_key(core: Core) -> None:
    """A longer word of a query finds it too, and is compared in full."""
    await named(core, "𐌰" * 200)

    assert await found(core, "𐌰" * 100) == ["𐌰" * 200]
    assert await found(core, "𐌰" * 99 + "𐌱") == []
