"""What the page about webhooks tells a receiver to do works, tried on what we send."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cpor_app.adapters.webhook_calls import WebhookCalls, event, signed
from cpor_core.model.change import Change
from cpor_core.model.claim import Status
from cpor_core.model.webhook import Delivery
from cpor_core.rules.webhook_calls import DELAYS, TRIED_FOR, new_secret
from tests.docs.pages import DOCS
from tests.support.description import description, validator
from tests.support.receiver import Received, running_receiver

pytestmark = pytest.mark.slow  # it starts servers of its own

PAGE = (DOCS / "webhooks.md").read_text("utf-8")
SECRET = new_secret("5e" * 32)
AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
CHANGE = Change(sequence=3, type="claim.submitted", claim_id="0" * 52, status=Status.SUBMITTED, at=AT, etag='"e"')


def block(language: str) -> str:
    """Return the page's piece of code in that language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
async def received() -> Received:
    """An event, as it comes."""
    async with running_receiver() as receiver:
        calls = WebhookCalls("https://cpor.example/api", lambda: datetime.now(UTC), anywhere=True)
        delivery = Delivery(place="1", webhook_id="msg_1", event_id="e", created_at=AT, next_attempt=AT)
        await calls.call(receiver.url, (SECRET,), "main", delivery)
        return receiver.received[0]


def test_the_receiver_in_python_takes_ours_and_nobody_elses(received: Received) -> None:
    """204 and 401."""
    known: dict[str, Any] = {}
    exec(block("python"), known)  # noqa: S102 - it is the page's own
    headers = dict(received.headers)

    assert known["receive"](received.body, headers, SECRET) == 204
    assert known["receive"](received.body, headers, new_secret("0c" * 32)) == 401
    assert known["receive"](received.body + b" ", headers, SECRET) == 401


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine")
def test_the_signature_by_hand_is_the_one_that_was_sent(received: Received, tmp_path: Path) -> None:
    """With openssl."""
    (tmp_path / "body.json").write_bytes(received.body)
    given = {
        "secret": SECRET,
        "webhook_id": received.headers["webhook-id"],
        "webhook_timestamp": received.headers["webhook-timestamp"],
    }

    made = subprocess.run(
        ["bash", "-eu", "-c", block("sh")],
        cwd=tmp_path,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **given},
        capture_output=True,
        check=True,
        text=True,
    )

    assert f"v1,{made.stdout.strip()}" == received.headers["webhook-signature"]


def test_the_delays_are_those_of_the_page() -> None:
    """In the page's words."""
    said = (
        "after 5 seconds, then after 1, 5 and 30 minutes, then after 2, 5, 10, 14 and 20 hours. "
        "The last attempt is three days after the first."
    )

    assert said in " ".join(PAGE.split())
    assert [delay.total_seconds() for delay in DELAYS] == [
        5,
        *(60 * minutes for minutes in (1, 5, 30)),
        *(3600 * hours for hours in (2, 5, 10, 14, 20, 24)),
    ]
    assert TRIED_FOR.days == 3


@pytest.mark.parametrize("change", [None, CHANGE], ids=["a test", "a change"])
def test_what_is_sent_is_as_the_description_says(change: Change | None) -> None:
    """A receiver who generates code from `openapi.json` can read every event."""
    sent = Delivery(place="1", webhook_id="msg_1", event_id="e", created_at=AT, next_attempt=AT, change=change)
    call = description()["webhooks"]["change"]["post"]
    schema = call["requestBody"]["content"]["application/cloudevents+json"]["schema"]

    assert list(validator(schema).iter_errors(json.loads(event("https://cpor.example/api", "main", sent)))) == []

    headers = signed((SECRET,), "msg_1", AT, b"{}")
    assert {one["name"] for one in call["parameters"]} == set(headers)
