"""What the service costs and how many claims it takes: calculated from counts, prices and settings as they are."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tools import cost, planning, scale
from tools.cost import ALONE, BUSY, MILLION
from tools.planning import HTTP, QUEUE, SPEED, TIMER, Life, Planning, Price, Shipped, Step

PRICES = {
    "execution-time": 0.01,
    "executions": 0.1,
    "tables": 1.0,
    "queues": 10.0,
    "queues-read": 100.0,
}
PLAN = Planning(
    prices={name: Price("m", usd, 1, "u", "r", date(2026, 1, 1), "s") for name, usd in PRICES.items()},
    limits={
        "billed-at-least-seconds": 1.0,
        "mails-per-hour": 3_600,
        "region-memory-mb": 20_480,
        "largest-instance-count": 1_000,
        "account-requests-per-second": 2_100,
        "queue-messages-per-second": 90,
        "partition-rows-per-second": 1_000,
    },
    cores={2048: 1.0},
    measured={"cpu-seconds-per-request": 0.01, "row-writes-per-second": 8},
    assumed={},
)
SETTINGS = Shipped(memory_mb=2048, instances=5, concurrency=10, messages_at_once=12, timer_runs={"t": 2_592}, queues=2)
LIFE = Life(
    steps=(
        Step("http", HTTP, 2, 8, 1, 1, is_housekeeping=False),
        Step("notify", QUEUE, 1, 2, 2, 0, is_housekeeping=False),
        Step("timer", TIMER, 1, 3, 0, 0, is_housekeeping=False),
        Step("timer", TIMER, 3, 4, 0, 0, is_housekeeping=True),
    ),
    mails=4,
)
"""Three executions. 21 requests: 17 to tables, 3 to queues, 1 to blobs; 7 of them by the timer."""
REQUESTS = 17 * 1.0 + 2 * 10.0 + 1 * 100.0 + 3 * 0.1


def leanest() -> Life:
    """Return a life with the counts that are aimed at: 75 requests to tables and queues, 6 executions."""
    return Life(
        steps=(
            Step("http", HTTP, 4, 24, 1, 1, is_housekeeping=False),
            Step("notify_customer", QUEUE, 2, 11, 4, 0, is_housekeeping=False),
            Step("timer", TIMER, 2, 7, 1, 0, is_housekeeping=False),
            Step("timer", TIMER, 4, 27, 0, 0, is_housekeeping=True),
        ),
        mails=5,
    )


def test_the_life_is_the_one_that_is_counted() -> None:
    """The steps that are read from docs/speed.md add up to the sums on that page."""
    sums = re.findall(r"^\| (requests|executions)\b.* \| (\d+) \| \d+ \|$", SPEED.read_text("utf-8"), re.MULTILINE)

    one = planning.life()

    assert one.requests(HTTP, QUEUE, TIMER) == sum(int(count) for of, count in sums if of == "requests") > 0
    assert one.called == sum(int(count) for of, count in sums if of == "executions") > 0
    assert {step.group for step in one.steps} == {"http", "timer", *one.groups()}


@pytest.mark.parametrize("text", ["", "<!-- a whole life, counted -->\n| step |\n|---|\n\n| sum |\n<!-- end -->"])
def test_a_page_without_counts_is_an_error(text: str) -> None:
    """Otherwise everything would cost nothing."""
    with pytest.raises(ValueError, match="life"):
        planning.read_steps(text)


def test_the_settings_are_those_that_are_deployed() -> None:
    """Read from infra/, host.json and the functions; a name that infra/ does not have is an error."""
    bicep = planning.MAIN_BICEP.read_text("utf-8")

    found = planning.shipped()

    assert f"param instanceMemoryMB memory = {found.memory_mb}\n" in bicep
    assert f"param httpPerInstanceConcurrency int = {found.concurrency}\n" in bicep
    assert found.memory_mb in planning.planning().cores
    assert found.timer_runs == {"finalise_uncontested": 30 * 24 * 60, "recount_insight": 30 * 24 * 12}
    with pytest.raises(ValueError, match="instanceMemoryGB"):
        planning._default("instanceMemoryGB")


def test_every_price_is_used_and_says_where_it_comes_from() -> None:
    """With its unit, its region, its date and its source."""
    used = set(re.findall(r'"([a-z-]+)"', Path(cost.__file__).read_text("utf-8")))

    for name, price in planning.planning().prices.items():
        assert name in used
        assert price.usd > 0
        assert all((price.meter, price.unit, price.region, price.source))
        assert price.read >= date(2026, 1, 1)


def test_an_execution_without_another_pays_for_a_second() -> None:
    """And for the whole memory of the instance."""
    assert cost.billed_seconds(LIFE, PLAN, SETTINGS, ALONE) == 3
    assert cost.of_claim(LIFE, PLAN, SETTINGS, ALONE) == pytest.approx(3 * 2 * 0.01 + REQUESTS)


def test_an_instance_without_pause_is_paid_by_cpu() -> None:
    """The timer's work, too: 21 requests of 10 ms."""
    assert cost.billed_seconds(LIFE, PLAN, SETTINGS, BUSY) == pytest.approx(0.21)
    assert cost.of_claim(LIFE, PLAN, SETTINGS, BUSY) == pytest.approx(0.21 * 2 * 0.01 + REQUESTS)


