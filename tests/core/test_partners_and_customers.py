"""The operator's registry, and what ends when a customer's items are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Delete, Op
from cpor_core.due_work import Kind
from cpor_core.errors import Conflict, Refused, Retryable
from cpor_core.model.claim import Item, Reason, Status
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases import change_claim
from cpor_core.use_cases.claims.subscription_ends import AGAIN_AFTER, end_gone_items
from cpor_core.use_cases.registry import partners_and_customers
from cpor_core.use_cases.registry.partners_and_customers import CustomerChange, Kept, registry_etag
from tests.core.builders import (
    ADATUM,
    EXCHANGE,
    FABRIKAM,
    PARTNER_IDS,
    SHAREPOINT,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    customer,
    partner,
    subscription,
)
from tests.core.world import World

NEW = "7770001"


async def put_partner(world: World, value: Partner, partner_id: str = NEW, if_match: str | None = None) -> Kept:
    """Register a partner."""
    return await partners_and_customers.put_partner(world.ports, partner_id, value, if_match)


async def put_customer(world: World, value: Customer, tenant: str = TENANT, **more: Any) -> tuple[Kept, Sequence[Any]]:
    """Register a customer."""
    return await partners_and_customers.put_customer(
        world.ports, CustomerChange(tenant, value, **more), await world.now()
    )


# --- partners ---------------------------------------------------------------------------------------------------------


async def test_a_partner_is_registered_and_changed(world: World) -> None:
    """Each write has the next version."""
    assert await put_partner(world, partner()) == Kept(1, new=True)
    assert await put_partner(world, partner(name="Renamed")) == Kept(2, new=False)
    assert (registry_etag(1), registry_etag(2)) == ('"1"', '"2"')


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        ({"country": "XX"}, ["country"]),
        ({"country": "GB", "subdivision": "XYZ", "time_zone": "Europe/London"}, ["subdivision"]),
        ({"time_zone": "Europe/Nowhere"}, ["timeZone"]),
        ({"country": "XX", "time_zone": "Factory"}, ["country", "timeZone"]),
    ],
)
async def test_a_place_that_is_not_known_is_refused(world: World, changes: dict[str, Any], targets: list[str]) -> None:
    """For partners and customers alike; everything that is wrong at once (rulings 18)."""
    for refused in (put_partner(world, partner(**changes)), put_customer(world, customer(**changes))):
        with pytest.raises(Refused) as refusal:
            await refused
        assert refusal.value.code == "ValidationFailed"
        assert [detail.target for detail in refusal.value.details] == targets


async def test_a_partner_is_enrolled_in_engagements_that_exist(world: World) -> None:
    """Under older names too."""
    assert (await put_partner(world, partner(enrolled_engagements=("osu-m365",)))).new

    with pytest.raises(Refused, match="EngagementUnknown"):
        await put_partner(world, partner(enrolled_engagements=(USAGE, "no-such")))


async def test_a_partner_id_stays_with_its_organisation(world: World) -> None:
    """It never changes (rulings 32)."""
    with pytest.raises(Refused, match="OrganisationFixed"):
        await put_partner(world, partner(FABRIKAM), PARTNER_IDS[ADATUM])


@pytest.mark.parametrize(
    ("if_match", "taken"), [(None, True), ("*", True), ('"1"', True), ('"2"', False), ('W/"1"', False)]
)
async def test_a_change_may_be_bound_to_a_version(world: World, if_match: str | None, taken: bool) -> None:  # noqa: FBT001 - a column of the table
    """A stale one is refused."""
    changes = [
        put_partner(world, partner(), PARTNER_IDS[ADATUM], if_match),
        put_customer(world, customer(), if_match=if_match),
    ]
    for change in changes:
        if taken:
            await change
        else:
            with pytest.raises(Refused, match="PreconditionFailed"):
                await change


async def test_what_is_not_there_matches_no_version(world: World) -> None:
    """Not even any."""
    with pytest.raises(Refused, match="PreconditionFailed"):
        await put_partner(world, partner(), if_match="*")


async def test_a_write_of_ours_whose_answer_was_lost_is_a_success(world: World) -> None:
    """The SDK repeats it, and it meets itself."""

    async def lost() -> None:
        raise Conflict("registry: EntityAlreadyExists")

    async with world.rows.once_after("registry", lost):
        assert await put_partner(world, partner()) == Kept(1, new=True)
    async with world.rows.once_after("registry", lost):
        assert (await put_customer(world, customer(name="Renamed")))[0] == Kept(2, new=False)


async def test_a_lost_race_is_told(world: World) -> None:
    """Somebody else wrote something else; or it was deleted."""

    async def quicker() -> None:
        await put_partner(world, partner(name="Quicker"))

    async with world.rows.once_before("registry", quicker):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await put_partner(world, partner(name="Slower"))

    async def gone() -> None:
        await world.rows.write("registry", f"partner|{NEW}", Delete("registered"))

    async with world.rows.once_before("registry", gone):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await put_partner(world, partner(name="Slower"))


# --- customers --------------------------------------------------------------------------------------------------------


async def test_a_new_customer_ends_nothing(world: World) -> None:
    """There is nothing that could end."""
    assert await put_customer(world, customer(), ADATUM) == (Kept(1, new=True), ())


async def test_a_subscription_is_named_once(world: World) -> None:
    """Two of the same id would be two answers."""
    with pytest.raises(Refused, match="ValidationFailed"):
        await put_customer(world, customer(subscriptions=(subscription(), subscription(seats=7))))


@dataclass
class Issuer:
    """It knows whose each domain is; it may be out of reach."""

    domains: dict[str, str] = field(default_factory=lambda: {"contoso.fr": TENANT, "fabrikam.example": FABRIKAM})
    gone: bool = False
    asked: list[str] = field(default_factory=list)

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        self.asked += domains
        if self.gone:
            raise Retryable("out of reach")
        return {domain: self.domains.get(domain.lower()) for domain in domains}


@pytest.fixture
def issuer(world: World) -> Issuer:
    """The world, with domains looked up."""
    issuer = Issuer()
    world.ports = replace(world.ports, domains=issuer)
    return issuer


async def test_the_operators_word_is_enough_unless_domains_are_looked_up(world: World) -> None:
    """As it is by default."""
    assert world.ports.domains is None
    assert (await put_customer(world, customer(domains=("fabrikam.example",)), ADATUM))[0].new


async def test_a_domain_that_comes_new_is_the_tenants(world: World, issuer: Issuer) -> None:
    """Registered ones are not asked about again, in whatever case they are written."""
    await put_customer(world, customer(domains=("Contoso.FR",)))
    assert issuer.asked == []

    issuer.domains["contoso.example"] = TENANT
    kept, _ = await put_customer(world, customer(domains=("contoso.fr", "Contoso.Example")))
    assert (kept.version, issuer.asked) == (3, ["Contoso.Example"])


@pytest.mark.parametrize("only_validate", [False, True])
async def test_a_domain_that_is_not_the_tenants_is_refused(
    world: World,
    issuer: Issuer,
    only_validate: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Each is named with whose it is, when it is only to be judged too; nothing is written."""
    domains = ("fabrikam.example", "contoso.fr", "nosuch.example")

    with pytest.raises(Refused) as refusal:
        await put_customer(world, customer(domains=domains), ADATUM, only_validate=only_validate)

    assert refusal.value.code == "DomainNotOnTenant"
    assert [(one.code, one.target) for one in refusal.value.details] == [
        ("DomainOfAnotherTenant", "domains[0]"),
        ("DomainOfAnotherTenant", "domains[1]"),
        ("DomainUnknown", "domains[2]"),
    ]
    assert f"fabrikam.example belongs to the tenant {FABRIKAM}" in refusal.value.details[0].message
    assert await world.ports.registry.customer(ADATUM) is None


