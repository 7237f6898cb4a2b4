"""The app that the local host is tested with behaves the same in Microsoft's own worker library."""

from functools import cache

from tests.conformance.worker import HttpCall, QueueCall, Report, TimerCall, called
from tests.devhost.host_process import NEVER, SAMPLE_APP

SETTINGS = {"SAMPLE_STORAGE": "UseDevelopmentStorage=true", "JOBS_QUEUE": "jobs", "TICK_SCHEDULE": NEVER}


@cache
def _report() -> Report:
    """Load the app once: each test looks at a call of its own."""
    return called(
        SAMPLE_APP,
        SETTINGS,
        [
            HttpCall("POST", "/api/items/42?q=1&q=2&empty=", "é", {"X-Name": "a"}),
            HttpCall("GET", "/api/named/export"),
            HttpCall("GET", "/api/nowhere"),
            HttpCall("GET", "/api/fail"),
            HttpCall("GET", "/api/odd/nothing"),
            HttpCall("GET", "/api/odd/number"),
            HttpCall("GET", "/api/odd/twice"),
            QueueCall("work", "a message: é", times=2),
            QueueCall("work", "please fail"),
            TimerCall("tick"),
            HttpCall("GET", "/api/seen"),
        ],
    )


def test_the_worker_finds_the_functions_that_the_host_finds() -> None:
    """All thirteen, with their triggers."""
    triggers = _report().triggers

    assert list(triggers) == [
        "a_named_item",
        "answer_oddly",
        "b_export",
        "change_item",
        "do_job",
        "fail",
        "record_failed_job",
        "show_item",
        "tick",
        "wait",
        "what_was_seen",
        "work",
        "zz_not_found",
    ]
    assert triggers["work"]["queueName"] == "work"
    assert triggers["tick"]["schedule"] == "%TICK_SCHEDULE%"


def test_a_request_arrives_as_it_does_on_the_local_host() -> None:
    """The same names of headers, the same context."""
    shown = _report().outcomes[0].json

    assert shown["body"] == "é"
    assert shown["route"] == {"itemId": "42"}
    assert shown["query"] == {"q": "1,2"}
    assert shown["headers"] == {"x-name": "a"}
    assert shown["function"] == "show_item"
    assert shown["directory"] == str(SAMPLE_APP)
    assert shown["retries"] == 0
    assert "traceParent" in shown


def test_routes_are_found_as_on_the_local_host() -> None:
    """The first by name, and the catch-all for the rest."""
    assert [outcome.function for outcome in _report().outcomes[1:3]] == ["a_named_item", "zz_not_found"]
    assert _report().outcomes[2].status == 404


def test_what_fails_here_fails_there() -> None:
    """An exception, and answers that are none."""
    errors = [outcome.error or "" for outcome in _report().outcomes[3:6]]

    assert "ValueError('asked to fail')" in errors[0]
    assert all(errors[1:])


def test_of_two_headers_with_one_name_the_worker_keeps_the_last() -> None:
    """The same converter is at work."""
    assert _report().outcomes[6].headers["X-Twice"] == "last"


def test_queue_and_timer_functions_are_called_with_what_they_want() -> None:
    """A message's text and count, and a timer that is not overdue."""
    *_, message, failing, tick, seen = _report().outcomes

    assert (message.error, tick.error) == (None, None)
    assert "RuntimeError('asked to fail')" in (failing.error or "")
    notes = [(note["function"], note.get("body"), note.get("times")) for note in seen.json["seen"]]
    assert notes == [("work", "a message: é", 2), ("work", "please fail", 1), ("tick", None, None)]
