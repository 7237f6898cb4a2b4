"""The operator's registry, and the claims that end when items of a customer are removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Delete, Op, Put
from cpor_core.due_work import SOON, Kind
from cpor_core.errors import Conflict, Refused, Retryable
from cpor_core.model.claim import Item, Reason, Status
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases import change_claim
from cpor_core.use_cases.claims.subscription_ends import AGAIN_AFTER, end_gone_items
from cpor_core.use_cases.registry import partners_and_customers
from cpor_core.use_cases.registry.partners_and_customers import CustomerChange, Written, registry_etag
from cpor_core.use_cases.together import READS_AT_ONCE
from tests.core.builders import (
    ADATUM,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
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
from tests.core.memory_core import Core

NEW = "7770001"


async def put_partner(core: Core, value: Partner, partner_id: str = NEW, if_match: str | None = None) -> Written:
    """Register a partner."""
    return await partners_and_customers.put_partner(core.ports, partner_id, value, if_match, await core.now())


async def put_customer(core: Core, value: Customer, tenant: str = TENANT, **more: Any) -> tuple[Written, Sequence[Any]]:
    """Register a customer."""
    return await partners_and_customers.put_customer(
        core.ports, CustomerChange(tenant, value, **more), await core.now()
    )


# --- partners ---------------------------------------------------------------------------------------------------------


async def test_a_partner_is_registered_and_changed(core: Core) -> None:
    """Each write has the next version."""
    assert await put_partner(core, partner()) == Written(1, new=True)
    assert await put_partner(core, partner(name="Renamed")) == Written(2, new=False)
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
async def test_an_unknown_country_or_zone_is_refused(core: Core, changes: dict[str, Any], targets: list[str]) -> None:
    """This holds for partners and customers. The answer has all faults at once (decision 18)."""
    for refused in (put_partner(core, partner(**changes)), put_customer(core, customer(**changes))):
        with pytest.raises(Refused) as refusal:
            await refused
        assert refusal.value.code == "ValidationFailed"
        assert [detail.target for detail in refusal.value.details] == targets


async def test_a_partner_is_enrolled_in_engagements_that_exist(core: Core) -> None:
    """Older names are accepted too."""
    assert (await put_partner(core, partner(enrolled_engagements=("osu-m365",)))).new

    with pytest.raises(Refused, match="EngagementUnknown"):
        await put_partner(core, partner(enrolled_engagements=(USAGE, "no-such")))


async def test_a_location_is_never_registered_without_being_listed(core: Core) -> None:
    """The process dies between the two writes. A listed location that is not registered is not shown."""

    async def die(_: str, ops: Sequence[Op]) -> None:
        if ops[0].key != NEW:
            raise Retryable("the process died")

    core.rows.before = die
    with pytest.raises(Retryable):
        await put_partner(core, partner(LITWARE))
    core.rows.before = None
    before = await partners_and_customers.locations(core.ports, LITWARE)
    await put_partner(core, partner(LITWARE))
    after = await partners_and_customers.locations(core.ports, LITWARE)

    assert await core.ports.registry.locations(LITWARE) == [NEW]
    assert before == []
    assert after == [(NEW, partner(LITWARE))]


async def test_an_organisation_has_more_locations_than_are_read_at_once(core: Core) -> None:
    """All of them are shown, in the order of their ids."""
    numbers = [str(8880000 + number) for number in range(READS_AT_ONCE + 1)]
    for number in numbers:
        await put_partner(core, partner(LITWARE), number)

    assert [name for name, _ in await partners_and_customers.locations(core.ports, LITWARE)] == numbers


async def test_a_refused_location_of_another_organisation_is_not_shown(core: Core) -> None:
    """Two operators register one partnerId at once for two organisations. One of them wins."""

    async def go_first() -> None:
        await put_partner(core, partner(FABRIKAM))

    async with core.rows.once_before("registry", go_first):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await put_partner(core, partner(LITWARE))

    assert await core.ports.registry.locations(LITWARE) == [NEW]
    assert await partners_and_customers.locations(core.ports, LITWARE) == []
    assert await partners_and_customers.locations(core.ports, FABRIKAM) == [(NEW, partner(FABRIKAM))]


async def test_a_partner_id_stays_with_its_organisation(core: Core) -> None:
    """It never changes (decision 32)."""
    with pytest.raises(Refused, match="OrganisationFixed"):
        await put_partner(core, partner(FABRIKAM), PARTNER_IDS[ADATUM])


@pytest.mark.parametrize(
    ("if_match", "taken"), [(None, True), ("*", True), ('"1"', True), ('"2"', False), ('W/"1"', False)]
)
async def test_a_change_can_require_a_version(core: Core, if_match: str | None, taken: bool) -> None:  # noqa: FBT001 - a column of the table
    """An older version is refused."""
    changes = [
        put_partner(core, partner(), PARTNER_IDS[ADATUM], if_match),
        put_customer(core, customer(), if_match=if_match),
    ]
    for change in changes:
        if taken:
            await change
        else:
            with pytest.raises(Refused, match="PreconditionFailed"):
                await change


async def test_a_missing_entry_matches_no_version(core: Core) -> None:
    """Not even `*` matches it."""
    with pytest.raises(Refused, match="PreconditionFailed"):
        await put_partner(core, partner(), if_match="*")


async def test_a_write_of_ours_whose_answer_was_lost_is_a_success(core: Core) -> None:
    """The SDK repeats the write and meets its own row."""

    async def lose_the_entrys(_: str, ops: Sequence[Op]) -> None:
        if not isinstance(ops[0], Put):  # a key of a list is put over any former key
            raise Conflict("registry: EntityAlreadyExists")

    core.rows.after = lose_the_entrys
    assert await put_partner(core, partner()) == Written(1, new=True)
    assert (await put_customer(core, customer(name="Renamed")))[0] == Written(2, new=False)


async def test_a_lost_race_is_reported(core: Core) -> None:
    """Another caller wrote another value, or deleted the entry."""

    async def quicker() -> None:
        await put_partner(core, partner(name="Quicker"))

    async with core.rows.once_before("registry", quicker):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await put_partner(core, partner(name="Slower"))

    async def gone() -> None:
        await core.rows.write("registry", f"partner|{NEW}", Delete("registered"))

    async with core.rows.once_before("registry", gone):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await put_partner(core, partner(name="Slower"))


# --- customers --------------------------------------------------------------------------------------------------------


async def test_a_new_customer_ends_nothing(core: Core) -> None:
    """The customer has no claims yet."""
    assert await put_customer(core, customer(), ADATUM) == (Written(1, new=True), ())


async def test_a_subscription_is_listed_once(core: Core) -> None:
    """Two entries with the same id would contradict each other."""
    with pytest.raises(Refused, match="ValidationFailed"):
        await put_customer(core, customer(subscriptions=(subscription(), subscription(seats=7))))


@dataclass
class Issuer:
    """A token issuer that knows the tenant of each domain, and that can be out of reach."""

    domains: dict[str, str] = field(default_factory=lambda: {"contoso.fr": TENANT, "fabrikam.example": FABRIKAM})
    gone: bool = False
    asked: list[str] = field(default_factory=list)

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        self.asked += domains
        if self.gone:
            raise Retryable("out of reach")
        return {domain: self.domains.get(domain.lower()) for domain in domains}


@pytest.fixture
def issuer(core: Core) -> Issuer:
    """The service with look-ups of domains."""
    issuer = Issuer()
    core.ports = replace(core.ports, domains=issuer)
    return issuer


async def test_the_operators_word_is_enough_without_look_ups(core: Core) -> None:
    """This is the default."""
    assert core.ports.domains is None
    assert (await put_customer(core, customer(domains=("fabrikam.example",)), ADATUM))[0].new


async def test_a_new_domain_must_belong_to_the_tenant(core: Core, issuer: Issuer) -> None:
    """Registered domains are not looked up again, in whatever case they are written."""
    await put_customer(core, customer(domains=("Contoso.FR",)))
    assert issuer.asked == []

    issuer.domains["contoso.example"] = TENANT
    kept, _ = await put_customer(core, customer(domains=("contoso.fr", "Contoso.Example")))
    assert (kept.version, issuer.asked) == (3, ["Contoso.Example"])


@pytest.mark.parametrize("only_validate", [False, True])
async def test_a_domain_of_another_tenant_is_refused(
    core: Core,
    issuer: Issuer,
    only_validate: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The answer names each domain and its tenant, in a dry run too. Nothing is written."""
    domains = ("fabrikam.example", "contoso.fr", "nosuch.example")

    with pytest.raises(Refused) as refusal:
        await put_customer(core, customer(domains=domains), ADATUM, only_validate=only_validate)

    assert refusal.value.code == "DomainNotOnTenant"
    assert [(one.code, one.target) for one in refusal.value.details] == [
        ("DomainOfAnotherTenant", "domains[0]"),
        ("DomainOfAnotherTenant", "domains[1]"),
        ("DomainUnknown", "domains[2]"),
    ]
    assert f"fabrikam.example belongs to the tenant {FABRIKAM}" in refusal.value.details[0].message
    assert await core.ports.registry.customer(ADATUM) is None


