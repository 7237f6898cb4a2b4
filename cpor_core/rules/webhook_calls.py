"""How often a receiver is called, what it is to know an event by, and with what it can tell that we sent it."""

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
"""After the first attempt, the second …; the last for all that follow."""
BOTH_SECRETS_SIGN = timedelta(hours=24)
MOST_SECRETS = 5
_EVENTS = uuid.UUID("a1d6c7de-0f0f-5a5c-9f6a-3c1e9b7a4d20")


def next_attempt(first: datetime, failed: int, now: datetime, wait: timedelta | None) -> datetime | None:
    """
    Return when to try again after *failed* attempts, the first of them at *first*; None when it is given up.

    Not before the receiver's own *wait* is over; but when three days have passed a last attempt is made in any case.
    """
    end = first + TRIED_FOR
    if now >= end:
        return None
    delay = DELAYS[min(failed, len(DELAYS)) - 1]
    return min(now + max(delay, wait or delay), end)


def event_id(organisation: str, what: str) -> str:
    """Return the id of an event: *what* is the sequence of its change, or drawn for a test."""
    return str(uuid.uuid5(_EVENTS, f"{organisation}|{what}"))


def webhook_id(event: str, name: str, born: str) -> str:
    """Return what a receiver knows an event by: the same on every try and replay, another at each webhook."""
    return f"msg_{uuid.uuid5(_EVENTS, f'{event}|{name}|{born}').hex}"


def new_secret(random_hex: str) -> str:
    """Return a signing secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(bytes.fromhex(random_hex)).decode()
