"""
What a no that arrived in time may still change after the window's end (rulings 73).

From `endsAt` on a claim is official. A no that arrived before it may be on its way to the store. So, for a minute,
nothing is given out that could not be taken back, and the timer writes nothing down.
"""

from datetime import datetime, timedelta

from cpor_core.model.claim import Claim

GRACE = timedelta(seconds=60)
"""So long after a window's end, by the service's clock, figures and the timer's writing begin."""
TRIED_FOR = timedelta(seconds=60)
"""So long a no is tried that storage can't take; in real time, since its request arrived."""
ARRIVAL_COUNTS_FOR = timedelta(hours=24)
"""So long the signed instant of its arrival can be sent again, by the service's clock."""


def figures_from(claim: Claim) -> datetime | None:
    """Return from when on an official claim's figures are given out; None where no window had to end first."""
    return claim.window_ends_at + GRACE if claim.window_ends_at is not None else None
