"""
The mail interface of Azure Communication Services on this machine, written from its published description.

`POST /emails:send` and `GET /emails/operations/{id}` of the data plane's stable versions, and the page on reserved
headers. What the description refuses is refused: unknown fields, missing ones, a missing token, an unknown version.
What is not published (the words of an error, how a quota counts) is said where it is made up.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Annotated, Any, Self
from uuid import UUID, uuid4

from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

VERSIONS = frozenset({"2023-03-31", "2025-09-01"})
"""The stable ones."""
ENDPOINT = "https://programme.europe.communication.azure.com"
SENDER = "no-reply@mail.programme.example"
SCOPE = "https://communication.azure.com//.default"
MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>", re.ASCII)
VALIDATE = "x-ms-acsemail-validate-message-id"


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Mailbox(_Sent):
    """`EmailAddress`."""

    address: str
    display_name: str | None = None


class Content(_Sent):
    """`EmailContent`."""

    subject: str
    plain_text: str | None = None
    html: str | None = None


class Recipients(_Sent):
    """`EmailRecipients`."""

    to: Annotated[list[Mailbox], Field(min_length=1)]
    cc: list[Mailbox] = []
    bcc: list[Mailbox] = []


class Message(_Sent):
    """`EmailMessage`, without attachments, of which we have none."""

    sender_address: str
    content: Content
    recipients: Recipients
    headers: dict[str, str] = {}
    reply_to: list[Mailbox] = []
    user_engagement_tracking_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that was accepted."""

    operation_id: str
    message_id: str
    message: Message

    def report(self, status: str = "Delivered", *, internet_message_id: bool = True) -> dict[str, Any]:
        """Return Event Grid's event about it. Events of the first version had one id only."""
        data = {
            "sender": self.message.sender_address,
            "recipient": self.message.recipients.to[0].address,
            "messageId": self.operation_id,
            "status": status,
            "deliveryStatusDetails": {"statusMessage": "", "recipientMailServerHostName": "mx.contoso.example"},
            "deliveryAttemptTimestamp": "2026-11-02T09:00:00.29+00:00",
        }
        if internet_message_id:
            data["internetMessageId"] = self.message_id
        return {
            "id": str(uuid4()),
            "topic": "/subscriptions/s/resourcegroups/g/providers/microsoft.communication/communicationservices/acs",
            "subject": f"sender/{self.message.sender_address}/message/{self.operation_id}",
            "data": data,
            "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
            "dataVersion": "1.0",
            "metadataVersion": "1",
            "eventTime": "2026-11-02T09:00:01.2532364Z",
        }


@dataclass
class Quota:
    """
    A number of calls in a minute and in an hour, refused ones included.

    Whole minutes and hours are our assumption.
    """

    per_minute: int
    per_hour: int
    now: Callable[[], datetime]
    _calls: Counter[datetime] = field(default_factory=Counter)

    def count(self, at: datetime, calls: int = 1) -> None:
        """Count calls of any sender."""
        self._calls[at.replace(second=0, microsecond=0)] += calls

    def seconds_to_wait(self) -> int:
        """Count a call. Return 0 if it is allowed."""
        now = self.now()
        self.count(now)
        minute, hour = now.replace(second=0, microsecond=0), now.replace(minute=0, second=0, microsecond=0)
        if sum(calls for at, calls in self._calls.items() if at >= hour) > self.per_hour:
            return int((hour + timedelta(hours=1) - now).total_seconds())
        if self._calls[minute] > self.per_minute:
            return int((minute + timedelta(minutes=1) - now).total_seconds())
        return 0


LOST = "the answer is lost"
CUT = "the answer is cut off"
HANGS_UP = "nobody answers"
Refusal = tuple[int, str, str, Mapping[str, str]]
"""Status, code, message, headers."""


