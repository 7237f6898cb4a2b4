"""
Calculates how many claims a second the deployment takes, and what limits it.

    python -m tools.scale      print the tables of docs/operating.md

Each limit is a capacity, divided by what one claim uses of it. Nothing was measured in Azure.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cpor_core.due_work import SHARDS
from tools.cost import MILLION, SECONDS_A_MONTH, of_claim
from tools.pages.markdown import table
from tools.planning import HTTP, QUEUE, TIMER, Life, Planning, Shipped, life, planning, shipped

RATES = (1, 100, 500)
"""Claims a second, all day."""
HOUR = 3600
DAY = 24 * HOUR
WHOLE_FROM = 100
"""Larger numbers are shown without decimals."""
CPU = "s of CPU a second"
REQUESTS_OF_A_MESSAGE = 3
"""A message is put, taken and deleted."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: its capacity, what one claim uses of it, and what lifts it."""

    what: str
    capacity: float
    unit: str
    use: float
    lifted_by: str

    @property
    def claims_per_second(self) -> float:
        """The most claims a second, if they come evenly."""
        return self.capacity / self.use


def limits(one: Life, plan: Planning, shipped: Shipped) -> Sequence[Limit]:
    """Return the limits of the deployment as shipped, the lowest first."""
    core, figures = plan.cores[shipped.memory_mb], plan.limits
    cpu = plan.measured["cpu-seconds-per-request"]
    called = one.requests(HTTP, QUEUE, TIMER) * cpu  # instances share the timer's full pages of due rows
    quota_instances = figures["region-memory-mb"] / shipped.memory_mb
    busiest = max(sum(step.times for step in steps) for steps in one.groups().values() if steps[0].trigger == QUEUE)
    found = (
        Limit(
            "Azure's first quota of mails",
            figures["mails-per-hour"] / HOUR,
            "mails a second",
            one.mails,
            "ask Microsoft for a higher quota, then set `mailPerMinute` and `mailPerHour`",
        ),
        Limit(
            "the row that counts the mails of all instances",
            plan.measured["row-writes-per-second"],
            "writes a second",
            one.mails,
            "an SMTP server without a limit: then no instance writes the row",
        ),
        Limit(
            "`maximumInstanceCount`",
            shipped.instances * core,
            CPU,
            called,
            "raise `maximumInstanceCount`",
        ),
        Limit(
            "Azure's quota of memory in a region",
            quota_instances * core,
            CPU,
            called,
            "ask Microsoft for a higher quota of Flex Consumption; one app has at most "
            f"{figures['largest-instance-count']:,.0f} instances",
        ),
        Limit(
            "the requests to the data account",
            figures["account-requests-per-second"],
            "requests a second",
            one.requests(HTTP, QUEUE, TIMER),
            "another deployment with its own data account, for a part of the tenants",
        ),
        Limit(
            "the busiest queue",
            figures["queue-messages-per-second"],
            "requests a second",
            busiest * REQUESTS_OF_A_MESSAGE,
            "several queues for the same function",
        ),
        Limit(
            f"the {SHARDS} partitions of due rows",
            SHARDS * figures["partition-rows-per-second"],
            "rows a second",
            one.tables,
            "more shards",
        ),
    )
    return sorted(found, key=lambda limit: limit.claims_per_second)


def all_limits(found: Sequence[Limit]) -> str:
    """Return the table of limits, the lowest first."""
    head = ("limit", "capacity", "one claim uses", "claims a second", "claims a day", "what lifts it")
    rows = (
        (
            limit.what,
            f"{_number(limit.capacity)} {limit.unit}",
            _number(limit.use),
            _number(limit.claims_per_second),
            _number(limit.claims_per_second * DAY),
            limit.lifted_by,
        )
        for limit in found
    )
    return "\n".join(table(head, rows))


def of_one(one: Life, plan: Planning) -> Sequence[Limit]:
    """Return the limits that one partner or one customer meets, however large the deployment is."""
    return (
        Limit(
            "for one partner, the row that orders the entries of its change feed",
            plan.measured["row-writes-per-second"],
            "writes a second",
            one.acts,
            "nothing in this design: the act waits, and later the timer writes the entry",
        ),
        Limit(
            "for one customer, the partition of its tenant",
            plan.limits["partition-rows-per-second"],
            "rows a second",
            one.tables,
            "nothing in this design: no customer has so many claims",
        ),
    )


def by_rate(one: Life, plan: Planning, shipped: Shipped) -> str:
    """Return for each rate the limits in the order in which it meets them, and what it costs."""
    found = limits(one, plan, shipped)
    parts = []
    for rate in RATES:
        cost = of_claim(one, plan, shipped, rate) * rate * SECONDS_A_MONTH
        claims, mails = rate * SECONDS_A_MONTH / MILLION, rate * one.mails * HOUR
        parts.append(f"**{rate} a second**: {_number(claims)} million claims and {cost:,.0f} USD a month.")
        parts.append(f"The quota of mails must be {_number(mails)} an hour.\n")
        met = [limit for limit in found if limit.claims_per_second < rate]
        for number, limit in enumerate(met, start=1):
            parts.append(f"{number}. {_until(limit)} To lift it: {limit.lifted_by}.")
        following = found[len(met) : len(met) + 1]
        parts += [f"{len(met) + 1}. {_until(limit)} This is enough." for limit in following]
        parts.append("")
    return "\n".join(parts)


def _until(limit: Limit) -> str:
    return f"{limit.what[0].upper()}{limit.what[1:]} allows {_number(limit.claims_per_second)} claims a second."


def first_limit(one: Life, plan: Planning, shipped: Shipped) -> str:
    """Return the sentence about the lowest limit."""
    first = limits(one, plan, shipped)[0]
    return f"The first limit is {first.what}. It allows {_number(first.claims_per_second * DAY)} claims a day."


def _number(value: float) -> str:
    """Return a number with three digits that count, or the whole number if it is small."""
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.3g}"


def blocks() -> dict[str, str]:
    """Return the parts of docs/operating.md by name."""
    one, plan, as_shipped = life(), planning(), shipped()
    return {
        "scale-first-limit": first_limit(one, plan, as_shipped),
        "scale-limits": all_limits(limits(one, plan, as_shipped)),
        "scale-one": all_limits(of_one(one, plan)),
        "scale-by-rate": by_rate(one, plan, as_shipped),
    }


def main() -> int:
    """Print every table."""
    print("\n\n".join(blocks().values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
