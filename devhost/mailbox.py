"""Reads what the mail catcher has caught."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devhost.caller import Caller, Unexpected

PATIENCE_SECONDS = 30
_EVERY_SECONDS = 0.1
_LINK = re.compile(r"https?://\S+/customer/requests/\S+")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, as far as a reader looks."""

    to: str
    subject: str
    text: str

    @property
    def link(self) -> str:
        """The link of the request. Raises Unexpected when there is none."""
        found = _LINK.search(self.text)
        if found is None:
            raise Unexpected(f"the mail {self.subject!r} has no link")
        return found[0]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The mail catcher, through its REST."""

    caller: Caller
    url: str

    def mails(self, to: str) -> Sequence[Mail]:
        """Return the mails to an address, oldest first."""
        caught: list[dict[str, Any]] = self.caller.ask("GET", f"{self.url}/email").json()
        caught.sort(key=lambda mail: mail["time"])
        mails = [Mail(mail["to"][0]["address"], mail["subject"], mail["text"]) for mail in caught]
        return [mail for mail in mails if mail.to == to]

    def wait(self, to: str, number: int = 1) -> Mail:
        """Return the mail of that number to an address, as soon as it is there. Raises Unexpected if it does not come."""
        end = time.monotonic() + PATIENCE_SECONDS
        while len(mails := self.mails(to)) < number:
            if time.monotonic() > end:
                raise Unexpected(f"{len(mails)} mails to {to} after {PATIENCE_SECONDS} s, and not {number}")
            time.sleep(_EVERY_SECONDS)
        return mails[number - 1]
