"""The same request twice is done once, and answered alike (decision 39)."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from cpor_app.http.route_table import operations
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from tests.doubles.transport import Plan, ProcessDied, die_before
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    PARTNER,
    SUBSCRIPTION,
    Service,
    claim_as_sent,
    running_service,
)
from tests.triggers.refusals import refused

KEY = {"Idempotency-Key": "2f1d4d0e-9f0c-4f0e-8f57-3d1f7f3ad0a1"}


def same(first: httpx.Response, second: httpx.Response) -> None:
    """Hold two answers against each other: word for word, with the headers that mean something."""
    assert (second.status_code, second.content) == (first.status_code, first.content)
    for name in ("ETag", "Location", "Repeatability-Result", "Content-Type"):
        assert second.headers.get(name) == first.headers.get(name), name
    assert second.headers["Repeatability-Result"] == "accepted"


async def claims(service: Service) -> int:
    """Return how many claims there are."""
    return len((await service.request("GET", "/claims")).json()["value"])


# --- creation ---------------------------------------------------------------------------------------------------------


async def test_repeated_creation_gets_the_first_answer(service: Service) -> None:
    """201 again, though the claim has changed and even gone on since; one claim."""
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)
    await service.request("PATCH", f"/claims/{first.json()['id']}", json={"name": "x"}, headers={"If-Match": "*"})

    second = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)

    assert first.status_code == 201
    same(first, second)
    assert await claims(service) == 1


async def test_other_body_under_the_same_key_is_refused(service: Service) -> None:
    """422, for creation and dry run of the same words alike; the first claim stands."""
    await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)
    another = claim_as_sent(name="Another")
    elsewhere = claim_as_sent()
    elsewhere["customer"]["tenantId"] = "bbbbbbbb-0000-4000-8000-00000000000f"

    for body in (another, elsewhere):
        error = refused(await service.request("POST", "/claims", json=body, headers=KEY), 422, "IdempotencyKeyReused")
        assert error["target"] == "Idempotency-Key"
    assert await claims(service) == 1


async def test_key_of_another_organisation_is_another_key(service: Service) -> None:
    """Partners can't meet in it, nor learn that it was used."""
    mine = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)
    theirs = await service.request(
        "POST", "/claims", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER), headers=KEY
    )

    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_key_of_a_colleague_is_the_same_key(service: Service) -> None:
    """The scope is the organisation, so that a retry may come from another process of the partner."""
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)

    same(first, await service.request("POST", "/claims", role="Incentives.User", json=claim_as_sent(), headers=KEY))


@pytest.mark.parametrize("header", ["Repeatability-Request-ID", "idempotency-key"])
async def test_key_has_an_alias(service: Service, header: str) -> None:
    """The name of the OASIS Repeatable Requests stands for the same; First-Sent is read for its form."""
    headers = {header: KEY["Idempotency-Key"], "Repeatability-First-Sent": "Mon, 02 Nov 2026 09:00:00 GMT"}
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)

    same(first, await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY))


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": "x" * 256},
        {"Idempotency-Key": "a b"},
        {"Idempotency-Key": "é"},
        {"Idempotency-Key": "a\tb"},
        {**KEY, "Repeatability-Request-ID": "another"},
        {**KEY, "Repeatability-First-Sent": "yesterday"},
        {**KEY, "Repeatability-First-Sent": "2026-11-02T09:00:00Z"},
    ],
)
async def test_key_has_1_to_255_printable_characters(service: Service, headers: dict[str, str]) -> None:
    """Anything else is refused, and nothing is made."""
    token = service.token("Incentives.Admin", PARTNER)
    given = {name.encode(): value.encode() for name, value in {**headers, "Authorization": f"Bearer {token}"}.items()}

    answer = await service.client.post("/claims", json=claim_as_sent(), headers=given)

    refused(answer, 400, "ValidationFailed")
    assert await claims(service) == 0


async def test_refused_creation_leaves_the_key_free(service: Service) -> None:
    """Only what was done is kept: the mended body is taken under the same key."""
    refused(
        await service.request("POST", "/claims", json=claim_as_sent(engagement="x"), headers=KEY),
        400,
        "EngagementUnknown",
    )

    assert (await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)).status_code == 201


