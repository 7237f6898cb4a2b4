"""The reviewer's lists and decisions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Item, Reason
from cpor_core.model.history import PROGRAMME
from cpor_core.ports import Ports
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import next_step
from cpor_core.use_cases.change_claim import REVIEWS, SAMPLE, ActContext, change_claim, review_position, sample_position
from cpor_core.use_cases.claims.listing import Page, load_all, matching
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by

STALE_AFTER = timedelta(minutes=10)
"""A row without a claim is removed after so much real time. Until then the row's claim can still be written."""
MOST_OVERDUE = 20
"""Overdue reviews are counted up to this number. The operator finds all of them in the list."""


async def start(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case:
    """
    Start the review of a submitted claim, and store which reviewer has taken it. Raises `InvalidState`.

    If a reviewer gave the review back, the time to decide still ends when it would have ended without that.
    """
    terms = await ports.current_terms()

    def judge(current: Case) -> Case:
        kept = next_step(current, terms).due if current.claim.given_back else None
        decide_by = kept or terms.decide_by(now)
        return life.start_review(current, PROGRAMME, now, decide_by=decide_by, taken_by=context.person_id)

    return await change_claim(ports, case, now, judge, context)


async def release(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case:
    """Give a review back. The time to decide goes on. Raises `InvalidState`."""
    terms = await ports.current_terms()

    def judge(current: Case) -> Case:
        decide_by = next_step(current, terms).due or current.claim.due  # without an instant it is in no list
        return life.release_review(current, PROGRAMME, now, decide_by=decide_by)

    return await change_claim(ports, case, now, judge, context)


async def approve(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case:
    """Approve a claim, and refuse its rival claimants. Raises `InvalidState`, `SlotAwaitsCustomer`."""
    decides = replace(context, decides_claimants=True)
    return await change_claim(ports, case, now, lambda current: life.approve(current, PROGRAMME, now), decides)


async def reject(ports: Ports, case: Case, now: datetime, reason: Reason, context: ActContext) -> Case:
    """Reject a claim. A rejection after a dispute is final. Raises `InvalidState`."""
    return await change_claim(ports, case, now, lambda current: life.reject(current, PROGRAMME, now, reason), context)


async def request_information(
    ports: Ports, case: Case, now: datetime, reasons: Sequence[Reason], context: ActContext
) -> Case:
    """Ask the partner for information. The time to answer follows the partner's calendar. Raises `InvalidState`."""
    answer_by = await partner_answers_by(ports, case.claim, now)
    return await change_claim(
        ports,
        case,
        now,
        lambda current: life.request_information(current, PROGRAMME, now, reasons, answer_by=answer_by),
        context,
    )


async def strike_items(ports: Ports, case: Case, now: datetime, items: Sequence[Item], context: ActContext) -> Case:
    """Remove items that the evidence does not cover from a claim. Raises `InvalidState`, `ItemNotInClaim`."""
    keys = {item.key for item in items}

    def judge(current: Case) -> Case:
        after = life.strike_items(current, PROGRAMME, now, keys, Reason.PRODUCTS_MISSING)
        if not keys <= {item.key for item in current.claim.items}:
            raise Refused(
                "ItemNotInClaim",
                "The claim does not have all of these items.",
                target="items",
                resolution="Read the claim again, and name only items of the claim.",
            )
        return after

    return await change_claim(ports, case, now, judge, context)


async def revoke(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case:
    """Stop a claim that awaits its customer, or end an association. Raises `InvalidState`."""
    return await change_claim(ports, case, now, lambda current: life.revoke(current, PROGRAMME, now), context)


async def awaiting_decision(
    ports: Ports, now: datetime, *, after: str, limit: int, wanted: Callable[[Case], bool] | None = None
) -> Page:
    """Return a page of the claims that a reviewer must decide or look at, in the order of their due instants."""
    return await verified(ports, REVIEWS, review_position, now, after=after, limit=limit, wanted=wanted)


async def overdue(ports: Ports, now: datetime) -> int:
    """Return how many claims are past their due instant, counted up to 20. Without such claims it makes one request."""
    most_urgent = await ports.reviews.page(REVIEWS, after="", limit=1)
    if not any(_is_past(row.position, now) for row in most_urgent):
        return 0
    page = await awaiting_decision(ports, now, after="", limit=MOST_OVERDUE)
    positions = [review_position(case.claim) for case in page.cases]
    return sum(1 for position in positions if position is not None and _is_past(position, now))


def _is_past(position: str, now: datetime) -> bool:
    return position.partition("|")[0] < f"{now.astimezone(UTC):%Y%m%dT%H%M%S}"


async def sample(
    ports: Ports, now: datetime, *, after: str, limit: int, wanted: Callable[[Case], bool] | None = None
) -> Page:
    """Return a page of the sample: claims that were reviewed automatically and whose window is open (decision 29)."""
    return await verified(ports, SAMPLE, sample_position, now, after=after, limit=limit, wanted=wanted)


async def verified(
    ports: Ports,
    partition: str,
    position_of: Callable[[Claim], str | None],
    now: datetime,
    *,
    after: str,
    limit: int,
    wanted: Callable[[Case], bool] | None = None,
) -> Page:
    """
    Return a page of an index. Each row is compared with its claim.

    A row is left out if its position is no longer the position of the claim. Such a row is removed after ten minutes,
    and not earlier, because a row is written before its claim.
    """

    async def read(behind: str, size: int) -> Page:
        rows = await ports.reviews.page(partition, after=behind, limit=size)
        cases = await load_all(ports, [row.claim_id for row in rows], now)
        page: list[Case] = []
        for row in rows:
            case = cases.get(row.claim_id)
            if case is not None and row.position == position_of(case.claim):
                page.append(case)
            elif ports.real_now() - row.written_at > STALE_AFTER:
                await ports.reviews.remove(partition, row.position)
        return Page(page, rows[-1].position if len(rows) == size else None)

    if wanted is None:
        return await read(after, limit)
    return await matching(read, position_of, after=after, limit=limit, wanted=wanted)
