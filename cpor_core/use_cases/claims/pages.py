"""
Work in pages. Each page has a queue message, so that all instances share the work.

A queue message can be lost. So a due row sends the messages of unfinished pages again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from cpor_core.due_work import Outcome

LOOK_AGAIN = timedelta(minutes=1)
"""The time after which the messages of unfinished pages are sent again."""
LOOK_SELDOM = timedelta(minutes=15)
"""The same time for old work. Old work has a fault that more messages do not remove."""
SELDOM_AFTER = timedelta(hours=1)
"""The age at which unfinished work is old."""
MESSAGES_AT_ONCE = 16
"""How many queue messages are sent at the same time."""


async def send_messages(send: Callable[[str, int], Awaitable[None]], subject: str, pages: Sequence[int]) -> None:
    """Send the message of each page. *send* sends the message of one page of a subject."""
    for first in range(0, len(pages), MESSAGES_AT_ONCE):
        await asyncio.gather(*(send(subject, page) for page in pages[first : first + MESSAGES_AT_ONCE]))


async def finish(
    send: Callable[[str, int], Awaitable[None]], subject: str, missing: Sequence[int], begun: datetime, now: datetime
) -> Outcome:
    """
    Send the messages of the *missing* pages again. The outcome says when to repeat this. It is done if none is missing.

    *begun* is the instant at which the work began.
    """
    if not missing:
        return Outcome()
    await send_messages(send, subject, missing)
    is_young = now - begun < SELDOM_AFTER
    return Outcome(delayed=True, not_before=now + (LOOK_AGAIN if is_young else LOOK_SELDOM))