def test_calls_at_random_share_seconds() -> None:
    """Two requests and one message a second: two groups, each with a part of all seconds; the timer in its own."""
    http, message = 1 - 2.718281828**-2, 1 - 2.718281828**-1

    assert cost.billed_seconds(LIFE, PLAN, SETTINGS, 1) == pytest.approx(http + message + 0.07 - 0.001)


def test_the_more_claims_the_less_each_costs() -> None:
    """Between the two bounds."""
    one, plan, shipped = planning.life(), planning.planning(), planning.shipped()
    prices = [cost.of_claim(one, plan, shipped, rate) for rate in (ALONE, 0.001, 0.1, 1, 10, 100, BUSY)]

    assert prices == pytest.approx(sorted(prices, reverse=True), rel=1e-3)


def test_with_the_counts_that_are_aimed_at_a_million_claims_cost_25_dollars_at_most() -> None:
    """With the settings and prices as they are: by the CPU that claims take, and on the terms of decision P1."""
    plan, shipped = planning.planning(), planning.shipped()

    assert cost.of_claim(leanest(), plan, shipped, BUSY) * MILLION <= 25
    assert cost.as_compared(leanest(), plan, shipped, shipped.concurrency) * MILLION <= 25


def test_each_limit_is_a_capacity_by_what_a_claim_uses() -> None:
    """The lowest first."""
    found = {limit.what: limit.claims_per_second for limit in scale.limits(LIFE, PLAN, SETTINGS)}

    assert found == {
        "Azure's first quota of mails": pytest.approx(1 / 4),
        "the row that counts the mails of all instances": pytest.approx(8 / 4),
        "the busiest queue": pytest.approx(90 / 3),
        "`maximumInstanceCount`": pytest.approx(5 / 0.21),
        "Azure's quota of memory in a region": pytest.approx(10 / 0.21),
        "the requests to the data account": pytest.approx(2_100 / 21),
        "the 16 partitions of due rows": pytest.approx(16_000 / 17),
    }
    assert list(found.values()) == sorted(found.values())


def test_each_rate_meets_the_limits_below_it_and_names_the_next() -> None:
    """With what lifts each, with the price, and with the mails."""
    parts = scale.by_rate(LIFE, PLAN, SETTINGS).split("**")

    assert [part for part in parts if "a second" in part and len(part) < 20] == [
        f"{rate} a second" for rate in (1, 100, 500)
    ]
    said = [
        re.findall(r"^(\d+)\. .+ a second\. (To lift it|This is enough)", part, re.MULTILINE) for part in parts[2::2]
    ]
    assert said[0] == [("1", "To lift it"), ("2", "This is enough")]
    assert said[1] == [*((str(number), "To lift it") for number in range(1, 6)), ("6", "This is enough")]
    assert "1,440,000 an hour" in parts[4]


def test_mail_is_the_first_limit_of_a_new_deployment() -> None:
    """100 mails an hour are enough for 480 claims of five mails a day: an operator has to know that first."""
    one, plan, shipped = planning.life(), planning.planning(), planning.shipped()

    assert one.mails == 5
    assert scale.limits(one, plan, shipped)[0].claims_per_second * scale.DAY == pytest.approx(480)
    assert "480 claims a day" in scale.first_limit(one, plan, shipped)


def test_more_instances_lift_the_limit_of_instances_and_no_other() -> None:
    """What lifts a limit is the setting that the table names."""
    more = replace(SETTINGS, instances=10)

    before, after = ({one.what: one.capacity for one in scale.limits(LIFE, PLAN, each)} for each in (SETTINGS, more))

    assert {what for what in before if before[what] != after[what]} == {"`maximumInstanceCount`"}


def test_the_commands_print_what_the_page_has(capsys: pytest.CaptureFixture[str]) -> None:
    """Every table of the page, and nothing else."""
    assert cost.main() == scale.main() == 0

    said = capsys.readouterr().out
    page = (SPEED.parent / "operating.md").read_text("utf-8")
    for block in (*cost.blocks().values(), *scale.blocks().values()):
        assert block.strip() in said
        assert block.strip() in page
