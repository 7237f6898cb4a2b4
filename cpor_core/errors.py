"""
What can go wrong, in the three kinds that callers must tell apart.

- `Refused`: the rules say no. It carries a stable code and what the caller can do; `cpor_app.http` knows statuses.
- `Fault`: something we depend on failed. `Retryable` may work later, `Terminal` will not.
- `Conflict`: somebody else wrote first. Never shown to a caller: the act is judged again on the newest rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several reasons for a refusal: `target` is a JSON path such as `contacts.customer.email`."""

    code: str
    message: str
    target: str | None = None
    resolution: str | None = None


class Refused(Exception):
    """The rules say no: `code` is part of the contract, `resolution` tells the caller what to do about it."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        target: str | None = None,
        resolution: str | None = None,
        details: Sequence[Detail] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        """Keep the parts apart, so that no reader has to parse the message."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.target = target
        self.resolution = resolution
        self.details = tuple(details)
        self.retry_after_seconds = retry_after_seconds


class Fault(Exception):
    """Something outside the rules failed."""


class Retryable(Fault):
    """It may work later: after `retry_after_seconds` where the other side said so."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        """Remember how long the other side asked us to wait, in whole seconds."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Terminal(Fault):
    """It will not work however often it is tried."""


class StorageBusy(Retryable):
    """Storage is throttled, slow or out of reach, and the SDK's own retries are used up."""


class Conflict(Exception):
    """A row was changed, made or deleted by somebody else since it was read."""


class RecipientRefused(Exception):
    """The mail system will never deliver to this address (an SMTP 5xx for the recipient)."""

    def __init__(self, code: int | None, reason: str) -> None:
        """Keep the mail system's own words for the operator; they are never shown to a partner."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MailDelayed(Retryable):
    """The mail was not handed over now; `recipient_refused_for_now`: a 4xx for the address, not a silent server."""

    def __init__(
        self, reason: str, *, retry_after_seconds: int | None = None, recipient_refused_for_now: bool = False
    ) -> None:
        """Say whether it was the recipient who was refused for now."""
        super().__init__(reason, retry_after_seconds=retry_after_seconds)
        self.reason = reason
        self.recipient_refused_for_now = recipient_refused_for_now
