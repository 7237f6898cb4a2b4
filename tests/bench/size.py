"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rounds, of calls in a round, and of claims."""

    rounds: int = 5
    few_rounds: int = 3
    """Rounds of the calls that need claims of their own."""
    alone: int = 4
    """Calls of a round, one at a time."""
    together: int = 16
    """Calls of a round, all at once."""
    warm: int = 2
    """Calls of each kind that do not count."""
    due: tuple[int, ...] = (100, 1_000)
    """Claims that are due at one instant."""
    stored: tuple[int, int] = (1_000, 10_000)
    """Claims that are stored when the same calls are measured, first and then."""
    originals: int = 16
    """Claims that are copied to that number."""
    lives: int = 2
    starts: int = 5


FULL = Size()
TINY = Size(
    rounds=1,
    few_rounds=1,
    alone=1,
    together=2,
    warm=1,
    due=(3,),
    stored=(5, 10),
    originals=2,
    lives=1,
    starts=1,
)
"""As little as shows that everything runs."""