async def test_while_domains_cannot_be_looked_up_nothing_is_written(world: World, issuer: Issuer) -> None:
    """Neither the entry nor a debt of it, though associations would end by it."""
    await world.official()
    issuer.gone = True
    change = customer(domains=("contoso.fr", "contoso.example"), subscriptions=(subscription(state="disabled"),))
    world.rows.written.clear()

    with pytest.raises(Retryable):
        await put_customer(world, change)

    assert world.rows.written == []


async def test_what_is_gone_ends_at_once(world: World) -> None:
    """Associations end, open claims lose the item; those who were told hear of it (rulings 32)."""
    held = await world.official()
    pending = await world.submitted(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE)

    kept, ends = await put_customer(
        world, customer(workloads=("exchange",), subscriptions=(subscription(state="disabled"),))
    )

    assert (kept.version, kept.new) == (2, False)
    assert {(ending.claim_id, ending.association, ending.keys) for ending in ends} == {
        (held.claim.id, True, (SUBSCRIPTION,)),
        (pending.claim.id, False, ("teams",)),
    }
    ended, struck = (await world.stored(held)).claim, (await world.stored(pending)).claim
    assert (ended.status, ended.end_reason) == (Status.ENDED, Reason.SUBSCRIPTION_ENDED)
    assert [item.key for item in struck.items] == ["exchange"]
    await world.rest()
    assert world.mailbox.kinds()[-1] == "closing"