async def test_dry_run_uses_up_no_key(service: Service) -> None:
    """Nothing is stored, not even that."""
    dry = await service.request("POST", "/claims?validate=true", json=claim_as_sent(), headers=KEY)
    made = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)

    assert (dry.status_code, made.status_code) == (200, 201)


async def test_concurrent_doubles_make_one_claim(service: Service) -> None:
    """Each gets the first answer or is told that it is still running; in the end all have the same claim."""

    async def create() -> httpx.Response:
        for _ in range(50):
            answer = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)
            if answer.status_code != 409:
                return answer
            refused(answer, 409, "RequestInProgress")
            assert answer.headers["Retry-After"] == "1"
        raise AssertionError("it never ended")

    answers = await asyncio.gather(*(create() for _ in range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await claims(service) == 1


async def test_creation_that_died_midway_is_taken_over_after_a_minute(
    storage_connection: str, issuer: LocalIssuer
) -> None:
    """Before, it counts as still running; after, the repetition finishes it. Wherever it died, there is one claim."""
    plan = Plan()
    async with running_service(storage_connection, issuer, transport=plan.transport) as service:
        await service.register()
        await service.request("POST", "/claims", json=claim_as_sent())  # it begins the feed, which others go on with
        plan.clear()
        await service.request("POST", "/claims", json=claim_as_sent(), headers={"Idempotency-Key": "undisturbed"})
        requests = len(plan.requests)

        for number in range(2, requests + 1):  # the first only reads
            headers = {"Idempotency-Key": f"dies-at-{number}"}
            plan.clear()
            plan.at(number, die_before())
            with pytest.raises(ProcessDied):
                await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)
            plan.revive()
            at_once = await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)
            service.clock.advance(timedelta(minutes=1))
            later = await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)

            assert at_once.status_code == 201 or refused(at_once, 409, "RequestInProgress"), number
            assert later.status_code == 201, number
            same(later, await service.request("POST", "/claims", json=claim_as_sent(), headers=headers))
        assert await claims(service) == requests + 1


async def test_key_is_kept_for_48_hours(service: Service) -> None:
    """Within them the first answer; after them, and the timer, a new claim."""
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)
    service.clock.advance(timedelta(hours=48) - timedelta(microseconds=1))
    await service.sweep()
    same(first, await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY))

    service.clock.advance(timedelta(minutes=11))
    await service.sweep()
    after = await service.request("POST", "/claims", json=claim_as_sent(), headers=KEY)

    assert after.status_code == 201


# --- acts -------------------------------------------------------------------------------------------------------------

ACTS: list[tuple[str, str, str, Any]] = [
    ("draft", "submit", "Incentives.Admin", ACKNOWLEDGED),
    ("draft", "comments", "Incentives.Admin", {"text": "Once."}),
    ("told", "withdraw", "Incentives.Admin", {"comment": "Once."}),
    ("official", "end", "Incentives.Admin", {"reason": "Once."}),
    ("reviewed", "start", "Program.Reviewer", {"comment": "Once."}),
    ("reviewed", "approve", "Program.Reviewer", {}),
    ("reviewed", "reject", "Program.Reviewer", {"reason": "insufficientEvidence"}),
    ("reviewed", "review-comments", "Program.Reviewer", {"text": "Once."}),
    ("official", "revoke", "Program.Reviewer", {"comment": "Once."}),
]


async def prepared(service: Service, state: str, act: str) -> str:
    """Bring a claim to where it can be acted upon; returns its id."""
    if state == "reviewed":
        claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
        if act in ("approve", "reject"):
            await service.review("POST", f"/reviews/{claim['id']}/start")
        return str(claim["id"])
    made = {"draft": service.draft, "told": service.notified, "official": service.official}[state]
    return str((await made())["id"])


