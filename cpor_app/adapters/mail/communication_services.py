"""
Hands mails over to Azure Communication Services.

The answer 202 is the hand-over. What becomes of the mail later comes as a delivery report, so nothing is polled. Our
Message-ID is also the operation id. So the service refuses a repeated mail as a duplicate when its first answer was
lost, and a report with either id leads to our row.

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
"""After a 429 without `Retry-After`."""
LONGEST_PAUSE_SECONDS = 24 * 60 * 60
VALIDATE_MESSAGE_ID = "x-ms-acsemail-validate-message-id"
RECIPIENTS_FAULT = ("emaildroppedallrecipientssuppressed", "invalidformatforemailaddress")
"""Code and message, as letters and digits only: the service will not send to this address."""


class CommunicationServicesMailer:
    """Sends one mail after the other with one client. The client belongs to the event loop that first uses it."""

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
        Take the resource's address and our identity. The display name of *sender* is a setting of its domain.

        *now* is real time, for pauses that the service asks for. Raises ValueError when *sender* is no address.
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
        Hand *mail* over. When this returns, this try or an earlier one has handed it over.

        Raises `RecipientRefused` when the recipient can never be reached, and `MailDelayed` for every other failure.
        """
        message = self._message(mail, recipient_of(mail))
        try:
            # One call at a time: none may run next to a call that is told to wait. The time in the queue counts too.
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
        """Close the connections; a later call opens new ones."""
        opened, self._opened = self._opened, None
        for one in opened or ():
            await one.close()

    def _client(self) -> EmailClient:
        from azure.communication.email.aio import EmailClient

        if self._opened is None:
            identity = self._identity()
            # No retry of the SDK: the mail budget would not count it. The due work tries again.
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
        """Delay a mail that waited behind a call that was told to wait."""
        if self._not_before is not None and (left := self._not_before - self._now()) > timedelta(0):
            wait = math.ceil(left.total_seconds())
            raise MailDelayed("the mail service asked for a pause", retry_after_seconds=wait)

    def _refusal(self, error: HttpResponseError, operation_id: str) -> MailDelayed | RecipientRefused:
        """Return whose failure it is: the recipient's only if the service says so, otherwise ours."""
        code, said = _code(error), _said(error)
        if error.status_code == BAD_REQUEST and "sender" not in said and any(one in said for one in RECIPIENTS_FAULT):
            return RecipientRefused(BAD_REQUEST, f"{BAD_REQUEST} {code}")
        pause = _pause(error)
        if pause is not None:
            self._not_before = self._now() + timedelta(seconds=pause)
        log.warning("mail %s was put off: %s %s", operation_id, error.status_code, code)
        return MailDelayed(f"the mail service answered {error.status_code} {code}", retry_after_seconds=pause)


def _operation_id(mail: OutgoingMail) -> str:
    """Return the id that the service uses for the mail and its reports: the id in the Message-ID."""
    return mail.message_id.strip("<>").partition("@")[0]


def _is_handed_over_already(error: HttpResponseError) -> bool:
    """Whether the service has this mail from an earlier try. We have checked the form of the id."""
    said = _said(error)
    return error.status_code == BAD_REQUEST and "messageid" in said and ("duplicate" in said or "already" in said)


def _pause(error: HttpResponseError) -> int | None:
    """Return how many seconds to wait: always after a 429, and after a 5xx if the service says so."""
    if error.status_code is None or (error.status_code != TOO_MANY_REQUESTS and error.status_code < SERVERS_FAULT):
        return None
    given = getattr(error.response, "headers", {}).get("Retry-After", "")
    if given.isascii() and given.isdigit():
        return min(max(int(given), 1), LONGEST_PAUSE_SECONDS)
    return PAUSE_SECONDS if error.status_code == TOO_MANY_REQUESTS else None


def _code(error: HttpResponseError) -> str:
    """Return the service's error code. Its message may hold an address, so logs and rows never have it."""
    return one_line(str(error.error.code or ""))[:100] if error.error is not None else ""


def _said(error: HttpResponseError) -> str:
    """Return codes and messages of all errors in the answer, as letters and digits only."""
    told = [error.error, *(error.error.details or ())] if error.error is not None else []
    return re.sub(r"[^a-z0-9]", "", " ".join(f"{one.code} {one.message}" for one in told).lower())