async def test_a_claim_that_loses_everything_is_rejected(world: World) -> None:
    """Not to be disputed; who was told gets one closing mail."""
    told = await world.told()
    untold = await world.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    await put_customer(world, customer(workloads=(), subscriptions=()))
    await world.rest()

    for case in (told, untold):
        claim = (await world.stored(case)).claim
        assert (claim.status, claim.status_reason) == (Status.REJECTED, Reason.SUBSCRIPTION_ENDED)
    assert world.mailbox.kinds().count("closing") == 1


async def test_grace_is_not_the_end(world: World) -> None:
    """Nor is another number of seats."""
    held = await world.official()

    _, ends = await put_customer(world, customer(subscriptions=(subscription(state="grace", seats=1),)))

    assert ends == []
    assert (await world.stored(held)).claim.status is Status.OFFICIAL


async def test_what_would_end_is_shown_first(world: World) -> None:
    """Nothing is stored."""
    held = await world.official()

    kept, ends = await put_customer(world, customer(subscriptions=()), only_validate=True)
    new, nothing = await put_customer(world, customer(), ADATUM, only_validate=True)

    assert (kept, [ending.claim_id for ending in ends]) == (Kept(1, new=False), [held.claim.id])
    assert (new, nothing) == (Kept(0, new=False), ())
    assert (await world.stored(held)).claim.status is Status.OFFICIAL


async def test_more_than_five_ends_must_be_confirmed(world: World) -> None:
    """By their number, as it is then."""
    names = ("teams", "exchange", "sharepoint", "intune", "yammer", "teams-phone")
    await world.register_customer(workloads=names)
    for name in names:
        await world.told(items=(Item(workload=name),), engagement=USAGE)
    world.clock.set((await world.now()).replace(year=2027))

    for confirmed in (None, 5, 7):
        with pytest.raises(Refused, match="WouldEndAssociations"):
            await put_customer(world, customer(workloads=()), confirmed_ends=confirmed)
    _, ends = await put_customer(world, customer(workloads=()), confirmed_ends=6)

    assert len(ends) == 6


async def test_an_operator_who_dies_half_way_has_left_the_debt(world: World) -> None:
    """The due rows are written before the registry, and run again ten minutes later (rulings 32)."""
    held = await world.official()
    now = await world.now()

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise Conflict("claims: UpdateConditionNotSatisfied")

    world.rows.before = busy
    with pytest.raises(Exception, match=f"lost {change_claim.ATTEMPTS} races"):
        await put_customer(world, customer(subscriptions=()))
    world.rows.before = None
    rows = [(row.due, row.kind) for row in await world.due_rows() if row.subject == TENANT]
    assert rows == [(now, Kind.END_GONE_ITEMS), (now + AGAIN_AFTER, Kind.END_GONE_ITEMS)]

    await world.sweep()

    assert (await world.stored(held)).claim.status is Status.ENDED


async def test_a_claim_that_was_being_submitted_meanwhile_is_found_by_the_second_run(world: World) -> None:
    """It was judged by what the registry said before."""
    await world.official()
    draft = await world.draft(FABRIKAM, items=(TEAMS, SHAREPOINT), engagement=USAGE)

    async def update() -> None:
        await put_customer(world, customer(workloads=("sharepoint",), subscriptions=()))

    async with world.rows.once_before("claims", update):
        case = await world.submit(draft)
    assert len(case.claim.items) == 2

    world.clock.advance(AGAIN_AFTER)
    await world.sweep()

    assert [item.key for item in (await world.stored(case)).claim.items] == ["sharepoint"]


async def test_a_row_about_a_tenant_that_is_not_registered_is_harmless(world: World) -> None:
    """There is nothing by which anything could be gone."""
    await world.ports.duework.add([DueRow(await world.now(), ADATUM, Kind.END_GONE_ITEMS)])

    assert (await world.sweep()).failed == 0
    await end_gone_items(world.ports, ADATUM, await world.now())
