"""Rules for webhook calls: the instants of retries, the ids of events and messages, and signing secrets."""

import base64
import uuid
from datetime import datetime, timedelta

TRIED_FOR = timedelta(days=3)
DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The waits after the first attempt, the second attempt, and so on. The last wait is repeated."""
BOTH_SECRETS_SIGN = timedelta(hours=24)
MOST_SECRETS = 5
_EVENTS = uuid.UUID("a1d6c7de-0f0f-5a5c-9f6a-3c1e9b7a4d20")


def next_attempt(first: datetime, failed: int, now: datetime, wait: timedelta | None) -> datetime | None:
    """
    Return when to try again after *failed* attempts. None when no further attempt is made.

    *first* is the instant of the first attempt. *wait* is the shortest wait that the receiver asked for. The last
    attempt is made three days after the first, even if the receiver asked for a longer wait.
    """
    end = first + TRIED_FOR
    if now >= end:
        return None
    delay = DELAYS[min(failed, len(DELAYS)) - 1]
    return min(now + max(delay, wait or delay), end)


def event_id(organisation: str, what: str) -> str:
    """Return the id of an event. *what* is the number of its change, or a random id for a test event."""
    return str(uuid.uuid5(_EVENTS, f"{organisation}|{what}"))


def webhook_id(event: str, name: str, born: str) -> str:
    """Return the id of a message. It is the same in each attempt and replay, and different for each webhook."""
    return f"msg_{uuid.uuid5(_EVENTS, f'{event}|{name}|{born}').hex}"


def new_secret(random_hex: str) -> str:
    """Return a signing secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(bytes.fromhex(random_hex)).decode()
