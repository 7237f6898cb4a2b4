"""
Imports past associations for the operator (decision 33).

Each line becomes a claim that is official at once. The claim's id is derived from the line. So the operator can send
the same file again, also after a crash half-way.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.base import Guid, InstantOrDay, PartnerId, Value, rfc3339
from cpor_core.model.catalogue import Engagement, ItemKind
from cpor_core.model.claim import Claim, Imported, Item, ItemKey, Recipient
from cpor_core.model.history import PROGRAMME
from cpor_core.model.registry import Customer, Partner
from cpor_core.model.usage import BadRow
from cpor_core.ports import Ports
from cpor_core.ports.claims import Commit
from cpor_core.ports.due_work import of_act
from cpor_core.ports.stored import Registered
from cpor_core.rules.checks import why_not_claimable
from cpor_core.rules.graph_reports import invalid_row
from cpor_core.rules.identifiers import derived_claim_id
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import due_rows, list_for_partner, list_for_review
from cpor_core.use_cases.feed.changes import announce_created, follow_row
from cpor_core.use_cases.mail_message_ids import with_listed_mails
from cpor_core.use_cases.register.untold import CustomerContact, notify, people_to_notify, waiting_for_others
from cpor_core.use_cases.together import together
from cpor_core.use_cases.usage.figures import Loaded

MOST_LINES = 10_000
"""The most lines in one call."""
IN_FLIGHT = 32
"""The most slots that are written at the same time."""
ATTEMPTS = 8
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
"""No programme had such associations before this date, so an earlier date is an error."""


class PastAssociation(Value):  # decision 34
    """
    One JSON line: a partner, an item, and the beginning of their association.

    `engagement` is the id of an engagement, or of an older programme's engagement. `item` is a workload id, a
    subscription id, or an item in the form of a claim. `since` is an instant or a day. A day means its first instant in
    UTC, because months are counted in UTC.
    """

    engagement: Annotated[str, Field(max_length=100)]
    partner_id: PartnerId
    tenant_id: Guid
    item: ItemKey
    since: InstantOrDay
    customer_contact: CustomerContact | None = None


_LINE = TypeAdapter(PastAssociation)
Row = tuple[int, PastAssociation]


@dataclass(frozen=True, slots=True)
class _Known:
    """A stored claim: the instant since which it is official, and its rows if its customer was not notified."""

    since: datetime | None
    untold: StoredCase | None

    @classmethod
    def of(cls, case: StoredCase) -> "_Known":
        is_untold = untold(case.claim) in (Untold.NOBODY_TO_TELL, Untold.EVERYBODY_FAILED)
        return cls(case.claim.official_since, case if is_untold else None)


@dataclass(frozen=True, slots=True)
class _Import:
    """One import: its sender and instant, and the registry entries and claims that it has read."""

    ports: Ports
    person_id: str
    now: datetime
    partners: dict[str, Registered[Partner] | None] = field(default_factory=dict)
    customers: dict[str, Registered[Customer] | None] = field(default_factory=dict)
    claims: dict[str, dict[str, _Known]] = field(default_factory=dict)
    entered: dict[str, list[Case]] = field(default_factory=dict)
    """The cases that were entered but not announced yet, by organisation."""

    async def partner(self, partner_id: str) -> Partner:
        """Return a partner's location. Raises `PartnerUnknown`."""
        if partner_id not in self.partners:
            self.partners[partner_id] = await self.ports.registry.partner(partner_id)
        found = self.partners[partner_id]
        if found is None:
            raise Refused("PartnerUnknown", f"There is no partner {partner_id}.", target="partnerId")
        return found.value

    async def customer(self, tenant_id: str) -> Customer:
        """Return a customer's tenant. Raises `TenantUnknown`."""
        if tenant_id not in self.customers:
            self.customers[tenant_id] = await self.ports.registry.customer(tenant_id)
        found = self.customers[tenant_id]
        if found is None:
            raise Refused("TenantUnknown", "This tenant is not registered.", target="tenantId")
        return found.value

    async def known(self, tenant_id: str) -> dict[str, _Known]:
        """Return the tenant's claims by id, also the claims that this import has entered."""
        if tenant_id not in self.claims:
            cases = await self.ports.claims.of_tenant(tenant_id)
            self.claims.setdefault(tenant_id, {case.claim.id: _Known.of(case) for case in cases})
        return self.claims[tenant_id]

    async def announce(self) -> None:
        """Announce the entered cases in the feeds of their partners."""
        for organisation, cases in self.entered.items():
            await announce_created(self.ports, organisation, cases, self.now)
        self.entered.clear()


