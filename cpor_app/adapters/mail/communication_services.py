"""
Hands mails over to Azure Communication Services.

With the answer 202 the mail is handed over. Later a delivery report says whether the mail arrived, so we do not poll.
If the answer is lost and we send the mail again, the service refuses the Message-ID as a duplicate. The Message-ID
contains the operation id. So a delivery report with either of the two ids leads to our row.

docs/mail.md says what each answer means, and which answers are documented.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError

from cpor_app.adapters.mail.outgoing import (
    SEND_LIMIT_SECONDS,
    OutgoingMail,
    headers_of,
    one_line,
    recipient_of,
    sender_of,
)
from cpor_app.adapters.storage.connection import Transport, pipeline_transport
from cpor_core.errors import MailDelayed, RecipientRefused

if TYPE_CHECKING:
    from email.headerregistry import Address

    from azure.communication.email.aio import EmailClient
    from azure.core.credentials_async import AsyncTokenCredential

log = logging.getLogger("cpor.mail")

BAD_REQUEST, TOO_MANY_REQUESTS, SERVERS_FAULT = 400, 429, 500
PAUSE_SECONDS = 60
"""The pause after a 429 without `Retry-After`."""
LONGEST_PAUSE_SECONDS = 24 * 60 * 60
"""The longest pause. A longer `Retry-After` is shortened to it."""
VALIDATE_MESSAGE_ID = "x-ms-acsemail-validate-message-id"
RECIPIENTS_FAULT = ("emaildroppedallrecipientssuppressed", "invalidformatforemailaddress")
"""If a code or message contains one of these texts, the address is wrong. Only letters and digits are compared."""


class CommunicationServicesMailer:
    """Sends one mail after the other with one client. The client belongs to the event loop of its first use."""

    def __init__(
        self,
        endpoint: str,
        identity: Callable[[], AsyncTokenCredential],
        *,
        sender: str,
        now: Callable[[], datetime],
        transport: Transport | None = None,
        limit_seconds: float = SEND_LIMIT_SECONDS,
    ) -> None:
        """
        Use the service at *endpoint* with our *identity*. The mail domain gives the display name, not *sender*.

        *now* is the real time, which ends the pauses that the service asks for. Raises ValueError when *sender* is not
        an address.
        """
        self._endpoint = endpoint
        self._identity = identity
        self._sender = sender_of(sender).addr_spec
        self._now = now
        self._transport = transport
        self._limit_seconds = limit_seconds
        self._turn = asyncio.Lock()
        self._not_before: datetime | None = None
        self._opened: tuple[EmailClient, AsyncTokenCredential] | None = None

    async def send(self, mail: OutgoingMail) -> None:
        """
        Hand *mail* over. When this returns, the service has the mail from this try or an earlier try.

        Raises `RecipientRefused` when the recipient can never be reached, and `MailDelayed` for every other failure.
        """
        message = self._message(mail, recipient_of(mail))
        try:
            # Calls run one at a time. So no second call is running when the service asks for a pause. The time limit
            # includes the wait for other calls.
            async with asyncio.timeout(self._limit_seconds), self._turn:
                self._verify_not_paused()
                await self._client().begin_send(message, operation_id=_operation_id(mail), polling=False)
        except TimeoutError as error:
            raise MailDelayed(f"the mail service took longer than {self._limit_seconds:g} s") from error
        except HttpResponseError as error:
            if not _is_handed_over_already(error):
                raise self._refusal(error, _operation_id(mail)) from error
        except AzureError as error:
            raise MailDelayed(f"the mail service could not be used: {type(error).__name__}") from error

    async def close(self) -> None:
        """Close the connections. The next call opens new connections."""
        opened, self._opened = self._opened, None
        for one in opened or ():
            await one.close()

    def _client(self) -> EmailClient:
        from azure.communication.email.aio import EmailClient

        if self._opened is None:
            identity = self._identity()
            # The SDK does not retry, because the mail budget would not count a retry. The due work repeats the mail.
            client = EmailClient(
                self._endpoint,
                identity,
                transport=pipeline_transport(self._transport),
                retry_total=0,
                permit_redirects=False,
            )
            self._opened = client, identity
        return self._opened[0]

    def _message(self, mail: OutgoingMail, recipient: Address) -> dict[str, Any]:
        to = {"address": recipient.addr_spec}
        if recipient.display_name:
            to["displayName"] = recipient.display_name
        return {
            "senderAddress": self._sender,
            "recipients": {"to": [to]},
            "content": {"subject": one_line(mail.subject), "plainText": mail.text, "html": mail.html},
            "headers": {**headers_of(mail), VALIDATE_MESSAGE_ID: "true"},
            "userEngagementTrackingDisabled": True,  # tracking would rewrite the link
        }

    def _verify_not_paused(self) -> None:
        """Raise `MailDelayed` during a pause that the service asked for in an earlier call."""
        if self._not_before is not None and (left := self._not_before - self._now()) > timedelta(0):
            wait = math.ceil(left.total_seconds())
            raise MailDelayed("the mail service asked for a pause", retry_after_seconds=wait)

    def _refusal(self, error: HttpResponseError, operation_id: str) -> MailDelayed | RecipientRefused:
        """Return `RecipientRefused` if the service says that the address is wrong, otherwise `MailDelayed`."""
        code, words = _code(error), _words(error)
        if error.status_code == BAD_REQUEST and "sender" not in words and any(one in words for one in RECIPIENTS_FAULT):
            return RecipientRefused(BAD_REQUEST, f"{BAD_REQUEST} {code}")
        pause = _pause(error)
        if pause is not None:
            self._not_before = self._now() + timedelta(seconds=pause)
        log.warning("mail %s was put off: %s %s", operation_id, error.status_code, code)
        return MailDelayed(f"the mail service answered {error.status_code} {code}", retry_after_seconds=pause)


def _operation_id(mail: OutgoingMail) -> str:
    """Return the operation id of the mail. It is the part of the Message-ID before the `@`."""
    return mail.message_id.strip("<>").partition("@")[0]


def _is_handed_over_already(error: HttpResponseError) -> bool:
    """Whether the service refuses the mail because it already has a mail with this Message-ID."""
    words = _words(error)
    return error.status_code == BAD_REQUEST and "messageid" in words and ("duplicate" in words or "already" in words)


def _pause(error: HttpResponseError) -> int | None:
    """Return the seconds to pause after an error, or None. A 429 needs a pause, a 5xx only with `Retry-After`."""
    if error.status_code is None or (error.status_code != TOO_MANY_REQUESTS and error.status_code < SERVERS_FAULT):
        return None
    given = getattr(error.response, "headers", {}).get("Retry-After", "")
    if given.isascii() and given.isdigit():
        return min(max(int(given), 1), LONGEST_PAUSE_SECONDS)
    return PAUSE_SECONDS if error.status_code == TOO_MANY_REQUESTS else None


def _code(error: HttpResponseError) -> str:
    """Return the service's error code. Logs and rows do not get the error message, because it can hold an address."""
    return one_line(str(error.error.code or ""))[:100] if error.error is not None else ""


def _words(error: HttpResponseError) -> str:
    """Return codes and messages of all errors in the answer, as letters and digits only."""
    errors = [error.error, *(error.error.details or ())] if error.error is not None else []
    return re.sub(r"[^a-z0-9]", "", " ".join(f"{one.code} {one.message}" for one in errors).lower())