@pytest.mark.parametrize(("state", "act", "role", "body"), ACTS)
async def test_repeated_act_gets_the_first_answer_and_is_done_once(
    service: Service, state: str, act: str, role: str, body: Any
) -> None:
    """Where it would be refused the second time, and where it would be done twice; another body is 422."""
    claim_id = await prepared(service, state, act)
    folder = "associations" if act == "end" else "claims" if role.startswith("Inc") else "reviews"
    path = f"/{folder}/{claim_id}/{act.removeprefix('review-')}"
    who = {"role": role, "tenant": PARTNER if role.startswith("Inc") else service.services.settings.programme_tenant}

    first = await service.request("POST", path, json=body, headers=KEY, **who)
    history = (await service.request("GET", f"/claims/{claim_id}/history")).json()
    second = await service.request("POST", path, json=body, headers=KEY, **who)
    other = await service.request("POST", path, json={**body, "comment": "Twice."}, headers=KEY, **who)

    assert first.status_code in (200, 201), first.text
    same(first, second)
    assert (await service.request("GET", f"/claims/{claim_id}/history")).json() == history
    if "comment" in body or act == "approve":
        refused(other, 422, "IdempotencyKeyReused")


async def test_concurrent_doubles_of_an_act_are_done_once(service: Service) -> None:
    """One of them does it, the others get its answer."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/comments"

    answers = await asyncio.gather(
        *(service.request("POST", path, json={"text": "Once."}, headers=KEY) for _ in range(6))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len((await service.request("GET", path)).json()["value"]) == 1


async def test_repeated_act_with_the_tag_of_before_gets_the_first_answer(service: Service) -> None:
    """A retry sends the same If-Match, which is stale by its own first try."""
    claim = await service.draft()
    headers = {**KEY, "If-Match": claim["etag"]}
    path = f"/claims/{claim['id']}/submit"

    first = await service.request("POST", path, json=ACKNOWLEDGED, headers=headers)

    same(first, await service.request("POST", path, json=ACKNOWLEDGED, headers=headers))


async def test_without_a_key_a_repeated_act_is_refused(service: Service) -> None:
    """409: an act repeated in the state that it leads to (decision 3)."""
    claim = await service.submitted()
    again = await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED)

    refused(again, 409, "InvalidState")
    assert "Repeatability-Result" not in again.headers


async def test_refused_act_leaves_the_key_free(service: Service) -> None:
    """The submission that failed its checks is sent again, mended, under the same key."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/submit"

    refused(await service.request("POST", path, json={}, headers=KEY), 400, "ValidationFailed")
    assert (await service.request("POST", path, json=ACKNOWLEDGED, headers=KEY)).status_code == 200


# --- requests about no claim, and keys across all of them -------------------------------------------------------------

