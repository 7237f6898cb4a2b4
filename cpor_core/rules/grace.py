"""
The minute of grace after a window's end (decision 73).

A claim is official from `endsAt` on. A no that arrived before `endsAt` may not be stored yet. So for one minute the
service shows no figures, and the timer does not store the end of the window.
"""

from datetime import datetime, timedelta

from cpor_core.model.claim import Claim

GRACE = timedelta(seconds=60)
"""The time from a window's end until its figures are shown and the timer stores the end, by the service's clock."""
TRIED_FOR = timedelta(seconds=60)
"""How long the service tries to store a no, if storage does not accept it. Real time, from the request's arrival."""
ARRIVAL_COUNTS_FOR = timedelta(hours=24)
"""How long a customer can use the signed arrival of a no that was not stored, by the service's clock."""


def figures_from(claim: Claim) -> datetime | None:
    """Return when the figures of an official claim become visible. None if the claim had no window."""
    return claim.window_ends_at + GRACE if claim.window_ends_at is not None else None
