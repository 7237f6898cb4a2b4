"""No path scans: what is asked of storage does not grow with what lies there."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from unittest.mock import patch

from cpor_app.adapters.storage.row_store import Cell, Insert
from cpor_app.adapters.storage.tables import packed
from cpor_core.due_work import SHARDS
from cpor_core.model.programme import RegisterRow
from cpor_core.rules.grace import GRACE
from cpor_core.rules.identifiers import list_position, new_claim_id
from devhost.stack.issuer import LocalIssuer
from tests.budgets.counting import OPERATOR, Counter, counter
from tests.support.azurite import Azurite
from tests.support.service import ACKNOWLEDGED, CUSTOMER, MONDAY, PARTNER, PARTNER_ID, SUBSCRIPTION
from tests.support.thorough import THOROUGH

FEW, MANY = 100, 10_000 if THOROUGH else 1_500
"""The many are more than storage gives in one page, which is 1,000 rows."""
A_TRANSACTION = 100
AT_ONCE = 8
YEARS_LATER = "20360101T000000.000000Z"
SUBSCRIPTIONS = tuple(f"cccccccc-0000-4000-8000-0000000001{number:02d}" for number in range(12))
REGISTERED = {"product": "dynamics-365-sales", "channel": "EA", "state": "active", "seats": 50}


async def fill(c: Counter, first: int, last: int) -> None:
    """
    Store claims of the same partner and customer, older than all others, with their keys and due rows.

    No claim can be read: each has no document, so a path that as much as looks at one fails. Each has a row of the
    register, because a page of the register looks at the rows of all partners.
    """
    ids = [new_claim_id(CUSTOMER, hashlib.sha256(str(number).encode()).hexdigest()) for number in range(first, last)]
    rows: list[tuple[str, str, str, Mapping[str, Cell]]] = []
    for number, claim_id in enumerate(ids, start=first):
        position = list_position(MONDAY - timedelta(days=1, seconds=number), claim_id)
        rows.append(("claims", CUSTOMER, f"claim|{claim_id}", {"actId": "filling"}))
        rows.append(("partnerclaims", PARTNER, position, {"claimId": claim_id}))
        register_key = f"row|{PARTNER}|{PARTNER_ID}|{CUSTOMER}|x|{number}|20260101T000000.000000Z|{claim_id}"
        rows.append(("programme", f"{number % SHARDS:02d}", register_key, {"document": packed(held(claim_id))}))
        rows.append(("duework", f"{number % SHARDS:02d}", f"{YEARS_LATER}|{claim_id}|writeDown", {"attempt": 0}))
    gate = asyncio.Semaphore(AT_ONCE)

    async def write(table: str, partition: str, inserts: list[Insert]) -> None:
        async with gate:
            await c.service.services.rows.write(table, partition, *inserts)

    by_partition: dict[tuple[str, str], list[Insert]] = {}
    for table, partition, key, values in rows:
        by_partition.setdefault((table, partition), []).append(Insert(key, values))
    writes = []
    for (table, partition), inserts in by_partition.items():
        left = iter(inserts)
        while chunk := list(islice(left, A_TRANSACTION)):
            writes.append(write(table, partition, chunk))
    await asyncio.gather(*writes)


def held(claim_id: str) -> RegisterRow:
    """Return a row of the register."""
    return RegisterRow(
        association_id=claim_id,
        tenant_id=CUSTOMER,
        organisation=PARTNER,
        partner_id=PARTNER_ID,
        engagement="x",
        item="teams",
        since=MONDAY - timedelta(days=300),
    )


async def notified(c: Counter, subscription: str) -> str:
    """Make, submit and announce a claim, counted; returns its id."""
    claim = await c.service.draft(items=[{"product": "dynamics-365-sales", "subscriptionId": subscription}])
    await c.ask("submit_claim", "POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED)
    await c.notify(claim["id"], "one notice")
    return str(claim["id"])


async def rest(c: Counter) -> None:
    """Let hours pass until the timer has paid and tidied away all that was due."""
    for _ in range(3):
        c.service.clock.advance(timedelta(hours=2))
        await c.service.sweep()
        await c.service.deliver()


async def a_weeks_requests(c: Counter, subscription: str) -> Mapping[str, int]:
    """Count a page of each list, a read, a submission, a notice, an idle sweep and one that makes a claim official."""
    await rest(c)
    c.lines.clear()
    claim_id = await notified(c, subscription)
    await c.ask("list_claims", "GET", "/claims?maxpagesize=10")
    with patch("cpor_app.triggers.register.follow_now"):  # only a sandbox follows the acts first
        await c.ask("list_register", "GET", "/register?maxpagesize=10", **OPERATOR)
        await c.ask("list_register_changes", "GET", "/register/changes", **OPERATOR)
    claim = (await c.ask("get_claim", "GET", f"/claims/{claim_id}")).json()
    await rest(c)
    await c.sweep("nothing is due")
    ends_at = datetime.fromisoformat(claim["window"]["endsAt"])
    c.service.clock.set(ends_at - timedelta(days=2))  # behind the reminder
    await rest(c)
    c.service.clock.set(ends_at + GRACE)
    await c.sweep("one claim is made official")
    await c.service.deliver()
    await c.ask("get_usage", "GET", f"/associations/{claim_id}/usage")
    return {f"{line.function}, {line.what}": line.requests for line in c.lines}


async def test_nothing_costs_more_with_many_claims(azurite: Azurite, issuer: LocalIssuer) -> None:
    """The very same numbers with a hundred claims stored, and then with many; ten thousand with THOROUGH=1."""
    async with counter(azurite.fresh_account(), issuer) as c:
        await c.service.register(
            subscriptions=[{"subscriptionId": one, **REGISTERED} for one in (SUBSCRIPTION, *SUBSCRIPTIONS)]
        )
        for subscription in SUBSCRIPTIONS[:10]:
            await notified(c, subscription)
        c.service.clock.advance(timedelta(days=8))
        await rest(c)  # the change of the customer is followed before there are claims that cannot be read
        await fill(c, 0, FEW)
        with_few = await a_weeks_requests(c, SUBSCRIPTIONS[10])

        await fill(c, FEW, MANY)
        with_many = await a_weeks_requests(c, SUBSCRIPTIONS[11])

    assert with_few == with_many
    assert with_few["list_claims, "] == 1 + 2 * 10
    assert with_few["list_register, "] == 16 + 16
    assert with_few["list_register_changes, "] == 16
    assert with_few["finalise_uncontested, nothing is due"] == SHARDS
