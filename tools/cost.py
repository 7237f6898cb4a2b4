"""
Calculates what the service costs, from the counted requests of a claim's life and the list prices.

    python -m tools.cost       print the tables of docs/operating.md

An instance is billed while it executes functions, and for at least a second each time. Executions that overlap share
these seconds. So the price of a claim depends on how many claims there are. It lies between two bounds: each execution
pays for a second of its own, or each core works all the time.
"""

import json
import math
import sys
from collections.abc import Iterator

from cpor_core.due_work import SHARDS
from tools.pages.markdown import table
from tools.planning import HTTP, MONTH, QUEUE, ROOT, TIMER, Life, Planning, Shipped, life, planning, shipped

ALONE, BUSY = 0.0, math.inf
MILLION, TEN_THOUSAND = 1_000_000, 10_000
RATES = {
    "so few that no two executions overlap": ALONE,
    "1 a second": 1.0,
    "10 a second": 10.0,
    "100 a second": 100.0,
    "so many that every core works all the time": BUSY,
}
"""Claims in a second, all the time."""
POLLS_AN_HOUR = 360
"""A queue is polled at least every ten seconds (host.json)."""
SECONDS_A_MONTH = MONTH.total_seconds()
LRS_QUEUE_REQUEST, COMPARED_SHARING = 0.004 / 10_000, 16
"""Decision P1 compares with this price, and with so many executions in a second of an instance."""


def billed_seconds(one: Life, plan: Planning, shipped: Shipped, rate: float) -> float:
    """
    Return the seconds of instances that are billed for a claim, at so many claims a second.

    A group of functions runs on instances of its own. If calls come at random, at least one runs in a part
    1 - exp(-calls) of all seconds. The group is billed for no less than that, and for no less than its CPU.
    """
    core = plan.cores[shipped.memory_mb]
    cpu = plan.measured["cpu-seconds-per-request"]
    at_least = plan.limits["billed-at-least-seconds"]
    seconds = 0.0
    for steps in one.groups().values():
        executions = sum(step.times for step in steps)
        working = sum(step.requests for step in steps) * cpu / core
        seconds += max(_seconds_with_a_call(executions, rate, at_least), working)
    return seconds + _timer_seconds(one.requests(TIMER) * cpu / core, shipped, rate)


def _seconds_with_a_call(executions: int, rate: float, at_least: float) -> float:
    """Return for a claim the seconds in which at least one of its group's executions runs."""
    if rate == ALONE:
        return executions * at_least
    return 0.0 if rate == BUSY else -math.expm1(-executions * rate * at_least) / rate


def _timer_seconds(working: float, shipped: Shipped, rate: float) -> float:
    """Return the timer's seconds for a claim beyond those that it takes without any claims."""
    idle = sum(shipped.timer_runs.values()) / SECONDS_A_MONTH
    return 0.0 if rate == ALONE else max(0.0, working - idle / rate)


def storage(one: Life, plan: Planning) -> float:
    """Return the price of a claim's requests to tables and queues. Each message is put, taken and deleted."""
    return (
        plan.price("tables", one.tables)
        + plan.price("queues", one.queues - one.messages)
        + plan.price("queues-read", one.messages)
    )


def of_claim(one: Life, plan: Planning, shipped: Shipped, rate: float) -> float:
    """Return the price of a claim: execution time, executions, and requests to tables and queues."""
    time = plan.price("execution-time", billed_seconds(one, plan, shipped, rate) * shipped.gigabytes)
    return time + plan.price("executions", one.called) + storage(one, plan)


def as_compared(one: Life, plan: Planning, shipped: Shipped, sharing: int) -> float:
    """
    Return the price of a claim on the terms of decision P1.

    These terms are: each execution takes a second, so many share it, the redundancy is LRS, and the timer does not
    count.
    """
    time = plan.price("execution-time", one.called * shipped.gigabytes / sharing)
    requests = plan.price("tables", one.tables) + one.queues * LRS_QUEUE_REQUEST
    return time + plan.price("executions", one.called) + requests


# --- tables -----------------------------------------------------------------------------------------------------------


def by_rate(one: Life, plan: Planning, shipped: Shipped) -> str:
    """Return the table of prices by the number of claims."""
    head = ("claims", "billed seconds of instances for a claim", "USD for 10,000 claims", "USD for a million")
    rows = []
    for said, rate in RATES.items():
        price = of_claim(one, plan, shipped, rate)
        seconds = billed_seconds(one, plan, shipped, rate)
        rows.append((said, f"{seconds:.2f}", _usd(price * TEN_THOUSAND), f"{price * MILLION:,.0f}"))
    return "\n".join(table(head, rows))