async def import_lines(ports: Ports, lines: Sequence[bytes], person_id: str, now: datetime) -> Loaded:
    """
    Enter the associations of JSON lines. Bad lines are reported, and the other lines are entered.

    Lines about the same slot are entered in their order, so that the first line gets the slot. Raises
    `PayloadTooLarge`. Raises `StorageBusy`, perhaps half-way. After that the same lines can be sent again.
    """
    if sum(1 for text in lines if text.strip()) > MOST_LINES:
        raise Refused(
            "PayloadTooLarge",
            f"An import has at most {MOST_LINES} lines.",
            resolution="Send the rows in several calls.",
        )
    good, bad = _parsed(lines)
    by_slot: dict[tuple[str, str, str], list[Row]] = {}
    for row, line in good:
        filed = ports.catalogue.filed_under(line.engagement)
        engagement = filed[0].id if filed is not None else line.engagement
        by_slot.setdefault((line.tenant_id, engagement, line.item), []).append((row, line))
    accepted = unchanged = 0
    groups, begun = list(by_slot.values()), _Import(ports, person_id, now)
    for start in range(0, len(groups), IN_FLIGHT):
        batch = groups[start : start + IN_FLIGHT]
        await asyncio.gather(*(begun.known(tenant_id) for tenant_id in {rows[0][1].tenant_id for rows in batch}))
        for outcome in await together(_enter_in_turn(begun, rows) for rows in batch):
            accepted += outcome[0]
            unchanged += outcome[1]
            bad += outcome[2]
        await begun.announce()
    return Loaded(accepted=accepted, unchanged=unchanged, rejected=tuple(sorted(bad, key=lambda one: one.row)))


def _parsed(lines: Iterable[bytes]) -> tuple[list[Row], list[BadRow]]:
    """Return the valid lines with their numbers, and the errors of the other lines."""
    good: list[Row] = []
    bad: list[BadRow] = []
    for row, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            good.append((row, _LINE.validate_json(text, by_alias=True, by_name=False)))
        except ValidationError as error:
            bad.append(invalid_row(row, error))
    return good, bad


async def _enter_in_turn(begun: _Import, rows: Sequence[Row]) -> tuple[int, int, list[BadRow]]:
    """Enter the lines about one slot. Returns the number of lines that changed something or not, and the bad lines."""
    accepted = unchanged = 0
    bad: list[BadRow] = []
    for row, line in rows:
        try:
            if await _enter(begun, line):
                accepted += 1
            else:
                unchanged += 1
        except Refused as refused:  # a refused line does not stop the other lines
            bad.append(BadRow(row=row, code=refused.code, message=refused.message))
    return accepted, unchanged, bad


async def _enter(begun: _Import, line: PastAssociation) -> bool:
    """
    Enter one association, in five requests, or six if a person is notified. Returns whether anything has changed.

    A known association does not change and costs no request, also if it has ended. There is one exception. If its
    customer was not notified, a mail is sent to the people of the line and of the registry. Raises `PartnerUnknown`,
    `AlreadyImported` if the association was entered with another beginning, the errors of `_official_claim`, and
    `SlotHeld`.
    """
    ports, now = begun.ports, begun.now
    partner = await begun.partner(line.partner_id)
    claim_id = _claim_id(partner, line)
    known = await begun.known(line.tenant_id)
    if claim_id in known:
        _verify_same(known[claim_id].since, line)
        return await _notify_others(begun, known, claim_id, line)
    claim, recipients = await _official_claim(begun, claim_id, partner, line)
    act_id = ports.new_id()
    for _ in range(ATTEMPTS):
        before = await ports.claims.prospect(claim)
        entered = life.enter_past(
            life.settle(before, now), PROGRAMME, now, since=line.since, recipients=tuple(recipients)
        )
        after = with_listed_mails(entered).written()
        rows = [*due_rows(None, after.claim, now), follow_row(claim_id, now)]
        await ports.duework.add(of_act(rows, after.claim.version, now))
        await list_for_partner(ports, None, claim)
        await list_for_review(ports, None, after.claim)
        stored = after.stored
        try:
            stored = await ports.claims.commit(Commit(act_id, before, after, person_id=begun.person_id))
        except Conflict:
            if not await ports.claims.wrote(claim_id, act_id, 1):
                existing = await ports.claims.load(claim_id)
                if existing is not None:
                    _verify_same(existing.claim.official_since, line)
                    return False
                continue  # another act has written the slot, so the line is judged again
        known[claim_id] = _Known.of(stored)
        begun.entered.setdefault(claim.organisation, []).append(after)
        if after.claim.mails:
            await ports.queue_messages.customer_notice(claim_id)
        return True
    message = f"claim {claim_id}: lost {ATTEMPTS} races in a row"
    raise StorageBusy(message, retry_after_seconds=1)


