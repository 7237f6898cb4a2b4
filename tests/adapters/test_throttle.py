"""An organisation can write a limited number of times a second, with a burst of the same number."""

import pytest

from cpor_app.adapters.throttle import Throttle

ADATUM, FABRIKAM = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"


def admitted(throttle: Throttle, organisation: str, at: float, writes: int) -> int:
    """Return how many of *writes* writes at one instant are admitted."""
    return sum(throttle.admits(organisation, at) for _ in range(writes))


def test_a_burst_is_one_seconds_limit_and_fills_up_again() -> None:
    """After a tenth of a second a tenth of it is available. There is never more than all of it."""
    throttle = Throttle(50)

    assert admitted(throttle, ADATUM, 0.0, 60) == 50
    assert admitted(throttle, ADATUM, 0.1, 60) == 5
    assert admitted(throttle, ADATUM, 3600.0, 60) == 50


def test_fifty_a_second_are_always_admitted() -> None:
    """Of a hundred a second one half is admitted after the burst."""
    throttle = Throttle(50)

    assert all(throttle.admits(ADATUM, write / 50) for write in range(500))
    assert admitted(throttle, FABRIKAM, 0.0, 50) == 50
    assert sum(throttle.admits(FABRIKAM, write / 100) for write in range(1, 1001)) == pytest.approx(500, abs=1)


def test_organisations_do_not_slow_each_other_down() -> None:
    """Each organisation has its own bucket, and a process has a limited number of buckets."""
    throttle = Throttle(1)
    throttle.admits(ADATUM, 0.0)

    assert throttle.admits(FABRIKAM, 0.0)
    assert not throttle.admits(ADATUM, 0.0)
    for number in range(2 * Throttle.MOST_ORGANISATIONS):
        throttle.admits(str(number), 0.0)
    assert len(throttle._buckets) <= Throttle.MOST_ORGANISATIONS


def test_zero_a_second_is_no_limit() -> None:
    """The bench uses it."""
    assert admitted(Throttle(0), ADATUM, 0.0, 1000) == 1000
