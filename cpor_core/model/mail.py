"""What became of a mail."""

from enum import StrEnum


class MailOutcome(StrEnum):
    """What became of a mail. Callers of the API see these values."""

    PENDING = "pending"
    """The mail is due, and its hand-over is not recorded yet. In a stored try: the mail was put off."""
    NOT_SENT = "notSent"
    """The mail was not handed over, and will not be, because it is no longer true."""
    HANDED_OVER = "handedOver"
    """The mail system took the mail. There is no report of its delivery."""
    DELIVERED = "delivered"
    COMPLAINED = "complained"
    """The mail arrived, and the recipient reported it as unwanted."""
    FAILED = "failed"
    """The mail system refused the recipient, or the mail came back."""
    UNKNOWN = "unknown"
    """The mail's row was deleted, or was written by release 1."""

    def replaces(self, reported: "MailOutcome | None") -> bool:
        """Whether a report with this outcome counts after the outcome *reported*. A failure stays, as in the claim."""
        return reported is None or _REPORTED.index(self) > _REPORTED.index(reported)


_REPORTED = (MailOutcome.DELIVERED, MailOutcome.COMPLAINED, MailOutcome.FAILED)
"""The outcomes in delivery reports. Each one counts more than those before it."""
