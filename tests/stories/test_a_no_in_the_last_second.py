"""A no that arrived in time counts, however late it is written; one that storage could not take is not forgotten."""

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
    """Let storage refuse the next commits, each after ten seconds; with `stores` it takes them and says nothing."""

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
    """Return a claim whose customer's window ends in a second."""
    claim = await service.told()
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) - SECOND)
    return claim


async def shown(service: Service, claim: Any) -> Any:
    """Return the claim as its partner sees it."""
    return (await service.request("GET", f"/claims/{claim['id']}")).json()


async def as_admin(service: Service, claim: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Say no by a token of the customer's administrator."""
    path = f"/customers/{CUSTOMER}/requests/{claim['id']}/decline"
    return await service.request("POST", path, role="Customer.Admin", tenant=CUSTOMER, headers=headers)


async def told_by_a_reviewer(service: Service, about: Mapping[str, Any]) -> Any:
    """Return another partner's claim of an engagement that a person reviews, its customer told."""
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
    """Press decline a second before the window's end, and let storage take nothing; returns what the page says."""
    claim = await in_the_last_second(service)
    link = service.link(ANNE)
    nonce = next(one["nonce"] for one in (await service.page(link))["acts"] if one["act"] == "decline")
    busy(6)
    return claim, link, await service.press(link, "decline", nonce, **form)


async def resent(service: Service, link: str, fields: Mapping[str, str]) -> httpx.Response:
    """Send the form of the page that said so."""
    return await service.request("POST", f"{link.partition('?')[0]}/decline", role=None, data=dict(fields))


async def test_a_no_is_tried_while_its_minute_lasts_and_counts_as_of_its_arrival(service: Service, busy: Busy) -> None:
    """Written half a minute after the window's end, it declines."""
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


async def test_a_no_whose_answer_was_lost_is_said_once(service: Service, busy: Busy) -> None:
    """The store had taken it: the next try finds its own no, and is no refusal."""
    claim = await in_the_last_second(service)
    busy(1, stores=True)

    answer = await as_admin(service, claim)

    assert (answer.status_code, answer.json()["declined"]["by"]) == (200, "administrator")
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    assert [entry["act"] for entry in history].count("declined") == 1


async def test_a_no_that_could_not_be_written_carries_its_arrival(service: Service, busy: Busy) -> None:
    """The page has one button, which sends the very no again; an hour later it still counts as in time."""
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


async def test_after_the_association_was_written_down_the_late_no_ends_it_as_it_began(
    service: Service, busy: Busy
) -> None:
    """Nobody can bring back what was superseded then (decision 20)."""
    claim, link, answer = await not_recorded(service, busy)
    service.clock.advance(2 * GRACE)
    await service.sweep()

    await resent(service, link, hidden(answer.text))

    association = (await shown(service, claim))["association"]
    assert association["since"] == association["endedAt"] == claim["window"]["endsAt"]


async def test_an_arrival_counts_for_its_own_no_and_for_a_day(service: Service, busy: Busy) -> None:
    """Not for another claim, another person, or the day after."""
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
    """Whoever has no nonce gets none while storage is away."""
    claim = await in_the_last_second(service)
    busy(6)

    answer = await service.press(service.link(ANNE), "decline", "0.forged")

    assert answer.status_code == 403
    assert "arrival" not in answer.text
    assert (await shown(service, claim))["status"] == "awaitingCustomer"


async def test_the_administrators_no_carries_its_arrival_too(service: Service, busy: Busy) -> None:
    """In the body of the refusal; it comes back in a header, so that the same key still names the same request."""
    claim = await in_the_last_second(service)
    keyed = {"Idempotency-Key": "the-administrators-no"}
    busy(6)

    error = refused(await as_admin(service, claim, keyed), 503, "NotRecordedYet")
    service.clock.advance(TRIED_FOR)
    again = await as_admin(service, claim, {**keyed, "Cpor-Arrival": error["arrival"]})

    assert again.status_code == 200, again.text
    assert again.json()["status"] == "declined"
    assert again.json()["declined"]["at"] < claim["window"]["endsAt"]
