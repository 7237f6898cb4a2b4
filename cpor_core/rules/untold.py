"""Finds imported associations whose customer was not notified, because no mail has arrived (decision 65)."""

from enum import StrEnum

from cpor_core.model.claim import Claim, Status


class Untold(StrEnum):
    """Why the customer of an imported association was not notified."""

    NOBODY_TO_TELL = "nobodyToTell"
    """The import named no contact, and no notice address was registered."""
    ON_ITS_WAY = "onItsWay"
    """The mail has not been handed over yet."""
    EVERYBODY_FAILED = "everybodyFailed"
    """All mails came back."""


def untold(claim: Claim) -> Untold | None:
    """Return why an official association's customer was not notified. None if notified, or not official."""
    if claim.status is not Status.OFFICIAL or claim.customer_knows:
        return None
    if not claim.recipients:
        return Untold.NOBODY_TO_TELL
    return Untold.EVERYBODY_FAILED if all(recipient.failed for recipient in claim.recipients) else Untold.ON_ITS_WAY