async def test_while_domains_cannot_be_looked_up_nothing_is_written(core: Core, issuer: Issuer) -> None:
    """Neither the entry nor its due rows are written, even if associations would end."""
    await core.official()
    issuer.gone = True
    change = customer(domains=("contoso.fr", "contoso.example"), subscriptions=(subscription(state="disabled"),))
    core.rows.written.clear()

    with pytest.raises(Retryable):
        await put_customer(core, change)

    assert core.rows.written == []


async def test_removed_items_end_at_once(core: Core) -> None:
    """Associations end, and open claims lose the item. Notified recipients get a mail (decision 32)."""
    held = await core.official()
    pending = await core.submitted(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE)

    kept, ends = await put_customer(
        core, customer(workloads=("exchange",), subscriptions=(subscription(state="disabled"),))
    )

    assert (kept.version, kept.new) == (2, False)
    assert {(ending.claim_id, ending.association, ending.keys) for ending in ends} == {
        (held.claim.id, True, (SUBSCRIPTION,)),
        (pending.claim.id, False, ("teams",)),
    }
    ended, struck = (await core.stored(held)).claim, (await core.stored(pending)).claim
    assert (ended.status, ended.end_reason) == (Status.ENDED, Reason.SUBSCRIPTION_ENDED)
    assert [item.key for item in struck.items] == ["exchange"]
    await core.rest()
    assert core.mailbox.kinds()[-1] == "closing"