def refusal(status: int, code: str, message: str = "No.", **headers: str) -> Refusal:
    """Return an answer in the form of the service's errors. `_` in a header's name means `-`."""
    return status, code, message, {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class CommunicationServices:
    """The service. `taken` has every accepted mail. It follows its description until a test sets another answer."""

    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Of every call, in order."""
    polls: int = 0
    quota: Quota | None = None
    tokens: set[str] = field(default_factory=lambda: {"of the identity"})
    linked_domain: str = SENDER.rpartition("@")[2]
    duplicate: str = "The internet message id in the headers is a duplicate."
    """How it says so is not published."""
    on_call: Callable[[], None] | None = None
    _next: list[Refusal | str] = field(default_factory=list)

    def answer_next(self, *answers: Refusal | str) -> None:
        """Give these answers to the next calls. `LOST` and `CUT` accept the mail, and `HANGS_UP` does not."""
        self._next.extend(answers)

    async def send(self, request: web.Request) -> web.StreamResponse:
        """`Email_Send`."""
        if self.on_call is not None:
            self.on_call()
        mode = self._next.pop(0) if self._next else None
        refused = mode if isinstance(mode, tuple) else None
        seconds = self.quota.seconds_to_wait() if self.quota is not None else 0
        if seconds:
            refused = refusal(429, "TooManyRequests", Retry_After=str(seconds))
        if mode == HANGS_UP:
            return _hangs_up(request)
        taken = refused or await self._judged(request)
        if not isinstance(taken, Taken):
            status, code, message, headers = taken
            self.statuses.append(status)
            if not code:  # an answer from a proxy before the service
                return web.Response(status=status, text="<html>", content_type="text/html")
            error = {"error": {"code": code, "message": message}}
            return web.json_response(error, status=status, headers={"x-ms-error-code": code, **headers})
        self.taken.append(taken)
        self.statuses.append(202)
        if mode == LOST:
            return _hangs_up(request)
        headers = {
            "Operation-Location": f"{ENDPOINT}/emails/operations/{taken.operation_id}?api-version=2025-09-01",
            "retry-after": "30",
        }
        body = json.dumps({"id": taken.operation_id, "status": "Running", "error": None})
        if mode == CUT:
            response = web.StreamResponse(status=202, headers={**headers, "Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[:10].encode())
            return _hangs_up(request)
        return web.Response(text=body, content_type="application/json", status=202, headers=headers)

    async def _judged(self, request: web.Request) -> Taken | Refusal:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return refusal(401, "Unauthorized")
        if request.query.get("api-version") not in VERSIONS or len(request.query) > 1:
            return refusal(400, "InvalidApiVersionParameter")
        if request.content_type != "application/json":
            return refusal(415, "UnsupportedMediaType")
        given = request.headers.get("Operation-Id")
        try:
            ids = [UUID(one) for one in (given, request.headers.get("x-ms-client-request-id")) if one is not None]
            message = Message.model_validate_json(await request.read())
        except (ValidationError, ValueError) as error:
            return refusal(400, "BadRequest", str(error))
        if message.sender_address.rpartition("@")[2] != self.linked_domain:
            return refusal(404, "DomainNotLinked", "The specified sender domain has not been linked.")
        if message.content.plain_text is None and message.content.html is None:
            return refusal(400, "BadRequest", "There is no content.")
        wanted = message.headers.get("Message-ID")
        known = {mail.message_id for mail in self.taken}
        valid = wanted is not None and MESSAGE_ID.fullmatch(wanted) is not None and wanted not in known
        if not valid and message.headers.get(VALIDATE) == "true":
            return refusal(400, "BadRequest", self.duplicate if wanted in known else "No internet message id.")
        operation_id = str(ids[0]) if given is not None else str(uuid4())
        return Taken(operation_id, wanted if wanted is not None and valid else f"<{uuid4()}@azure.example>", message)

    async def status(self, _: web.Request) -> web.StreamResponse:
        """`Email_GetSendResult`."""
        self.polls += 1
        return web.json_response({"id": str(uuid4()), "status": "Succeeded"})


def _hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Identity:
    """A managed identity that gets a token from Entra. `closed` is set after its close."""

    def __init__(self, token: str = "of the identity") -> None:
        self.token = token
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == (SCOPE,)
        return AccessToken(self.token, 2**33)

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class ToThisMachine(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """
    The SDK's own transport with another address: the SDK sends a token by https only, and this machine has no
    certificate.
    """

    def __init__(self, url: str) -> None:
        self._inner: AsyncHttpTransport[HttpRequest, AsyncHttpResponse] = AioHttpTransport()
        self._url = url

    async def send(self, request: HttpRequest, **config: Any) -> AsyncHttpResponse:
        assert request.url.startswith(f"{ENDPOINT}/")
        request.url = request.url.replace(ENDPOINT, self._url, 1)
        return await self._inner.send(request, **config)

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


@asynccontextmanager
async def running_communication_services() -> AsyncIterator[CommunicationServices]:
    """Start the service on a free port of this machine."""
    service = CommunicationServices()
    app = web.Application()
    app.router.add_post("/emails:send", service.send)
    app.router.add_get("/emails/operations/{id}", service.status)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()
