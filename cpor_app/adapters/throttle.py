"""How fast one instance lets an organisation write (rulings 4)."""

from dataclasses import dataclass, field


@dataclass
class Throttle:
    """A bucket of *per_second* tokens for each organisation, full at first, filled at that rate; 0 is no limit."""

    per_second: int
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    MOST_ORGANISATIONS = 10_000
    """Beyond this the buckets are thrown away: they would be full again by then."""

    def admits(self, organisation: str, at: float) -> bool:
        """Take one token; *at* is in seconds of a clock that never goes back."""
        if not self.per_second:
            return True
        if len(self._buckets) >= self.MOST_ORGANISATIONS:
            self._buckets.clear()
        tokens, since = self._buckets.get(organisation, (float(self.per_second), at))
        tokens = min(float(self.per_second), tokens + (at - since) * self.per_second)
        admitted = tokens >= 1
        self._buckets[organisation] = (tokens - 1 if admitted else tokens, at)
        return admitted
