"""Reads the mails of the mail catcher."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devhost.stack.api_client import ApiClient, UnexpectedAnswer

_LINK = re.compile(r"https?://\S+/customer/requests/\S+")


@dataclass(frozen=True, slots=True)
class Mail:
    """The parts of a mail that the demo shows."""

    to: str
    subject: str
    text: str

    @property
    def link(self) -> str:
        """The link to the customer's request. Raises UnexpectedAnswer if the mail has none."""
        found = _LINK.search(self.text)
        if found is None:
            raise UnexpectedAnswer(f"the mail {self.subject!r} has no link")
        return found[0]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Reads the mails in the mail catcher through its REST API."""

    caller: ApiClient
    url: str

    def mails(self, to: str) -> Sequence[Mail]:
        """Return the mails to an address, oldest first."""
        caught: list[dict[str, Any]] = self.caller.ask("GET", f"{self.url}/email").json()
        caught.sort(key=lambda mail: mail["time"])
        mails = [Mail(mail["to"][0]["address"], mail["subject"], mail["text"]) for mail in caught]
        return [mail for mail in mails if mail.to == to]
