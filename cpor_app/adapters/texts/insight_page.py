"""
Writes the programme's page of figures: charts, and a table with all figures of each grouping.

A bar is an SVG rectangle beside its name and number, which are text. So the charts can be read on a phone, by a screen
reader and at night, and they need no axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never, cast

from cpor_app.adapters.texts.sanitise import plain_line
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.claim import Reason, Status
from cpor_core.model.insight import (
    AnyInsight,
    CoverageInsight,
    Figures,
    Funnel,
    FunnelInsight,
    GroupFigures,
    Grouping,
    Impact,
    ImpactInsight,
    Insight,
    Measure,
    Reasons,
    ReasonsInsight,
    Stage,
    Step,
    StepTime,
)

SHOWN = 12
"""The most groups in a chart or a table. A longer one is hard to read."""
NAME_CHARACTERS = 80
"""The longest name of a location."""
TITLES: Mapping[Grouping, str] = {
    Grouping.ENGAGEMENT: "engagement",
    Grouping.WORKLOAD: "workload or product",
    Grouping.COUNTRY: "customer’s country",
    Grouping.PARTNER: "partner’s location",
    Grouping.STATUS: "state",
    Grouping.MONTH: "month of creation",
}
STEPS: Mapping[Step, str] = {
    Step.DRAFT: "Creation to submission",
    Step.WAIT_FOR_REVIEW: "Submission to start of review",
    Step.REVIEW: "Start of review to decision",
    Step.ANSWER: "Question to the partner’s answer",
    Step.NOTICE: "Approval to the customer’s notice",
    Step.WINDOW: "Notice to official",
    Step.SUBMISSION_TO_OFFICIAL: "Submission to official",
}
STAGES: Mapping[Stage, str] = {
    Stage.CREATED: "Created",
    Stage.SUBMITTED: "Submitted",
    Stage.APPROVED: "Approved",
    Stage.CUSTOMER_TOLD: "Customer notified",
    Stage.OFFICIAL: "Official association",
}
STATES: Mapping[Status, str] = {
    Status.DRAFT: "Draft",
    Status.SUBMITTED: "Submitted",
    Status.UNDER_REVIEW: "Under review",
    Status.PARTNER_ACTION_REQUIRED: "Waits for the partner",
    Status.AWAITING_CUSTOMER: "Waits for the customer",
    Status.DECLINED: "Declined by the customer",
    Status.REJECTED: "Rejected",
    Status.DISPUTED: "Disputed",
    Status.REJECTED_FINAL: "Finally rejected",
    Status.OFFICIAL: "Official association",
    Status.ENDED: "Ended association",
    Status.WITHDRAWN: "Withdrawn",
}
REASONS: Mapping[Reason, str] = {
    Reason.INSUFFICIENT_EVIDENCE: "Evidence does not suffice",
    Reason.CUSTOMER_CONSENT_MISSING: "Customer’s consent is missing",
    Reason.PRODUCTS_MISSING: "Products are missing in the evidence",
    Reason.EVIDENCE_UNAVAILABLE: "Evidence could not be read",
    Reason.PARTNER_REQUEST: "Partner asked for it",
    Reason.NO_PARTNER_RESPONSE: "Partner did not answer in time",
    Reason.LOST_ARBITRATION: "Another partner was preferred",
    Reason.ALL_ITEMS_STRUCK: "All items were struck",
    Reason.SUBSCRIPTION_ENDED: "Subscription has ended",
    Reason.REVOKED_BY_PROGRAMME: "Programme revoked it",
    Reason.PARTNER_DISASSOCIATED: "Partner ended it",
    Reason.CUSTOMER_OPTED_OUT: "Customer ended it",
    Reason.SUPERSEDED: "Another partner took over",
}
IMPACT_BY = (Grouping.ENGAGEMENT, Grouping.WORKLOAD, Grouping.COUNTRY, Grouping.PARTNER)
COVERAGE_BY = (Grouping.ENGAGEMENT, Grouping.WORKLOAD, Grouping.COUNTRY)


class Bar(NamedTuple):
    """
    One line of a chart. All lengths are in percent of the chart's width.

    The bar can be a part of a longer bar, `whole`. A `mark` shows another value to compare with.
    """

    name: str
    value: str
    length: float
    note: str = ""
    whole: float | None = None
    mark: float | None = None


class Chart(NamedTuple):
    """
    A chart with the largest groups.

    `left_out` is the number of smaller groups. `hidden` is the number of groups that the reader may not see.
    """

    title: str
    bars: Sequence[Bar]
    left_out: int = 0
    hidden: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is no group."""
        return not self.bars and not self.hidden