async def _notify_others(begun: _Import, known: dict[str, _Known], claim_id: str, line: PastAssociation) -> bool:
    """Notify the people of the line if nobody was notified of the association. Returns whether a mail is now due."""
    stored = known[claim_id].untold
    if stored is None:
        return False
    people = people_to_notify(await begun.customer(line.tenant_id), line.customer_contact)
    waiting = waiting_for_others([stored], people, begun.now)
    for case in waiting:
        known[claim_id] = _Known.of((await notify(begun.ports, case, people, begun.now)).stored)
    return bool(waiting)


def _verify_same(since: datetime | None, line: PastAssociation) -> None:
    if since != line.since:
        former = rfc3339(since) if since is not None else "another instant"
        raise Refused("AlreadyImported", f"This association was entered before, since {former}.", target="since")


async def _official_claim(
    begun: _Import, claim_id: str, partner: Partner, line: PastAssociation
) -> tuple[Claim, Sequence[Recipient]]:
    """
    Return the claim of a line before it is entered, and the recipients of its mail.

    Two rules hold if the line names an engagement of today. The association must have begun before `imports_before`,
    and there must be a person to notify (decision 65). Raises `EngagementUnknown`, `SinceInvalid`, `SinceTooLate`,
    `TenantUnknown`, `ItemNotClaimable`, `NobodyToTell`.
    """
    filed = begun.ports.catalogue.filed_under(line.engagement)
    if filed is None:
        raise Refused("EngagementUnknown", f"There is no engagement {line.engagement!r}.", target="engagement")
    if not EARLIEST <= line.since <= begun.now:
        where = "in the future" if line.since > begun.now else f"before {EARLIEST.year}"
        raise Refused("SinceInvalid", f"since lies {where}.", target="since")
    if filed[1] is None:
        _verify_from_before(begun.ports.terms.imports_before, filed[0], line)
    customer = await begun.customer(line.tenant_id)
    engagement, filed_as = filed
    claim = Claim(
        id=claim_id,
        tenant_id=line.tenant_id,
        organisation=partner.entra_tenant_id,
        partner_id=line.partner_id,
        partner_name=partner.name,
        engagement=engagement.id,
        filed_as=filed_as,
        name=begun.ports.catalogue.engagement(line.engagement).name,
        domain=customer.domains[0],
        items=(_item(line.item, engagement, customer),),
        status_since=begun.now,
        created_at=begun.now,
        updated_at=begun.now,
        imported=Imported(customer_name=customer.name, time_zone=customer.time_zone, country=customer.country),
    )
    people = people_to_notify(customer, line.customer_contact)
    if filed_as is None and not people:
        raise Refused(
            "NobodyToTell",
            "Nobody at the customer can be notified. Send a customerContact in a verified domain, or register an "
            "address.",
            target="customerContact",
        )
    return claim, people


def _verify_from_before(imports_before: datetime | None, engagement: Engagement, line: PastAssociation) -> None:
    """Raise `SinceTooLate` for an association that must be claimed by its partner, so that the customer can decline."""
    if imports_before is None:
        raise Refused(
            "SinceTooLate",
            f"An association under {engagement.name} cannot be imported. Its partner must claim it.",
            target="since",
        )
    if line.since >= imports_before:
        raise Refused(
            "SinceTooLate",
            f"An association under {engagement.name} that began on {rfc3339(imports_before)} or later cannot be "
            "imported. Its partner must claim it.",
            target="since",
        )


def _claim_id(partner: Partner, line: PastAssociation) -> str:
    """Return the id of the association. The id does not depend on `since`, so each association is entered once."""
    key = f"imported|{line.engagement}|{line.item}|{line.partner_id}"
    return derived_claim_id(line.tenant_id, partner.entra_tenant_id, key)


def _item(key: str, engagement: Engagement, customer: Customer) -> Item:
    """Return the item with that key, if it can be claimed today. Raises `ItemNotClaimable`."""
    if engagement.item_kind is ItemKind.WORKLOAD:
        if not engagement.lists(key):
            raise _not_claimable(key, f"it is no workload of {engagement.name}")
        item = Item(workload=key)
    else:
        products = {one.subscription_id: one.product for one in customer.subscriptions}
        if key not in products:
            raise _not_claimable(key, "notASubscription")
        item = Item(product=products[key], subscription_id=key)
    reason = why_not_claimable(item, engagement, customer)
    if reason is not None:
        raise _not_claimable(key, reason)
    return item


def _not_claimable(key: str, reason: str) -> Refused:
    return Refused("ItemNotClaimable", f"{key} cannot be claimed: {reason}.", target="item")
