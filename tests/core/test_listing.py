"""Lists read keys first and then the claims, and therefore show the claims as of now."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from cpor_core.model.claim import Status
from cpor_core.model.history import PROGRAMME
from cpor_core.model.mail import MailOutcome
from cpor_core.ports.claims import ClaimIndex, IndexRow
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, REVIEWS, SAMPLE
from cpor_core.use_cases.claims import comments, drafts, listing, reviews
from cpor_core.use_cases.claims.listing import own_claims
from cpor_core.use_cases.claims.reviews import STALE_AFTER, awaiting_decision, sample
from cpor_core.use_cases.notices.delivery_reports import MailEvent, record
from tests.core.builders import (
    ADATUM,
    DAY,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    MONDAY,
    PERSON,
    SHAREPOINT,
    TEAMS,
    USAGE,
)
from tests.core.memory_core import Core

RARE, COMMON = "rare@contoso.fr", "common@contoso.fr"


def any_claim(_: Case) -> bool:
    """Accept every claim."""
    return True


async def three(core: Core) -> list[Case]:
    """Create three drafts, a day apart."""
    made = []
    for _ in range(3):
        made.append(await core.draft(evidence=False))
        core.clock.advance(DAY)
    return made


async def test_claims_of_the_organisation_come_newest_first(core: Core) -> None:
    """Claims of other organisations are not listed."""
    made = await three(core)
    await core.draft(FABRIKAM, evidence=False)

    page = await own_claims(core.ports, ADATUM, await core.now(), after="", limit=10, wanted=any_claim)

    assert [case.claim.id for case in page.cases] == [case.claim.id for case in reversed(made)]
    assert page.position is None


async def test_pages_follow_one_another(core: Core) -> None:
    """No claim comes twice, and none is missing."""
    made = await three(core)
    now = await core.now()

    first = await own_claims(core.ports, ADATUM, now, after="", limit=2, wanted=any_claim)
    assert first.position is not None
    second = await own_claims(core.ports, ADATUM, now, after=first.position, limit=2, wanted=any_claim)

    assert [case.claim.id for case in (*first.cases, *second.cases)] == [case.claim.id for case in reversed(made)]
    assert second.position is None


async def test_filters_apply_to_the_effective_state(core: Core) -> None:
    """A claim whose window has ended is listed as official without a run of the timer."""
    case = await core.notified()
    await core.draft(evidence=False)
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at)

    page = await own_claims(
        core.ports,
        ADATUM,
        await core.now(),
        after="",
        limit=1,
        wanted=lambda shown: shown.claim.status is Status.OFFICIAL,
    )

    assert [one.claim.id for one in page.cases] == [case.claim.id]


async def test_one_call_reads_a_limited_number_of_keys(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page can be empty although more claims follow. The cursor continues there (decision 37)."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 2)
    made = await three(core)

    page = await own_claims(core.ports, ADATUM, await core.now(), after="", limit=5, wanted=lambda _: False)

    assert page.cases == []
    assert page.position == list_position(made[1].claim.created_at, made[1].claim.id)


class Rounds:
    """Counts the pages of keys that a list reads, and the keys in each request."""

    def __init__(self, index: ClaimIndex) -> None:
        self.asked: list[int] = []
        self._page, self._index = index.page, index

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        self.asked.append(limit)
        return await self._page(partition, after=after, limit=limit)


def rounds_of(index: ClaimIndex, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which each page of keys from *index* adds its size."""
    rounds = Rounds(index)
    monkeypatch.setattr(index, "page", rounds.page)
    return rounds.asked


async def many(core: Core, count: int, *, every: int) -> list[str]:
    """Create *count* drafts, and give every *every*th the rare contact. Return the ids of these, the newest first."""
    rare = []
    for number in range(count):
        case = await core.draft(evidence=False, email=RARE if number % every == 0 else COMMON)
        rare += [case.claim.id] if number % every == 0 else []
        core.clock.advance(timedelta(seconds=1))
    return rare[::-1]


def is_rare(case: Case) -> bool:
    """Accept the claims with the rare contact."""
    claim = case.claim
    return claim.contacts is not None and claim.contacts.customer.email == RARE


