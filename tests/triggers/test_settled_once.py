"""A request works out once what time has made of a claim, however many views and checks it makes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import clock
from tests.support.service import ACKNOWLEDGED, PDF, Service


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how often a case was worked out since the last call."""
    count, first_move = 0, clock._lapse

    def counting(case: Case, now: datetime) -> Case:
        nonlocal count
        count += 1
        return first_move(case, now)

    def taken() -> int:
        nonlocal count
        found, count = count, 0
        return found

    monkeypatch.setattr(clock, "_lapse", counting)
    return taken


async def test_each_request_about_a_claim_settles_it_once(service: Service, settled: Callable[[], int]) -> None:
    """Reads and acts alike; two where an act reads more rows than the address names."""
    claim: Any = await service.draft()
    path = f"/claims/{claim['id']}"
    settled()

    await service.request("GET", path)
    assert settled() == 1
    await service.request("PUT", f"{path}/evidence/more.pdf", content=PDF)
    assert settled() == 1
    await service.request("PATCH", path, json={"name": "New"}, headers={"If-Match": "*"})
    assert settled() == 1
    await service.request("POST", f"{path}/submit", json=ACKNOWLEDGED)
    assert settled() == 2, "the customer's refusals of the partner were read with it"
    await service.request("GET", f"{path}/history")
    assert settled() == 1
    await service.request("POST", f"{path}/withdraw")
    assert settled() == 1
