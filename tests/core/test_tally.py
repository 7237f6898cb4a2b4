"""What one claim or one customer adds to the sums of insight, and what the sums say."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_app.adapters.catalogue import load_catalogue
from cpor_core.model.claim import EndedItem, Reason, Status
from cpor_core.model.history import CLOCK, Act, Entry, entry
from cpor_core.model.insight import (
    Coverage,
    CoverageInsight,
    Grouping,
    Impact,
    ImpactInsight,
    Measure,
    Stage,
    Step,
)
from cpor_core.model.registry import Channel, Customer, SubscriptionState
from cpor_core.model.tally import ClaimTally, Counts, ItemImpact, Life, Tally
from cpor_core.model.usage import Figure, MonthFigures
from cpor_core.rules.insight import Group, figures, funnel, groupings, impact, insight, reasons
from cpor_core.rules.tally import (
    TOTAL,
    Interval,
    added,
    claim_tally,
    covered_items,
    customer_tally,
    histogram_step,
    impact_of,
    joined,
    life_after,
    moved,
)
from tests.core.builders import (
    EXCHANGE,
    MONDAY,
    OTHER_SUBSCRIPTION,
    SHAREPOINT,
    TEAMS,
    USAGE,
    customer,
    draft,
    in_state,
    official,
    subscription,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CATALOGUE = load_catalogue()
SINCE = datetime(2026, 11, 9, 23, tzinfo=UTC)

# --- histories --------------------------------------------------------------------------------------------------------

Told = tuple[Act, Status, Reason | None, int]
"""An act, the state after it, its reason, and the minutes since the act before."""


def history(*told: Told) -> list[Entry]:
    """Return a history, the first act at `MONDAY`."""
    found: list[Entry] = []
    at = MONDAY
    for act, to, reason, minutes in told:
        at += timedelta(minutes=minutes)
        found.append(
            entry(
                sequence=len(found) + 1,
                at=at,
                actor=CLOCK,
                act=act,
                from_=None,
                to=to,
                reason=reason,
                previous_hash=None,
            )
        )
    return found


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(list(Act)), st.sampled_from(list(Status)), st.sampled_from(list(Reason)), st.integers(0, 99_999)
    ),
    max_size=30,
).map(lambda told: history(*told))


@given(HISTORIES, st.lists(st.integers(0, 30), max_size=4), st.sets(st.integers(1, 30)))
def test_a_life_is_the_same_however_its_entries_arrive(
    entries: Sequence[Entry], cuts: Sequence[int], explained: set[int]
) -> None:
    """The follower reads entries in any parts, and can read an entry twice."""
    whole = life_after(Life(), entries, explained)

    life = Life()
    for cut in sorted(cuts):
        life = life_after(life, entries[:cut], explained)

    assert life_after(life, entries, explained) == whole
    assert Life.model_validate_json(whole.model_dump_json(by_alias=True)) == whole


def test_a_step_counts_once_from_its_last_beginning_before_its_first_end() -> None:
    """The second review of this claim is not counted."""
    life = life_after(
        Life(),
        history(
            (Act.CREATED, Status.DRAFT, None, 0),
            (Act.SUBMITTED, Status.SUBMITTED, None, 60),
            (Act.REVIEW_STARTED, Status.UNDER_REVIEW, None, 10),
            (Act.REVIEW_STARTED, Status.UNDER_REVIEW, None, 5),
            (Act.REJECTED, Status.REJECTED, Reason.CUSTOMER_CONSENT_MISSING, 20),
            (Act.DISPUTED, Status.DISPUTED, None, 20),
            (Act.APPROVED, Status.AWAITING_CUSTOMER, None, 500),
        ),
    )

    assert life.took == {Step.DRAFT: 60, Step.WAIT_FOR_REVIEW: 10, Step.REVIEW: 20}
    assert set(life.began) == {Step.NOTICE, Step.SUBMISSION_TO_OFFICIAL}
    assert life.rejection is Reason.CUSTOMER_CONSENT_MISSING


def test_a_length_is_exact_below_an_hour_and_to_three_percent_above() -> None:
    """A histogram has 32 steps an octave. So there are few different lengths, however many claims there are."""
    assert [histogram_step(minutes) for minutes in (-5, 0, 1, 63)] == [0, 0, 1, 63]
    assert len({histogram_step(minutes) for minutes in range(64, 128)}) == 32
    for minutes in range(1, 600_000, 97):
        counts = {f"took|review|{histogram_step(minutes)}": 1}
        said = figures(Group("", "", counts), MONDAY).steps[list(Step).index(Step.REVIEW)]
        assert said.median_hours == pytest.approx(minutes / 60, rel=0.03, abs=0.01)
        assert said.median_days == pytest.approx(minutes / 60 / 24, rel=0.03, abs=0.01)


@pytest.mark.parametrize(
    ("lengths", "median", "p90"),
    [
        ({}, None, None),
        ({60: 1}, 1.0, 1.0),
        ({6: 1, 60: 1}, 0.1, 1.0),
        ({0: 9, 60: 1}, 0.0, 0.0),
        ({0: 8, 60: 2}, 0.0, 1.0),
    ],
)
def test_half_of_the_claims_and_nine_of_ten_took_no_longer(
    lengths: dict[int, int], median: float | None, p90: float | None
) -> None:
    """The figure is the shortest length, in hours, within which that share of the claims had ended."""
    counts = {f"took|review|{minutes}": count for minutes, count in lengths.items()}

    step = next(one for one in figures(Group("", "", counts), MONDAY).steps if one.step is Step.REVIEW)

    assert (step.count, step.median_hours, step.p90_hours) == (sum(lengths.values()), median, p90)


# --- sums -------------------------------------------------------------------------------------------------------------


def tally(number: int, status: Status, life: Life) -> ClaimTally:
    """Return the tally of one of several claims in that state."""
    items = [(TEAMS,), (TEAMS, EXCHANGE), (EXCHANGE, SHAREPOINT)][number % 3]
    claim = in_state(status, items=items).claim
    due = MONDAY + number % 2 * DAY
    figures = [ItemImpact(item="teams", baseline=number or None, now=number + 3)] if claim.official_since else []
    country = ["FR", "CZ", None][number % 3]
    return claim_tally(claim, life, figures, covered=["teams"], due=due, country=country)


TALLIES = st.builds(
    tally,
    st.integers(0, 5),
    st.sampled_from([one for one in Status if one is not Status.DELETED]),
    HISTORIES.map(lambda entries: life_after(Life(), entries)),
)


@given(st.lists(st.tuples(st.integers(0, 4), TALLIES | st.none()), max_size=12))
def test_sums_that_are_moved_equal_the_sums_of_the_last_tallies(
    changes: Sequence[tuple[int, ClaimTally | None]],
) -> None:
    """After all claims are gone, nothing is left: no count, and no group."""
    sums: Mapping[str, Counts] = {}
    now: dict[int, ClaimTally | None] = {}
    for which, after in [*changes, *((which, None) for which in range(5))]:
        assert sums == joined([moved((None, one) for one in now.values())])
        sums = {group: sum_ for group, sum_ in joined([sums, moved([(now.get(which), after)])]).items() if sum_}
        now[which] = after

    assert sums == {}


def test_a_stored_tally_is_subtracted_as_it_was_added() -> None:
    """A tally that another release has counted differently leaves nothing behind."""
    stored = Tally(every={"ofAnotherRelease": 2}, groups={TOTAL: {}, "colour|red": {"also": 1}})

    sums = moved([(None, stored)])

    assert sums == {TOTAL: {"ofAnotherRelease": 2}, "colour|red": {"ofAnotherRelease": 2, "also": 1}}
    assert added(sums[TOTAL], moved([(stored, None)])[TOTAL]) == {}


# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_review_is_overdue_from_its_time_limit_on() -> None:
    """The sums have the instant. So nobody must count again when it comes."""
    claim = in_state(Status.SUBMITTED).claim
    due = MONDAY + DAY
    sums = moved([(None, claim_tally(claim, Life(), (), covered=(), due=due, country=None))])
    group = Group("", "", sums[TOTAL])

    assert figures(group, due - timedelta(microseconds=1)).overdue == 0
    assert figures(group, due).overdue_rate == 1.0


def test_an_item_that_the_association_has_lost_counts_as_ended() -> None:
    """The association itself still counts, and so do its other items."""
    case = official(draft(items=(TEAMS, EXCHANGE)))
    lost = EndedItem(key="teams", at=MONDAY, reason=Reason.SUBSCRIPTION_ENDED)
    claim = case.claim.model_copy(update={"ended_items": (lost,)})

    groups = claim_tally(claim, Life(), (), covered=["teams", "exchange"], due=None, country="FR").groups

    assert groups["workload|teams"] == {"end|subscriptionEnded": 1}
    assert groups["workload|exchange"] == {"associations": 1, "held": 1}
    assert groups[TOTAL] == groups["country|FR"] == {"associations": 1, "held": 1}


def test_reasons_are_counted_from_closed_lists() -> None:
    """Each reason is shown, also one that no claim has."""
    rejected = Life(rejection=Reason.LOST_ARBITRATION)
    counts = [
        claim_tally(in_state(status).claim, life, (), covered=(), due=None, country=None)
        for status, life in [
            (Status.REJECTED, rejected),
            (Status.DECLINED, Life(decline_has_reason=True)),
            (Status.DECLINED, Life()),
            (Status.ENDED, Life()),
        ]
    ]

    said = reasons(Group("", "", moved((None, one) for one in counts)[TOTAL]))

    assert {reason: count for reason, count in said.rejected.items() if count} == {Reason.LOST_ARBITRATION: 1}
    assert len(said.rejected) == 10
    assert (said.declined.given, said.declined.none) == (1, 1)
    assert sum(said.ended.values()) == 1
    assert len(said.ended) == 5


def test_the_funnel_counts_the_stages_that_claims_have_reached() -> None:
    """A validated claim is approved. An imported association is in no stage."""
    lives = [
        Life(acts=(Act.CREATED, Act.SUBMITTED, Act.VALIDATED, Act.CUSTOMER_TOLD, Act.MADE_OFFICIAL)),
        Life(acts=(Act.CREATED, Act.SUBMITTED, Act.APPROVED)),
        Life(acts=(Act.CREATED,)),
        Life(acts=(Act.IMPORTED,)),
    ]
    claim = in_state(Status.OFFICIAL).claim
    tallies = [claim_tally(claim, life, (), covered=(), due=None, country=None) for life in lives]

    said = funnel(Group("", "", moved((None, one) for one in tallies)[TOTAL])).stages

    assert [(one.stage, one.claims) for one in said] == list(zip(Stage, (3, 2, 2, 1, 1), strict=True))
    assert [one.share for one in said] == [1.0, 0.6667, 0.6667, 0.3333, 0.3333]


# --- impact -----------------------------------------------------------------------------------------------------------


def measured(*users: tuple[str, date, int]) -> Mapping[tuple[str, str], MonthFigures]:
    """Return figures of Teams by month, each with its own day."""
    return {
        (month, "teams"): MonthFigures(
            active_users=Figure(value=value, as_of=day), assigned_seats=Figure(value=999, as_of=day)
        )
        for month, day, value in users
    }


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ({-92: 5}, (None, None)),
        ({-91: 5}, (5, None)),
        ({-40: 5, -3: 7}, (7, None)),
        ({0: 7, 28: 8}, (7, None)),
        ({0: 7, 29: 8}, (7, 8)),
        ({1: 3, 29: 8, 80: 9}, (None, 9)),
        ({-5: 2, 30: 8, 99: 9}, (2, 9)),
        ({-5: 2, 30: 8, 100: 9}, (2, 8)),
        ({-5: 2, 100: 9}, (2, None)),
    ],
)
def test_figures_before_and_after_the_beginning(days: Mapping[int, int], found: tuple[int | None, int | None]) -> None:
    """
    The association lasts 100 days less an hour, from late on day 0. A figure of day 0 is before it.

    A figure counts at the first instant of its day: for the baseline at most 92 days before the beginning, for the
    effect at least 28 days after it.
    """
    day = {number: SINCE.date() + number * DAY for number in days}
    figures = measured(*((f"{day[number]:%Y-%m-%d}", day[number], value) for number, value in days.items()))
    until = SINCE.replace(hour=0) + 100 * DAY

    (one,) = impact_of([Interval("teams", SINCE, until)], figures)

    assert (one.baseline, one.now) == found


@pytest.mark.parametrize(
    ("before", "after", "found"), [(92, 28, (5, 8)), (93, 28, (None, 8)), (92, 27, (5, None)), (0, 28, (None, 8))]
)
def test_an_association_from_midnight_takes_whole_days(before: int, after: int, found: tuple[int | None, ...]) -> None:
    """An import begins at midnight in UTC. The 92nd day before it and the 28th day after it count."""
    midnight = SINCE.replace(hour=0)
    first, last = (midnight - before * DAY).date(), (midnight + after * DAY).date()
    figures = measured((f"{first:%Y-%m}", first, 5), (f"{last:%Y-%m}", last, 8))

    (one,) = impact_of([Interval("teams", midnight, None)], figures)

    assert (one.baseline, one.now) == found


def test_figures_with_one_day_in_several_months_give_the_newest_month() -> None:
    """An operator can load old months late. All of them then have the day of the load."""
    late = date(2027, 1, 5)

    (one,) = impact_of([Interval("teams", SINCE, None)], measured(("2026-12", late, 4), ("2026-02", late, 9)))

    assert one.now == 4


def test_impact_counts_only_items_with_both_figures() -> None:
    """The answer says how many items lack a figure."""
    claim = official(draft(items=(TEAMS, EXCHANGE, SHAREPOINT))).claim
    figures = [
        ItemImpact(item="teams", baseline=10, now=15),
        ItemImpact(item="exchange", now=100),
        ItemImpact(item="sharepoint", baseline=100),
    ]
    made = claim_tally(claim, Life(), figures, covered=(), due=None, country=None)

    said = impact(Group("", "", moved([(None, made)])[TOTAL]))

    assert said == Impact(
        key="",
        name="",
        baseline=10,
        now=15,
        growth=5,
        growth_share=0.5,
        counted=1,
        without_baseline=1,
        without_now=1,
    )


# --- coverage ---------------------------------------------------------------------------------------------------------


def test_coverage_counts_what_the_catalogue_takes() -> None:
    """An item counts once for each engagement that takes it. A holder counts only for such an item."""
    csp = subscription(subscription_id=OTHER_SUBSCRIPTION, channel=Channel.CSP)
    gone = subscription(subscription_id=OTHER_SUBSCRIPTION[:-1] + "3", state=SubscriptionState.DISABLED)
    tenant = customer(workloads=("teams", "exchange", "no-such"), subscriptions=(subscription(), csp, gone))

    groups = customer_tally(tenant, CATALOGUE).groups

    assert groups[f"engagement|{USAGE}"] == {"customers": 1, "claimable": 2}
    taking = [one for one in CATALOGUE.current if one.lists("dynamics-365-sales")]
    assert all(groups[f"engagement|{one.id}"]["claimable"] >= 1 for one in taking)
    assert groups[TOTAL]["claimable"] == sum(groups[f"engagement|{one.id}"]["claimable"] for one in CATALOGUE.current)
    assert groups[TOTAL]["customers"] == 1
    assert "workload|no-such" not in groups


@pytest.mark.parametrize(
    ("tenant", "found"),
    [(customer(), ("teams", "exchange")), (customer(workloads=("teams",)), ("teams",)), (None, ())],
)
def test_a_holder_of_an_item_that_cannot_be_claimed_now_covers_nothing(
    tenant: Customer | None, found: Sequence[str]
) -> None:
    """So the share is never above 1."""
    claim = official(draft(items=(TEAMS, EXCHANGE))).claim

    covered = covered_items(claim, tenant, CATALOGUE)

    assert covered == found
    groups = claim_tally(claim, Life(), (), covered=covered, due=None, country="FR").groups
    assert groups[TOTAL].get("held", 0) == len(found)


# --- answers ----------------------------------------------------------------------------------------------------------


def answer(
    measure: Measure, grouping: Grouping, sums: Mapping[str, Counts], *, operator: bool
) -> ImpactInsight | CoverageInsight:
    """Return the answer to an operator or to a reader."""
    made = insight(measure, grouping, sums, name=lambda _, key: key, as_of=MONDAY, now=MONDAY, shows_small=operator)
    assert isinstance(made, ImpactInsight | CoverageInsight)
    return made


def of_tenants(count: int) -> Counts:
    """Return the impact of that many tenants."""
    return {"counted": count, "now": 9} | {f"tenant|{number:03x}": 1 for number in range(count)}


def test_only_the_operator_sees_groups_under_five_tenants() -> None:
    """A total that would show such a group as a difference is hidden too."""
    sums = {TOTAL: of_tenants(9), "country|FR": of_tenants(5), "country|CZ": of_tenants(4)}

    seen = answer(Measure.IMPACT, Grouping.COUNTRY, sums, operator=False)

    assert ([one.key for one in seen.value], seen.hidden, seen.total) == (["FR"], 1, None)
    everything = answer(Measure.IMPACT, Grouping.COUNTRY, sums, operator=True)
    assert [one.key for one in everything.value] == ["FR", "CZ"]
    assert everything.total is not None
    assert everything.hidden == 0


def test_a_hidden_group_without_tenants_hides_no_total() -> None:
    """There is nothing in it that the total could show."""
    sums = {TOTAL: of_tenants(6), "country|FR": of_tenants(6), "country|CZ": {"withoutNow": 3}}

    seen = answer(Measure.IMPACT, Grouping.COUNTRY, sums, operator=False)

    assert ([one.key for one in seen.value], seen.hidden) == (["FR"], 1)
    assert seen.total is not None


def test_a_total_under_five_tenants_is_hidden() -> None:
    """This also holds for coverage."""
    few = {"claimable": 8, "held": 1, "customers": 4}

    seen = answer(Measure.COVERAGE, Grouping.COUNTRY, {TOTAL: few, "country|FR": few}, operator=False)

    assert (seen.value, seen.hidden, seen.total) == ((), 1, None)
    everything = answer(Measure.COVERAGE, Grouping.COUNTRY, {TOTAL: few}, operator=True)
    assert everything.total == Coverage(key="", name="", claimable=8, held=1, share=0.125, customers=4)


def test_groups_are_in_an_order_that_a_reader_expects() -> None:
    """Months are in the order of time, states in the order of a claim's life, and other groups by size."""
    sums = {
        "month|2026-11": {"claims": 9},
        "month|2026-02": {"claims": 1},
        "status|official": {"claims": 1},
        "status|draft": {"claims": 3},
        "country|CZ": {"claims": 1},
        "country|FR": {"claims": 5},
        "country|AT": {"claims": 1},
        "country|DE": {"claimable": 4},
    }

    def keys(grouping: Grouping) -> list[str]:
        found = insight(
            Measure.CLAIMS, grouping, sums, name=lambda _, key: key, as_of=MONDAY, now=MONDAY, shows_small=False
        )
        return [one.key for one in found.value]

    assert keys(Grouping.MONTH) == ["2026-02", "2026-11"]
    assert keys(Grouping.STATUS) == ["draft", "official"]
    assert keys(Grouping.COUNTRY) == ["FR", "AT", "CZ"]


def test_coverage_goes_only_with_groupings_that_every_item_has() -> None:
    """The other measures go with every grouping."""
    assert groupings(Measure.COVERAGE) == (Grouping.ENGAGEMENT, Grouping.WORKLOAD, Grouping.COUNTRY)
    assert all(groupings(one) == tuple(Grouping) for one in Measure if one is not Measure.COVERAGE)