async def test_a_filtered_list_reads_full_pages_of_keys(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If one claim of ten fits, four rounds find 25 claims.

    The page size does not shrink with the claims still missing.
    """
    rare = await many(core, 320, every=10)
    asked = rounds_of(core.ports.partner_claims, monkeypatch)
    now = await core.now()

    first = await own_claims(core.ports, ADATUM, now, after="", limit=25, wanted=is_rare)

    assert [case.claim.id for case in first.cases] == rare[:25]
    assert asked == [25, 100, 100, 100]
    assert first.position is not None
    second = await own_claims(core.ports, ADATUM, now, after=first.position, limit=25, wanted=is_rare)
    assert [case.claim.id for case in second.cases] == rare[25:]
    assert second.position is None


@pytest.mark.parametrize("wanted", [None, any_claim])
async def test_a_list_without_filters_reads_no_surplus_claim(
    core: Core, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Case], bool] | None
) -> None:
    """The first round reads as many keys as the page has claims."""
    await many(core, 30, every=10)
    asked = rounds_of(core.ports.partner_claims, monkeypatch)

    page = await own_claims(core.ports, ADATUM, await core.now(), after="", limit=25, wanted=wanted)

    assert len(page.cases) == asked[0] == 25
    assert len(asked) == 1


async def test_a_list_without_filters_replaces_missing_claims(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no full page of keys for one missing claim."""
    made = await three(core)
    newest = await core.draft(evidence=False)
    await drafts.delete(core.ports, newest, PERSON, await core.now())
    asked = rounds_of(core.ports.partner_claims, monkeypatch)

    page = await own_claims(core.ports, ADATUM, await core.now(), after="", limit=2, wanted=None)

    assert [case.claim.id for case in page.cases] == [made[2].claim.id, made[1].claim.id]
    assert asked == [2, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 33, 34, 100])
async def test_pages_of_a_filtered_list_follow_one_another(
    core: Core, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """No claim comes twice, and none is missing, wherever a round or a call stops."""
    monkeypatch.setattr(listing, "KEYS_AT_ONCE", 7)
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 10)
    rare = await many(core, 100, every=3)
    now = await core.now()

    found: list[str] = []
    after, calls = "", 0
    while calls == 0 or after:
        page = await own_claims(core.ports, ADATUM, now, after=after, limit=limit, wanted=is_rare)
        assert len(page.cases) <= limit
        found += [case.claim.id for case in page.cases]
        after, calls = page.position or "", calls + 1

    assert found == rare


async def test_a_cursor_can_point_behind_a_claim_that_does_not_fit(core: Core) -> None:
    """The former release wrote the position of the last key that it read. The next page begins there."""
    made = await three(core)
    oldest = made[0].claim
    behind = list_position(made[1].claim.created_at, made[1].claim.id)

    page = await own_claims(
        core.ports, ADATUM, await core.now(), after=behind, limit=1, wanted=lambda case: case.claim.id == oldest.id
    )

    assert [case.claim.id for case in page.cases] == [oldest.id]


async def test_keys_without_a_fitting_claim_are_left_out(core: Core) -> None:
    """The claim was never written, is gone, has lapsed, or has another position in the list."""
    case = await core.draft(evidence=False)
    await core.ports.partner_claims.add(ADATUM, list_position(MONDAY, "f" * 52), "f" * 52)
    await core.ports.partner_claims.add(ADATUM, list_position(MONDAY + DAY, case.claim.id), case.claim.id)
    deleted = await core.draft(evidence=False)
    await drafts.delete(core.ports, deleted, PERSON, MONDAY)
    strangers = await core.draft(FABRIKAM, evidence=False)
    position = list_position(strangers.claim.created_at, strangers.claim.id)
    await core.ports.partner_claims.add(ADATUM, position, strangers.claim.id)

    page = await own_claims(core.ports, ADATUM, MONDAY, after="", limit=10, wanted=any_claim)

    assert [one.claim.id for one in page.cases] == [case.claim.id]


# --- the summary ------------------------------------------------------------------------------------------------------


async def test_a_summary_counts_the_organisations_claims_as_of_now(core: Core) -> None:
    """A window that has ended counts as official without a timer. Deleted drafts and others' claims do not count."""
    await core.notified()
    core.clock.advance(timedelta(days=14))
    await three(core)
    await core.draft(FABRIKAM, evidence=False)
    deleted = await core.draft(evidence=False)
    await drafts.delete(core.ports, deleted, PERSON, await core.now())

    counted = await listing.summary(core.ports, ADATUM, await core.now())

    assert {status: count for status, count in counted.status.items() if count} == {"draft": 3, "official": 1}
    assert counted.status.keys() == set(Status) - {Status.DELETED}
    assert counted.needs_me == 3
    assert counted.complete


