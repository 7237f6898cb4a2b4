"""
The exceptions that the core raises. There are three main kinds, and callers must distinguish them.

- `Refused`: the rules do not allow the request. A refusal has a stable code and says what the caller can do.
  `cpor_app.http` gives each code its HTTP status.
- `Fault`: a system that we depend on failed. After `Retryable` a retry may succeed, after `Terminal` it cannot.
- `Conflict`: another writer was first. The act is judged again on the newest rows. No caller of the API sees it.
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
    """The rules do not allow it. `code` is part of the API's contract. `resolution` says what the caller can do."""

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
    """A system that we depend on failed."""


class Retryable(Fault):
    """A retry may succeed. If the other system named a wait, it is in `retry_after_seconds`."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        """Store the wait that the other system asks for, in whole seconds."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Terminal(Fault):
    """A retry cannot succeed."""


class StorageBusy(Retryable):
    """Storage throttles us, is slow or cannot be reached, and all retries of the SDK have failed."""


class Conflict(Exception):
    """Another writer has changed, created or deleted a row since it was read."""


class RecipientRefused(Exception):
    """The mail system refuses this address for good (an SMTP 5xx for the recipient)."""

    def __init__(self, code: int | None, reason: str) -> None:
        """Store what the mail system answered, for the operator. No partner ever sees *reason*."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MailDelayed(Retryable):
    """The mail system did not take the mail, and a later attempt may succeed."""

    def __init__(
        self, reason: str, *, retry_after_seconds: int | None = None, recipient_refused_for_now: bool = False
    ) -> None:
        """Store why. `recipient_refused_for_now` is true after an SMTP 4xx for this recipient, not for all mail."""
        super().__init__(reason, retry_after_seconds=retry_after_seconds)
        self.reason = reason
        self.recipient_refused_for_now = recipient_refused_for_now
