"""Stored claims and claims as of now are two types, so that no caller sees a merely stored claim."""

from datetime import timedelta

import pytest

from cpor_core.model.claim import Status
from cpor_core.ports import Ports
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import StoredCase
from cpor_core.transitions.next_step import next_step
from cpor_core.use_cases.change_claim import change_claim
from cpor_core.use_cases.claims.customer_acts import Opened, expires_at
from cpor_core.use_cases.claims.customer_tenant import is_request
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.views import association_view, claim_view, entity_tag, is_competing, no_view, window_view
from tests.core.builders import ANNE, ANNES, ENDS_AT, MONDAY, PERSON, TERMS, as_of, awaiting, draft, in_state, stored


async def what_mypy_refuses(rows: StoredCase, ports: Ports) -> None:
    """
    Show, judge and change a merely stored case.

    This code is never run, because `make check` reads it. If mypy accepts one of these lines, the comment on it is
    unused, and mypy reports that.
    """
    claim_view(rows, TERMS)  # type: ignore[arg-type]
    entity_tag(rows)  # type: ignore[arg-type]
    association_view(rows)  # type: ignore[arg-type]
    window_view(rows)  # type: ignore[arg-type]
    no_view(rows)  # type: ignore[arg-type]
    is_competing(rows)  # type: ignore[arg-type]
    next_step(rows, TERMS)  # type: ignore[arg-type]
    expires_at(rows)  # type: ignore[arg-type]
    is_request(rows)  # type: ignore[arg-type]
    Opened(rows, ANNES, ANNE)  # type: ignore[arg-type]
    life.withdraw(rows, PERSON, MONDAY)  # type: ignore[arg-type]
    await history_as_of(ports, rows, after=0, limit=1)  # type: ignore[arg-type]
    await change_claim(ports, rows, MONDAY, lambda current: current)  # type: ignore[arg-type]


def test_a_case_has_both_the_stored_claim_and_the_claim_as_of_now() -> None:
    """The window has ended without a run of the timer, and the stored claim still awaits the customer."""
    case = life.settle(stored(awaiting(draft())), ENDS_AT)

    assert case.stored.claim.status is Status.AWAITING_CUSTOMER
    assert case.claim.status is Status.OFFICIAL
    assert case.now == ENDS_AT
    assert [entry.at for _, entry in case.entries] == [ENDS_AT]


@pytest.mark.parametrize("status", Status)
def test_time_adds_nothing_to_an_act_at_its_own_instant(status: Status) -> None:
    """The case after a transaction therefore need not be settled again."""
    case = in_state(status)

    assert as_of(case, case.claim.updated_at).claim == case.claim
    assert as_of(case, case.claim.updated_at + timedelta(microseconds=1)).claim == case.claim
