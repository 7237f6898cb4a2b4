"""The programme's feed: the changes of all claims, in 16 feeds without gaps (decision 54)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from cpor_core.due_work import RETENTION, SHARDS, Kind
from cpor_core.model.programme import ProgrammeChange
from cpor_core.ports import Ports
from cpor_core.use_cases.together import together

MOST_OF_FEED = 100
"""The most changes that one call reads from one feed."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has read: the number of the last change in each feed, and the instant of the read."""

    numbers: Sequence[int]
    """The number of a feed that had no change is 0."""
    at: datetime


@dataclass(frozen=True, slots=True)
class ProgrammePage:
    """The next changes, and the position after them."""

    changes: Sequence[ProgrammeChange]
    position: Position


async def read(ports: Ports, now: datetime, *, after: Position | None, limit: int) -> ProgrammePage | None:
    """
    Return the changes after a position. None means from the oldest changes on.

    The feeds take turns until there are *limit* changes, and each feed has at least one turn. Returns None if changes
    after the position were deleted in any feed. Makes 16 requests.
    """
    begin = after.numbers if after is not None else [0] * SHARDS
    is_old = after is not None and now - after.at > RETENTION[Kind.TRIM_PROGRAMME]
    most = min(limit, MOST_OF_FEED)
    found = await together(ports.programme.changes(feed, after=number, limit=most) for feed, number in enumerate(begin))
    pages: list[Sequence[ProgrammeChange]] = []
    for page, number in zip(found, begin, strict=True):
        if page is None or (page and not number and is_old):  # the first changes of a feed can be deleted too
            return None
        pages.append(page)
    in_turns = [change for turn in zip_longest(*pages) for change in turn if change is not None]
    changes = in_turns[: max(limit, sum(map(bool, pages)))]
    numbers = list(begin)
    for change in changes:
        numbers[change.feed] = change.sequence
    return ProgrammePage(changes, Position(numbers, now))
