"""
The exceptions of the core. Callers must distinguish three main kinds.

- `Refused`: the rules do not allow the request. A refusal has a stable code and says what the caller can do.
  `cpor_app.http` gives each code its HTTP status.
- `Fault`: another system, such as storage or mail, failed. `Retryable` means that a retry can succeed. `Terminal` means
  that no retry can.
- `Conflict`: another writer was first. The service does the act again on the newest rows. No caller sees a `Conflict`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several reasons for a refusal. `target` is a JSON path such as `contacts.customer.email`."""

    code: str
    message: str
    target: str | None = None
    resolution: str | None = None


class Refused(Exception):
    """The rules do not allow the request. `code` never changes. `resolution` says what the caller can do."""

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
        """Store each part in its own attribute, so that no code has to parse the message."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.target = target
        self.resolution = resolution
        self.details = tuple(details)
        self.retry_after_seconds = retry_after_seconds


class Fault(Exception):
    """Another system, such as storage or mail, failed."""


class Retryable(Fault):
    """A retry can succeed. If the other system asked for a wait, `retry_after_seconds` has this wait."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        """Store the wait that the other system asks for, in whole seconds."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Terminal(Fault):
    """A retry cannot succeed."""


class StorageBusy(Retryable):
    """Storage throttles the service, is slow or cannot be reached, and all retries of the SDK have failed."""


class Conflict(Exception):
    """Another writer has changed, created or deleted a row since it was read."""


class RecipientRefused(Exception):
    """The mail system will never accept this address (an SMTP 5xx for the recipient)."""

    def __init__(self, code: int | None, reason: str) -> None:
        """Store the answer of the mail system, for the operator. No partner sees *reason*."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MailDelayed(Retryable):
    """The mail system did not take the mail. A later attempt can succeed."""

    def __init__(
        self, reason: str, *, retry_after_seconds: int | None = None, recipient_refused_for_now: bool = False
    ) -> None:
        """Store the reason. `recipient_refused_for_now` is true after an SMTP 4xx for this recipient only."""
        super().__init__(reason, retry_after_seconds=retry_after_seconds)
        self.reason = reason
        self.recipient_refused_for_now = recipient_refused_for_now
