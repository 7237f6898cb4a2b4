"""Our own app loads and works in Microsoft's worker library, which is what runs it in the cloud."""

import json
from collections.abc import Mapping

import pytest

from tests.conformance.worker import ROOT, Call, HttpCall, Outcome, QueueCall, Report, TimerCall, called
from tests.support.azurite import Azurite

STRANGE = '{"claimId": "../../x", "__proto__": {"a": "\\u0000"}}'

CALLS: Mapping[str, Call] = {
    "engagements": HttpCall("GET", "/api/engagements"),
    "health": HttpCall("GET", "/api/health"),
    "claims without a token": HttpCall("GET", "/api/claims?status=draft"),
    "an unknown path": HttpCall("GET", "/api/nowhere/at/all"),
    "a wrong method": HttpCall("DELETE", "/api/engagements"),
    "a strange message": QueueCall("notify_customer", STRANGE),
    "a message that is no JSON": QueueCall("notify_customer", "<&\u0000"),
    "a strange message that failed": QueueCall("record_failed_customer_notice", STRANGE, times=5),
    "the timer": TimerCall("finalise_uncontested", past_due=True),
}


@pytest.fixture(scope="module")
def report(azurite: Azurite) -> Report:
    """What the worker made of every call, on a storage account of its own."""
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    return called(ROOT, example | {"CPOR_STORAGE": azurite.fresh_account()}, list(CALLS.values()))


def _outcome(report: Report, call: str) -> Outcome:
    return report.outcomes[list(CALLS).index(call)]


def test_every_kind_of_trigger_is_indexed(report: Report) -> None:
    """HTTP functions without a key, queues of the data account, and the timer by its setting."""
    triggers = report.triggers

    assert {trigger.get("authLevel", "ANONYMOUS") for trigger in triggers.values()} == {"ANONYMOUS"}
    assert {trigger.get("connection", "CPOR_STORAGE") for trigger in triggers.values()} == {"CPOR_STORAGE"}
    assert triggers["notify_customer"]["queueName"] == "customer-notices"
    assert triggers["finalise_uncontested"]["schedule"] == "%FINALISE_SCHEDULE%"
    assert list(triggers)[-1] == "zz_not_found"


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("engagements", 200),
        ("health", 200),
        ("claims without a token", 401),
        ("an unknown path", 404),
        ("a wrong method", 405),
    ],
)
def test_requests_are_answered(report: Report, call: str, status: int) -> None:
    """In JSON, and with the id that a caller can name to us."""
    outcome = _outcome(report, call)

    assert (outcome.error, outcome.status) == (None, status)
    headers = {name.lower(): value for name, value in outcome.headers.items()}
    assert headers["content-type"].startswith("application/json")
    assert headers["x-ms-request-id"]
    assert outcome.json


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("claims without a token", "Unauthenticated"),
        ("an unknown path", "NotFound"),
        ("a wrong method", "MethodNotAllowed"),
    ],
)
def test_refusals_bear_the_envelope(report: Report, call: str, code: str) -> None:
    """Whoever is refused is told by the same object everywhere."""
    assert _outcome(report, call).json["error"]["code"] == code


@pytest.mark.parametrize(
    ("call", "because"),
    [("a strange message", "not a message of ours"), ("a message that is no JSON", "JSONDecodeError")],
)
def test_a_message_that_is_none_of_ours_fails(report: Report, call: str, because: str) -> None:
    """So the host tries it again, and then puts it where an operator sees it."""
    assert because in (_outcome(report, call).error or "")


@pytest.mark.parametrize("call", ["a strange message that failed", "the timer"])
def test_what_has_nobody_to_tell_of_a_failure_succeeds(report: Report, call: str) -> None:
    """A failed message is recorded whatever it holds, and the timer runs on an empty account, overdue or not."""
    assert _outcome(report, call).error is None
