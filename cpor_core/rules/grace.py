"""
The minute of grace after a window's end (decision 73).

A claim is official from `endsAt`. A no that arrived before may still be on its way to storage. So for a minute the
service gives out nothing that it cannot take back, and the timer writes nothing.
"""

from datetime import datetime, timedelta

from cpor_core.model.claim import Claim

GRACE = timedelta(seconds=60)
"""Figures and the timer's writes begin so long after a window's end, by the service's clock."""
TRIED_FOR = timedelta(seconds=60)
"""How long the service retries a no that storage does not accept: in real time, from the request's arrival."""
ARRIVAL_COUNTS_FOR = timedelta(hours=24)
"""How long a customer can send the signed arrival of a no again, by the service's clock."""


def figures_from(claim: Claim) -> datetime | None:
    """Return when an official claim's figures become visible. None when there was no window."""
    return claim.window_ends_at + GRACE if claim.window_ends_at is not None else None
