"""A no that arrived in time counts, however late it is stored. A no that storage could not take is not lost."""

import html
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from cpor_core.errors import StorageBusy
from cpor_core.ports.claims import Commit
from cpor_core.rules.grace import GRACE, TRIED_FOR
from cpor_core.transitions.claim_case import StoredCase
from tests.support.service import CUSTOMER, OTHER_PARTNER, Service
from tests.triggers.refusals import refused

ANNE = "anne.durand@contoso.fr"
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
Busy = Callable[..., None]


@pytest.fixture
def busy(service: Service, monkeypatch: pytest.MonkeyPatch) -> Busy:
    """
    Let storage refuse the next commits, each after ten seconds.

    With `stores` it does the commits and loses the answers.
    """

    def start(times: int, *, stores: bool = False) -> None:
        claims = service.services.ports.claims
        commit = claims.commit
        left = iter(range(times))

        async def refuse(wanted: Commit) -> StoredCase:
            if next(left, None) is None:
                return await commit(wanted)
            if stores:
                await commit(wanted)
            service.clock.advance(10 * SECOND)
            raise StorageBusy("silent")

        monkeypatch.setattr(claims, "commit", refuse)

    return start


async def in_the_last_second(service: Service) -> Any:
    """Return a claim whose customer's window ends in one second."""
    claim = await service.notified()
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) - SECOND)
    return claim


async def shown(service: Service, claim: Any) -> Any:
    """Return the claim that its partner sees."""
    return (await service.request("GET", f"/claims/{claim['id']}")).json()


async def as_admin(service: Service, claim: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Decline with a token of the customer's administrator."""
    path = f"/customers/{CUSTOMER}/requests/{claim['id']}/decline"
    return await service.request("POST", path, role="Customer.Admin", tenant=CUSTOMER, headers=headers)


async def told_by_a_reviewer(service: Service, about: Mapping[str, Any]) -> Any:
    """Return another partner's claim of an engagement that a person reviews, after its customer was notified."""
    claim = await service.submitted(tenant=OTHER_PARTNER, **about)
    await service.review("POST", f"/reviews/{claim['id']}/start")
    await service.review("POST", f"/reviews/{claim['id']}/approve")
    await service.deliver()
    return claim


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of the form on a page."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in found}


async def not_recorded(service: Service, busy: Busy, **form: str) -> tuple[Any, str, httpx.Response]:
    """Press decline one second before the window's end while storage takes no write. Return the page."""
    claim = await in_the_last_second(service)
    link = service.link(ANNE)
    nonce = next(one["nonce"] for one in (await service.page(link))["acts"] if one["act"] == "decline")
    busy(6)
    return claim, link, await service.press(link, "decline", nonce, **form)


async def resent(service: Service, link: str, fields: Mapping[str, str]) -> httpx.Response:
    """Send the form of the page that says so."""
    return await service.request("POST", f"{link.partition('?')[0]}/decline", role=None, data=dict(fields))


async def test_a_no_is_retried_for_a_minute_and_counts_as_of_its_arrival(service: Service, busy: Busy) -> None:
    """The no is stored half a minute after the window's end and declines."""
    claim = await in_the_last_second(service)
    link = service.link(ANNE)
    nonce = next(one["nonce"] for one in (await service.page(link))["acts"] if one["act"] == "decline")
    busy(3)

    answer = await service.press(link, "decline", nonce)

    assert answer.status_code == 303
    assert (await shown(service, claim))["status"] == "declined"
    assert len(service.clock.pauses) == 3
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    assert history[-1]["at"] < claim["window"]["endsAt"]


async def test_a_no_whose_answer_was_lost_is_stored_once(service: Service, busy: Busy) -> None:
    """The store did the write. The next attempt finds its own no and is not refused."""
    claim = await in_the_last_second(service)
    busy(1, stores=True)

    answer = await as_admin(service, claim)

    assert (answer.status_code, answer.json()["declined"]["by"]) == (200, "administrator")
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    assert [entry["act"] for entry in history].count("declined") == 1


async def test_a_no_that_could_not_be_stored_carries_its_arrival(service: Service, busy: Busy) -> None:
    """The page has one button that sends the same no again. An hour later the no still counts as in time."""
    claim, link, answer = await not_recorded(service, busy, reason="We know them not.", lang="en")
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (503, "NotRecordedYet")
    assert "Your decision is not recorded yet" in answer.text
    assert (await shown(service, claim))["status"] == "official"
    service.clock.advance(2 * HOUR)

    again = await resent(service, link, hidden(answer.text))

    assert again.status_code == 303, again.text
    assert (await shown(service, claim))["status"] == "declined"
    comments = (await service.request("GET", f"/claims/{claim['id']}/comments")).json()["value"]
    assert [one["text"] for one in comments] == ["We know them not."]


async def test_a_late_no_ends_a_stored_association_as_it_began(service: Service, busy: Busy) -> None:
    """A claim that was superseded then cannot come back (decision 20)."""
    claim, link, answer = await not_recorded(service, busy)
    service.clock.advance(2 * GRACE)
    await service.sweep()

    await resent(service, link, hidden(answer.text))

    association = (await shown(service, claim))["association"]
    assert association["since"] == association["endedAt"] == claim["window"]["endsAt"]


async def test_an_arrival_counts_for_its_own_no_and_for_one_day(service: Service, busy: Busy) -> None:
    """It does not count for another claim, for another person, or on the next day."""
    claim, link, answer = await not_recorded(service, busy)
    fields = hidden(answer.text)
    teams = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}]}
    other = await told_by_a_reviewer(service, teams)
    others = service.link(ANNE)
    assert other["id"] in others

    stolen = await resent(service, others, {**fields, "t": others.partition("?t=")[2]})
    by_token = await as_admin(service, claim, {"Cpor-Arrival": fields["arrival"]})
    forged = await resent(service, link, {**fields, "arrival": fields["arrival"][:-1] + "_"})
    service.clock.advance(timedelta(hours=24))
    late = await resent(service, link, fields)

    assert [one.status_code for one in (stolen, by_token, forged, late)] == [403] * 4
    assert (await shown(service, claim))["status"] == "official"


async def test_an_arrival_is_signed_only_for_a_form_of_the_page(service: Service, busy: Busy) -> None:
    """A request without a nonce gets no signed arrival while storage is down."""
    claim = await in_the_last_second(service)
    busy(6)

    answer = await service.press(service.link(ANNE), "decline", "0.forged")

    assert answer.status_code == 403
    assert "arrival" not in answer.text
    assert (await shown(service, claim))["status"] == "awaitingCustomer"


async def test_the_administrators_no_carries_its_arrival_too(service: Service, busy: Busy) -> None:
    """
    The refusal's body has the arrival.

    The caller sends it in a header, so that the same key still belongs to the same request.
    """
    claim = await in_the_last_second(service)
    keyed = {"Idempotency-Key": "the-administrators-no"}
    busy(6)

    error = refused(await as_admin(service, claim, keyed), 503, "NotRecordedYet")
    service.clock.advance(TRIED_FOR)
    again = await as_admin(service, claim, {**keyed, "Cpor-Arrival": error["arrival"]})

    assert again.status_code == 200, again.text
    assert again.json()["status"] == "declined"
    assert again.json()["declined"]["at"] < claim["window"]["endsAt"]