OPERATOR: Mapping[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
REPORT = {"messageId": "2b0d3c1e-5f5b-5a53-9c39-6a7f8f6d2f11@cpor.example", "event": "delivered"}


async def test_repeated_request_about_no_claim_gets_the_first_answer(service: Service) -> None:
    """Another body is 422; and without a key it is done again."""
    first = await service.request("POST", "/mail-events", json=REPORT, headers=KEY, **OPERATOR)

    assert first.status_code == 200
    same(first, await service.request("POST", "/mail-events", json=REPORT, headers=KEY, **OPERATOR))
    other = await service.request("POST", "/mail-events", json=[REPORT], headers=KEY, **OPERATOR)
    refused(other, 422, "IdempotencyKeyReused")
    unkeyed = await service.request("POST", "/mail-events", json=REPORT, **OPERATOR)
    assert unkeyed.status_code == 200
    assert "Repeatability-Result" not in unkeyed.headers


async def test_redrive_without_a_body_takes_a_key_too(service: Service) -> None:
    """What has failed since the first try waits for a new key."""
    redrive = "/operations/failed-messages/redrive"
    await service.run("record_failed_customer_notice", '{"claimId": "1"}')
    first = await service.request("POST", redrive, headers=KEY, **OPERATOR)
    await service.run("record_failed_customer_notice", '{"claimId": "2"}')

    assert first.json() == {"redriven": 1}
    same(first, await service.request("POST", redrive, headers=KEY, **OPERATOR))
    again = await service.request("POST", redrive, headers={"Idempotency-Key": "another"}, **OPERATOR)
    assert again.json() == {"redriven": 1}


async def test_feed_of_other_figures_or_for_another_tenant_is_another_request(service: Service) -> None:
    """The query says what a feed is about, so it belongs to what is compared; the version does not."""
    feed: Mapping[str, Any] = {"headers": {**KEY, "Content-Type": "application/x-ndjson"}, **OPERATOR}
    line = f'{{"month": "2026-11", "item": "{SUBSCRIPTION}", "activeUsers": 3}}\n'
    path = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"

    first = await service.request("POST", path, content=line, **feed)

    assert first.json()["accepted"] == 1
    same(first, await service.request("POST", f"{path}&api-version=2026-11-01", content=line, **feed))
    for address, content in ((path, line * 2), (path.replace(CUSTOMER, PARTNER), line)):
        answer = await service.request("POST", address, content=content, **feed)
        refused(answer, 422, "IdempotencyKeyReused")


async def test_refused_request_about_no_claim_leaves_the_key_free(service: Service) -> None:
    """The mended one is taken under the same key."""
    misspelt = await service.request("POST", "/mail-events", json={**REPORT, "event": "x"}, headers=KEY, **OPERATOR)

    refused(misspelt, 400, "ValidationFailed")
    mended = await service.request("POST", "/mail-events", json=REPORT, headers=KEY, **OPERATOR)
    assert mended.status_code == 200


async def test_concurrent_doubles_about_no_claim_are_done_once(service: Service) -> None:
    """The others wait for its answer."""
    await service.run("record_failed_customer_notice", '{"claimId": "1"}')

    async def redrive() -> httpx.Response:
        for _ in range(50):
            answer = await service.request("POST", "/operations/failed-messages/redrive", headers=KEY, **OPERATOR)
            if answer.status_code != 409:
                return answer
            refused(answer, 409, "RequestInProgress")
            assert answer.headers["Retry-After"] == "1"
        raise AssertionError("it never ended")

    answers = await asyncio.gather(*(redrive() for _ in range(5)))

    assert {answer.content for answer in answers} == {b'{"redriven":1}'}


async def test_key_is_one_key_whatever_it_is_used_for(service: Service) -> None:
    """Two claims, two acts, a creation: in one organisation the second request under a key is refused."""
    first, second = await service.draft(), await service.draft()
    said: Mapping[str, Any] = {"json": {"text": "Once."}, "headers": KEY}

    done = await service.request("POST", f"/claims/{first['id']}/comments", **said)

    assert done.status_code == 201
    for path, body in (
        (f"/claims/{second['id']}/comments", {"text": "Once."}),
        (f"/claims/{first['id']}/submit", ACKNOWLEDGED),
        ("/claims", claim_as_sent()),
    ):
        answer = await service.request("POST", path, json=body, headers=KEY)
        refused(answer, 422, "IdempotencyKeyReused")
    same(done, await service.request("POST", f"/claims/{first['id']}/comments", **said))
    theirs = await service.draft(tenant=OTHER_PARTNER)
    answer = await service.request("POST", f"/claims/{theirs['id']}/comments", tenant=OTHER_PARTNER, **said)
    assert answer.status_code == 201


async def test_concurrent_acts_on_two_claims_under_one_key_are_not_both_done(service: Service) -> None:
    """Whichever was first; the other is told."""
    paths = [f"/claims/{(await service.draft())['id']}/comments" for _ in range(2)]

    answers = await asyncio.gather(
        *(service.request("POST", path, json={"text": "Once."}, headers=KEY) for path in paths)
    )

    assert sorted(answer.status_code for answer in answers) == [201, 422]


async def test_every_post_with_a_token_takes_a_key() -> None:
    """What joins later has it without a word (decision 39)."""
    posts = [line for line in operations() if line.method == "POST" and line.roles is not None]

    assert posts
    for line in posts:
        assert {"IdempotencyKeyReused", "RequestInProgress"} <= set(line.codes), line.name