async def test_a_claim_that_loses_everything_is_rejected(core: Core) -> None:
    """The rejection cannot be disputed, and the notified recipients get one closing mail."""
    told = await core.notified()
    untold = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    await put_customer(core, customer(workloads=(), subscriptions=()))
    await core.rest()

    for case in (told, untold):
        claim = (await core.stored(case)).claim
        assert (claim.status, claim.status_reason) == (Status.REJECTED, Reason.SUBSCRIPTION_ENDED)
    assert core.mailbox.kinds().count("closing") == 1


async def test_grace_is_not_the_end(core: Core) -> None:
    """A change of the number of seats is no end either."""
    held = await core.official()

    _, ends = await put_customer(core, customer(subscriptions=(subscription(state="grace", seats=1),)))

    assert ends == []
    assert (await core.stored(held)).claim.status is Status.OFFICIAL


async def test_a_dry_run_lists_the_ends(core: Core) -> None:
    """Nothing is stored."""
    held = await core.official()

    kept, ends = await put_customer(core, customer(subscriptions=()), only_validate=True)
    new, nothing = await put_customer(core, customer(), ADATUM, only_validate=True)

    assert (kept, [ending.claim_id for ending in ends]) == (Written(1, new=False), [held.claim.id])
    assert (new, nothing) == (Written(0, new=False), ())
    assert (await core.stored(held)).claim.status is Status.OFFICIAL


async def test_more_than_five_ends_must_be_confirmed(core: Core) -> None:
    """The operator sends the current number."""
    names = ("teams", "exchange", "sharepoint", "intune", "yammer", "teams-phone")
    await core.register_customer(workloads=names)
    for name in names:
        await core.notified(items=(Item(workload=name),), engagement=USAGE)
    core.clock.set((await core.now()).replace(year=2027))

    for confirmed in (None, 5, 7):
        with pytest.raises(Refused, match="WouldEndAssociations"):
            await put_customer(core, customer(workloads=()), confirmed_ends=confirmed)
    _, ends = await put_customer(core, customer(workloads=()), confirmed_ends=6)

    assert len(ends) == 6


async def test_the_work_of_an_operators_write_that_died_is_done_later(core: Core) -> None:
    """The due rows are written before the registry, and are read again ten minutes later (decision 32)."""
    held = await core.official()
    now = await core.now()

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise Conflict("claims: UpdateConditionNotSatisfied")

    core.rows.before = busy
    with pytest.raises(Exception, match=f"lost {change_claim.ATTEMPTS} races"):
        await put_customer(core, customer(subscriptions=()))
    core.rows.before = None
    rows = [(row.due, row.kind) for row in await core.due_rows() if row.subject == TENANT]
    assert rows == [
        (now, Kind.END_GONE_ITEMS),
        (now + SOON, Kind.FOLLOW_CUSTOMER),
        (now + AGAIN_AFTER, Kind.END_GONE_ITEMS),
    ]

    await core.sweep()

    assert (await core.stored(held)).claim.status is Status.ENDED


async def test_a_claim_submitted_at_the_same_time_is_found_by_the_second_run(core: Core) -> None:
    """The submission was checked against the former registry."""
    await core.official()
    draft = await core.draft(FABRIKAM, items=(TEAMS, SHAREPOINT), engagement=USAGE)

    async def update() -> None:
        await put_customer(core, customer(workloads=("sharepoint",), subscriptions=()))

    async with core.rows.once_before("claims", update):
        case = await core.submit(draft)
    assert len(case.claim.items) == 2

    core.clock.advance(AGAIN_AFTER)
    await core.sweep()

    assert [item.key for item in (await core.stored(case)).claim.items] == ["sharepoint"]


async def test_a_due_row_of_an_unregistered_tenant_is_harmless(core: Core) -> None:
    """No item of the tenant is known as removed."""
    await core.ports.duework.add([DueRow(await core.now(), ADATUM, Kind.END_GONE_ITEMS)])

    assert (await core.sweep()).failed == 0
    await end_gone_items(core.ports, ADATUM, await core.now())