@pytest.mark.parametrize("most", [2, 3, 4])
async def test_a_summary_of_too_many_claims_says_that_it_is_not_complete(
    core: Core, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """It reads the newest claims up to the limit of one call, and their keys in one request."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", most)
    asked = rounds_of(core.ports.partner_claims, monkeypatch)
    await three(core)

    counted = await listing.summary(core.ports, ADATUM, await core.now())

    assert counted.status[Status.DRAFT] == counted.needs_me == min(most, 3)
    assert counted.complete is (most >= 3)
    assert asked == [most + 1]


# --- reviews ----------------------------------------------------------------------------------------------------------


async def test_reviews_come_most_urgent_first(core: Core) -> None:
    """The list has pages."""
    made = []
    for organisation, item in ((ADATUM, TEAMS), (FABRIKAM, EXCHANGE), (LITWARE, SHAREPOINT)):
        made.append(await core.submitted(organisation, items=(item,), engagement=USAGE))
        core.clock.advance(DAY)
    now = await core.now()
    await reviews.start(core.ports, made[0], now, NO_CONTEXT)

    first = await awaiting_decision(core.ports, now, after="", limit=2)
    assert first.position is not None
    second = await awaiting_decision(core.ports, now, after=first.position, limit=2)
    assert second.position is not None
    third = await awaiting_decision(core.ports, now, after=second.position, limit=2)

    assert [case.claim.id for case in (*first.cases, *second.cases)] == [
        made[1].claim.id,
        made[2].claim.id,
        made[0].claim.id,
    ]
    assert (third.cases, third.position) == ([], None)


async def test_a_filtered_list_of_reviews_fills_its_pages(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit make no page short. No claim comes twice, and none is missing."""
    monkeypatch.setattr(listing, "KEYS_AT_ONCE", 3)
    made = []
    for organisation, item in ((ADATUM, TEAMS), (FABRIKAM, EXCHANGE), (LITWARE, SHAREPOINT)):
        made.append(await core.submitted(organisation, items=(item,), engagement=USAGE))
        core.clock.advance(DAY)
    now = await core.now()
    asked = rounds_of(core.ports.reviews, monkeypatch)

    def fits(case: Case) -> bool:
        return case.claim.organisation != ADATUM

    first = await awaiting_decision(core.ports, now, after="", limit=1, wanted=fits)
    assert first.position is not None
    assert [case.claim.id for case in first.cases] == [made[1].claim.id]
    assert asked == [1, 3]
    second = await awaiting_decision(core.ports, now, after=first.position, limit=2, wanted=fits)
    assert [case.claim.id for case in second.cases] == [made[2].claim.id]
    assert second.position is None


async def test_rows_of_decided_claims_are_hidden_and_deleted_later(core: Core) -> None:
    """They are deleted when no writer can still need them."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.approve(case)

    core.clock.advance(STALE_AFTER)
    assert (await awaiting_decision(core.ports, await core.now(), after="", limit=9)).cases == []
    assert len(await core.ports.reviews.page(REVIEWS, after="", limit=9)) == 1
    core.clock.advance(MICROSECOND)
    assert (await awaiting_decision(core.ports, await core.now(), after="", limit=9)).cases == []

    assert await core.ports.reviews.page(REVIEWS, after="", limit=9) == []


async def test_an_official_claim_with_a_bounced_mail_is_listed(core: Core) -> None:
    """It is listed until a reviewer has commented (decision 25)."""
    case = await core.official()
    await core.ports.reviews.add(REVIEWS, "20261110T000000|x", case.claim.id)
    message = core.mailbox.sent[0].message_id
    await record(core.ports, MailEvent(message, MailOutcome.FAILED), await core.now())

    page = await awaiting_decision(core.ports, await core.now(), after="", limit=9)
    assert [one.claim.id for one in page.cases] == [case.claim.id]
    await comments.add_comment(core.ports, page.cases[0], PROGRAMME, await core.now(), NO_CONTEXT)
    assert (await awaiting_decision(core.ports, await core.now(), after="", limit=9)).cases == []


async def test_a_sample_of_automatic_reviews_is_listed_while_it_can_be_stopped(core: Core) -> None:
    """The sample has claims that were reviewed automatically, until their window has ended (decision 29)."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    assert len(await core.ports.reviews.page(SAMPLE, after="", limit=9)) == 1

    shown = await sample(core.ports, MONDAY, after="", limit=9)
    later = await sample(core.ports, case.claim.window_ends_at, after="", limit=9)

    assert [one.claim.id for one in shown.cases] == [case.claim.id]
    assert later.cases == []


async def test_a_declined_claim_leaves_the_sample(core: Core) -> None:
    """Nothing of it can be stopped."""
    case = await core.notified()
    await core.decline(case)

    assert (await sample(core.ports, MONDAY + timedelta(hours=1), after="", limit=9)).cases == []
