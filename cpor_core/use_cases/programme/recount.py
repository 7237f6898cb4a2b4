"""
Counts all claims again for insight, at an operator's request (decision 60).

Each shard has one due row. Its handler counts some claims again from their whole histories, and leaves the next row.
After the last claim of the shard, it compares the sums with the stored tallies. All this goes on beside the follower.
"""

import logging
from dataclasses import replace
from datetime import datetime

from cpor_core.due_work import SHARDS, Kind
from cpor_core.errors import Conflict
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, LookedAt
from cpor_core.use_cases.programme.follow import ATTEMPTS, RECOUNT, TRIMMED, Wanted, follow

CLAIMS_A_PAGE = 200
"""The most claims that one run counts again in one shard."""
log = logging.getLogger("cpor.insight")


async def ask(ports: Ports, now: datetime) -> None:
    """Leave a due row for each shard, in 16 requests. A count that runs already goes on too."""
    await ports.duework.add([DueRow(now, f"{TRIMMED}{shard:02d}", Kind.RECOUNT) for shard in range(SHARDS)])


async def recount_page(ports: Ports, row: DueRow, now: datetime) -> None:
    """
    Count the next claims of a shard again, and move the due row to the claims after them.

    After the last claim the sums are compared, and the row is deleted. Raises `Conflict` if passes of the follower
    always come between. Then the due row leads to the next attempt.
    """
    shard = int(row.subject.removeprefix(TRIMMED))
    claims = await ports.programme.followed(shard, after=row.label, limit=CLAIMS_A_PAGE)
    await follow(ports, [Wanted(one.claim_id, RECOUNT) for one in claims], now)
    if len(claims) == CLAIMS_A_PAGE:
        again = replace(row, due=now, label=claims[-1].claim_id, attempt=0, since=None)
        await ports.duework.settle([LookedAt(row, again)])
    else:
        await _compare(ports, shard)
        await ports.duework.settle([LookedAt(row)])


async def _compare(ports: Ports, shard: int) -> None:
    for lost in range(ATTEMPTS):
        head = await ports.programme.head(shard)
        try:
            changed = await ports.programme.replace_sums(shard, head, await ports.programme.tallies(shard))
        except Conflict:
            if lost == ATTEMPTS - 1:
                raise
            continue
        log.info("insight: shard %d has been counted again, %d groups had wrong sums", shard, changed)
        return