class Table(NamedTuple):
    """The figures of one grouping: a chart, and a table with all figures."""

    title: str
    group_by: Grouping
    chart: Chart
    rows: Sequence[tuple[str, Figures]]


Ask = Callable[[Measure, Grouping], AnyInsight]
"""Returns the answer to a question, as the reader of the page can have it."""


def insight_page(texts: Texts, ask: Ask) -> str:
    """Return the page in HTML, in English, the programme's working language."""
    words = _Words(texts)
    claims = {grouping: cast("Insight", ask(Measure.CLAIMS, grouping)) for grouping in Grouping}
    impact = {grouping: cast("ImpactInsight", ask(Measure.IMPACT, grouping)) for grouping in IMPACT_BY}
    coverage = {grouping: cast("CoverageInsight", ask(Measure.COVERAGE, grouping)) for grouping in COVERAGE_BY}
    reasons = cast("ReasonsInsight", ask(Measure.REASONS, Grouping.STATUS)).total
    funnel = cast("FunnelInsight", ask(Measure.FUNNEL, Grouping.STATUS)).total
    first = claims[Grouping.ENGAGEMENT]
    return texts.insight_page(
        {
            "as_of": first.as_of,
            "total": first.total,
            "impact": impact[Grouping.ENGAGEMENT].total,
            "coverage": coverage[Grouping.ENGAGEMENT].total,
            "funnel": words.funnel(funnel),
            "lengths": words.lengths(first.total.steps),
            "impact_charts": [words.impact(by, found) for by, found in impact.items()],
            "coverage_charts": [words.coverage(by, found) for by, found in coverage.items()],
            "reasons": words.reasons(reasons),
            "tables": [words.table(by, found) for by, found in claims.items()],
            "words": words,
        }
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """Writes names and figures in words."""

    texts: Texts

    def number(self, number: int) -> str:
        """Return a whole number with its thousands apart."""
        return self.texts.number(number)

    def count(self, number: int, of_what: str) -> str:
        """Return a number with its noun, as in `1 claim` and `2 claims`."""
        return f"{self.number(number)} {of_what}{'' if number == 1 else 's'}"

    def with_share(self, number: int, share: float | None) -> str:
        """Return a number, and its share if there is one."""
        return self.number(number) if share is None else f"{self.number(number)} ({self.percent(share)})"

    def percent(self, share: float | None) -> str:
        """Return a share in percent."""
        return "–" if share is None else f"{share * 100:.1f} %"

    def growth(self, impact: Impact) -> str:
        """Return the growth of active users, as a number and as a share."""
        number = f"{_sign(impact.growth)}{self.number(abs(impact.growth))}"
        return number if impact.growth_share is None else f"{number} ({self.growth_share(impact)})"

    def growth_share(self, impact: Impact) -> str:
        """Return the growth of active users in percent of the baseline."""
        return "–" if impact.growth_share is None else f"{_sign(impact.growth)}{self.percent(abs(impact.growth_share))}"

    def days(self, days: float | None) -> str:
        """Return a length in days. A length under a day is in hours, and a length under an hour in minutes."""
        if days is None:
            return "–"
        if days >= 1:
            return f"{days:.1f} days"
        if days * 24 >= 1:
            return f"{days * 24:.1f} hours"
        minutes = round(days * 24 * 60)
        return self.count(minutes, "minute") if minutes else "under a minute"

    def name(self, grouping: Grouping, row: GroupFigures) -> str:
        """Return the name of a group. The name of a location has its number, because two can have the same name."""
        match grouping:
            case Grouping.STATUS:
                return STATES[Status(row.key)]
            case Grouping.MONTH:
                return self.texts.month(row.key)
            case Grouping.COUNTRY:
                return self.texts.country(row.key) or "Not registered"
            case Grouping.PARTNER:
                return f"{plain_line(row.name, NAME_CHARACTERS)} ({row.key})"
            case Grouping.ENGAGEMENT | Grouping.WORKLOAD:
                return row.name
            case _:
                assert_never(grouping)

    def funnel(self, funnel: Funnel) -> Chart:
        """Return the stages, with the share of the created claims. Before the first claim the chart is empty."""
        bars = [
            Bar(STAGES[one.stage], self.number(one.claims), one.share * 100, note=self.percent(one.share))
            for one in funnel.stages
            if one.share is not None
        ]
        return Chart("Claims that have reached each stage", bars)

    def lengths(self, steps: Sequence[StepTime]) -> Chart:
        """Return how long each step takes: the median, as a part of the 90th percentile."""
        longest = max((one.p90_days or 0 for one in steps), default=0) or 1
        bars = [
            Bar(
                STEPS[one.step],
                self.days(one.median_days),
                (one.median_days or 0) / longest * 100,
                f"90 %: {self.days(one.p90_days)}; {self.count(one.count, 'claim')}" if one.count else "",
                whole=(one.p90_days or 0) / longest * 100,
            )
            for one in steps
        ]
        return Chart("How long each step takes", bars)

    def impact(self, grouping: Grouping, found: ImpactInsight) -> Chart:
        """Return the active users now, with a mark for the active users before the associations."""
        rows = [row for row in found.value if row.counted]
        most = max((max(row.now, row.baseline) for row in rows), default=0) or 1
        bars = [
            Bar(
                self.name(grouping, row),
                self.growth(row),
                row.now / most * 100,
                f"{self.number(row.baseline)} before, {self.number(row.now)} now, {self.count(row.counted, 'item')}",
                mark=row.baseline / most * 100,
            )
            for row in rows[:SHOWN]
        ]
        return Chart(f"Growth by {TITLES[grouping]}", bars, len(rows) - len(bars), found.hidden)

    def coverage(self, grouping: Grouping, found: CoverageInsight) -> Chart:
        """Return the items with a holder as a part of the items that can be claimed."""
        most = max((row.claimable for row in found.value), default=0) or 1
        bars = [
            Bar(
                self.name(grouping, row),
                self.percent(row.share),
                row.held / most * 100,
                f"{self.number(row.held)} of {self.count(row.claimable, 'item')}",
                whole=row.claimable / most * 100,
            )
            for row in found.value[:SHOWN]
        ]
        return Chart(f"Coverage by {TITLES[grouping]}", bars, len(found.value) - len(bars), found.hidden)

    def reasons(self, reasons: Reasons) -> Sequence[Chart]:
        """Return the reasons that claims and associations have, the most frequent first."""
        declined = {"With a reason in words": reasons.declined.given, "Without a reason": reasons.declined.none}
        return [
            self._counted("Why claims were rejected", _in_words(reasons.rejected)),
            self._counted("How customers declined", declined),
            self._counted("Why associations ended", _in_words(reasons.ended)),
        ]

    def _counted(self, title: str, counts: Mapping[str, int]) -> Chart:
        found = sorted(((count, name) for name, count in counts.items() if count), key=lambda one: (-one[0], one[1]))
        most = max((count for count, _ in found), default=1)
        return Chart(title, [Bar(name, self.number(count), count / most * 100) for count, name in found])

    def table(self, grouping: Grouping, found: Insight) -> Table:
        """Return the claims of a grouping, with the official associations as a part."""
        # If there are more months than `SHOWN`, the newest are shown.
        rows = found.value[-SHOWN:] if grouping is Grouping.MONTH else found.value[:SHOWN]
        most = max((row.claims for row in rows), default=1)
        named = [(self.name(grouping, row), row) for row in rows]
        bars = [
            Bar(
                name,
                self.number(row.claims),
                row.associations / most * 100,
                f"{self.number(row.associations)} official" if row.associations else "",
                whole=row.claims / most * 100,
            )
            for name, row in named
        ]
        chart = Chart(f"Claims by {TITLES[grouping]}", bars, len(found.value) - len(rows))
        return Table(TITLES[grouping], grouping, chart, named)


def _sign(number: int) -> str:
    return "+" if number > 0 else "−" if number < 0 else "±"


def _in_words(counts: Mapping[Reason, int]) -> Mapping[str, int]:
    return {REASONS[reason]: count for reason, count in counts.items()}
