"""Limits how fast an organisation may write, in each instance (decision 4)."""

from dataclasses import dataclass, field


@dataclass
class Throttle:
    """One bucket for each organisation: *per_second* tokens, full at first, refilled at that rate. 0 means no limit."""

    per_second: int
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    MOST_ORGANISATIONS = 10_000
    """At this number of buckets, all buckets are dropped. Each organisation then has a full bucket again."""

    def admits(self, organisation: str, at: float) -> bool:
        """Take one token, and return whether there was one. *at* is in seconds of a monotonic clock."""
        if not self.per_second:
            return True
        if len(self._buckets) >= self.MOST_ORGANISATIONS:
            self._buckets.clear()
        tokens, since = self._buckets.get(organisation, (float(self.per_second), at))
        tokens = min(float(self.per_second), tokens + (at - since) * self.per_second)
        admitted = tokens >= 1
        self._buckets[organisation] = (tokens - 1 if admitted else tokens, at)
        return admitted
