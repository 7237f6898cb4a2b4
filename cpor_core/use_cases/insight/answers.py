"""Answers questions about all claims together from the sums that the follower moves (decision 60)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cpor_core.due_work import SHARDS
from cpor_core.model.insight import AnyInsight, Grouping, Measure
from cpor_core.model.tally import Counts
from cpor_core.ports import Ports
from cpor_core.rules.insight import insight
from cpor_core.rules.tally import joined
from cpor_core.use_cases.register.questions import Question, complete_to
from cpor_core.use_cases.together import together


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of all shards at one instant, ready for questions."""

    groups: dict[str, Counts]
    names: dict[tuple[Grouping, str], str]
    as_of: datetime
    now: datetime

    def answer(self, measure: Measure, grouping: Grouping, *, shows_small: bool) -> AnyInsight:
        """Return the answer to a question. The sums must have the groups of this grouping."""
        return insight(
            measure,
            grouping,
            self.groups,
            name=lambda of, key: self.names.get((of, key), key),
            as_of=self.as_of,
            now=self.now,
            shows_small=shows_small,
        )


async def as_of(ports: Ports, now: datetime) -> datetime:
    """Return the instant before which each act is counted, in 16 requests."""
    return await complete_to(ports, Question(as_of=now), now)


async def read(ports: Ports, groupings: Collection[Grouping], now: datetime) -> Sums:
    """
    Return the sums of these groupings.

    Makes 32 requests: in each shard one for the due work that is not done, and one for the sums. Groups by partner take
    16 more, and another one in each shard for each thousand locations.
    """
    known_to = await as_of(ports, now)
    shards = await together(ports.programme.sums(shard, groupings) for shard in range(SHARDS))
    names: dict[tuple[Grouping, str], str] = {}
    for engagement in ports.catalogue.engagements:
        names[Grouping.ENGAGEMENT, engagement.id] = engagement.name
        names |= {(Grouping.WORKLOAD, item.id): item.name for item in engagement.items}
    for shard in shards:
        names |= {(Grouping.PARTNER, partner_id): name for partner_id, name in shard.partners.items()}
    return Sums(joined(shard.groups for shard in shards), names, known_to, now)