def by_meter(one: Life, plan: Planning, shipped: Shipped) -> str:
    """Return the table of what a claim takes and costs, meter by meter."""
    gigabytes, assumed = shipped.gigabytes, plan.assumed
    busy, alone = (billed_seconds(one, plan, shipped, rate) * gigabytes for rate in (BUSY, ALONE))
    evidence_gb = assumed["evidence-mb"] / 1000
    meters = (
        ("execution time, every core works all the time", "execution-time", busy),
        ("execution time, no two executions overlap", "execution-time", alone),
        (
            f"executions: {one.executions(HTTP)} by requests, {one.executions(QUEUE)} by messages",
            "executions",
            one.called,
        ),
        ("requests to tables", "tables", one.tables),
        ("requests to queues: put and delete", "queues", one.queues - one.messages),
        ("requests to queues: take", "queues-read", one.messages),
        ("the file: requests", "blobs-written", one.blobs),
        (f"the file: {assumed['evidence-mb']:g} MB, a year", "blobs-stored", evidence_gb * assumed["evidence-months"]),
        ("rows, a year", "tables-stored", assumed["rows-kb"] / 1e6 * 12),
        ("mails", "mails", one.mails),
        (f"data of mails: {assumed['mail-kb']:g} kB each", "mails-sent", one.mails * assumed["mail-kb"] / 1000),
        (f"logs: {assumed['logs-kb']:g} kB", "logs", assumed["logs-kb"] / 1e6),
    )
    rows = (
        (what, f"{units:.3g} × {plan.prices[name].unit}", *_two(plan.price(name, units)))
        for what, name, units in meters
    )
    return "\n".join(table(("what", "for a claim", "USD for 10,000 claims", "USD for a million"), rows))


def by_month(plan: Planning, shipped: Shipped) -> str:
    """Return the table of what a deployment costs each month, also if nobody claims."""
    runs = shipped.timer_runs
    seldom, often = _log_alerts()
    time = plan.prices["execution-time"]
    gb_seconds = sum(runs.values()) * shipped.gigabytes
    shards = SHARDS * runs["finalise_uncontested"]
    polls = shipped.queues * POLLS_AN_HOUR * SECONDS_A_MONTH / 3600
    ready = shipped.gigabytes * SECONDS_A_MONTH
    lines = (
        (f"timers: {gb_seconds:,.0f} GB-seconds", time.of(gb_seconds)),
        (f"timers: {sum(runs.values()):,} executions", plan.price("executions", sum(runs.values()))),
        (f"the timer's reads of shards: {shards:,}", plan.price("tables", shards)),
        (f"polling of {shipped.queues} queues, at most {polls:,.0f} requests", plan.price("queues-read", polls)),
        (f"logs: {plan.assumed['logs-gb-per-month']:g} GB", plan.price("logs", plan.assumed["logs-gb-per-month"])),
        (f"log alerts: {often} each 5 minutes", plan.price("log-alerts", often)),
        (f"log alerts: {seldom} each 15 minutes", plan.price("seldom-log-alerts", seldom)),
        (f"metric alerts: {_metric_alerts()}", plan.price("metric-alerts", _metric_alerts())),
    )
    free = (
        f"less what is free: {time.free:,} GB-seconds, {plan.prices['executions'].free:,} executions, "
        f"{plan.prices['logs'].free} GB of logs"
    )
    given = (
        time.of(min(gb_seconds, time.free))
        + plan.price("executions", sum(runs.values()))
        + plan.price("logs", plan.assumed["logs-gb-per-month"])
    )
    rows: list[tuple[str, str]] = [(what, _usd(price)) for what, price in lines]
    rows += [
        (free, f"−{_usd(given)}"),
        ("**sum**", f"**{_usd(sum(price for _, price in lines) - given)}**"),
        (
            "optional: one instance that is always ready and executes nothing",
            _usd(plan.price("always-ready", ready)),
        ),
        (
            "the same, if it executes functions all the time",
            _usd(plan.price("always-ready", ready) + plan.price("always-ready-execution", ready)),
        ),
        ("optional: Front Door, before its traffic", _usd(plan.price("front-door", 1))),
    ]
    return "\n".join(table(("what", "USD a month"), rows))


def prices(plan: Planning) -> str:
    """Return the table of the list prices."""
    rows = (
        (
            price.meter,
            f"{price.usd:.6f}".rstrip("0").rstrip("."),
            f"{price.per:,} × {price.unit}" if price.per > 1 else price.unit,
            f"{price.free:,}" if price.free else "",
            price.region,
            price.read.isoformat(),
            price.source,
        )
        for price in plan.prices.values()
    )
    return "\n".join(table(("meter", "USD", "for", "free each month", "region", "date", "source"), rows))


def compared(one: Life, plan: Planning, shipped: Shipped) -> str:
    """Return the sentence that puts today's counts on the terms of decision P1."""
    then, now = (
        as_compared(one, plan, shipped, sharing) * MILLION for sharing in (COMPARED_SHARING, shipped.concurrency)
    )
    return (
        f"On these terms, today's counts give {then:.0f} USD for a million claims, and {now:.0f} USD if "
        f"{shipped.concurrency} executions share a second, as the settings of `infra/` allow."
    )


def _two(price: float) -> Iterator[str]:
    yield from (_usd(price * TEN_THOUSAND), _usd(price * MILLION))


def _usd(price: float) -> str:
    return f"{price:,.2f}"


def _log_alerts() -> tuple[int, int]:
    alerts = json.loads((ROOT / "infra" / "alerts.json").read_text("utf-8"))
    often = sum(alert["every"] == "PT5M" for alert in alerts)
    return len(alerts) - often, often


def _metric_alerts() -> int:
    return len(json.loads((ROOT / "infra" / "metric-alerts.json").read_text("utf-8")))


def blocks() -> dict[str, str]:
    """Return the parts of docs/operating.md by name."""
    one, plan, as_shipped = life(), planning(), shipped()
    return {
        "cost-by-rate": by_rate(one, plan, as_shipped),
        "cost-by-meter": by_meter(one, plan, as_shipped),
        "cost-by-month": by_month(plan, as_shipped),
        "cost-compared": compared(one, plan, as_shipped),
        "cost-prices": prices(plan),
    }


def main() -> int:
    """Print every table."""
    print("\n\n".join(blocks().values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
