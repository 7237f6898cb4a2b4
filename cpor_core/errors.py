"""
What can go wrong. Callers must distinguish three kinds.

- `Refused`: the rules say no. It has a stable code and says what the caller can do. `cpor_app.http` knows the statuses.
- `Fault`: something that we depend on failed. `Retryable` may work later, `Terminal` never will.
- `Conflict`: another writer was first. No caller sees it: the act is judged again on the newest rows.
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
    """The rules say no. `code` is part of the API's contract. `resolution` says what the caller can do."""

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
        """Keep the parts separate, so that nobody has to parse the message."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.target = target
        self.resolution = resolution
        self.details = tuple(details)
        self.retry_after_seconds = retry_after_seconds


class Fault(Exception):
    """Something that we depend on failed."""


class Retryable(Fault):
    """It may work later: after `retry_after_seconds` if the other side said so."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        """Store how many whole seconds the other side asks us to wait."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Terminal(Fault):
    """No retry can help."""


class StorageBusy(Retryable):
    """Storage throttles, is slow or cannot be reached, and the SDK's retries are used up."""


class Conflict(Exception):
    """Another writer has changed, created or deleted a row since it was read."""


class RecipientRefused(Exception):
    """The mail system will never deliver to this address (an SMTP 5xx for the recipient)."""

    def __init__(self, code: int | None, reason: str) -> None:
        """Store the mail system's own words for the operator. No partner ever sees them."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MailDelayed(Retryable):
    """The mail was not handed over. `recipient_refused_for_now` means a 4xx for the address."""

    def __init__(
        self, reason: str, *, retry_after_seconds: int | None = None, recipient_refused_for_now: bool = False
    ) -> None:
        """Say whether the server refused this recipient for now."""
        super().__init__(reason, retry_after_seconds=retry_after_seconds)
        self.reason = reason
        self.recipient_refused_for_now = recipient_refused_for_now
