"""Finds imported associations that the customer does not know of: no mail has reached anybody (decision 65)."""

from enum import StrEnum

from cpor_core.model.claim import Claim, Status


class Untold(StrEnum):
    """Why the customer of an imported association does not know of it."""

    NOBODY_TO_TELL = "nobodyToTell"
    """No contact was named, and no notice address is registered."""
    ON_ITS_WAY = "onItsWay"
    """The mail has not been handed over yet."""
    EVERYBODY_FAILED = "everybodyFailed"
    """Each mail came back."""


def untold(claim: Claim) -> Untold | None:
    """Return why the customer does not know of an official association. None if the customer knows, or it is over."""
    if claim.status is not Status.OFFICIAL or claim.customer_knows:
        return None
    if not claim.recipients:
        return Untold.NOBODY_TO_TELL
    return Untold.EVERYBODY_FAILED if all(one.failed for one in claim.recipients) else Untold.ON_ITS_WAY
