"""
Calls the receivers of webhooks. A call sends a CloudEvents 1.0 document, signed in the form of Standard Webhooks.

Partners choose the URLs, so a call must never reach an address inside our network. We resolve the host name ourselves,
check each of its addresses, and connect only to a checked address. So it does no harm if the name resolves to another
address a moment later. Calls follow no redirect and use no proxy.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from cpor_core.errors import Refused
from cpor_core.model.base import rfc3339
from cpor_core.model.webhook import CallOutcome, Delivery
from cpor_core.ports.feed import CallAnswer

if TYPE_CHECKING:
    import ssl

    from aiohttp.abc import AbstractResolver, ResolveResult

SECONDS_A_CALL = 15
SECONDS_TO_RESOLVE = 5
READ_BYTES = 1024
"""The part of an answer that is read. Only the status counts."""
ASKS_TO_WAIT = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
LONGEST_WAIT = timedelta(days=3)
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b::/96",  # NAT64: translated to any IPv4 address
        "64:ff9b:1::/48",
        "fec0::/10",  # private addresses of an older standard
        "2002::/16",  # 6to4: contains any IPv4 address
        "2001::/32",  # Teredo: contains any IPv4 address
        "100.64.0.0/10",  # shared by the customers of a provider
        "3fff::/20",  # for documentation (RFC 9637); Python 3.11 calls it global
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",  # a service of Azure that each machine in Azure can reach
    )
)
"""Networks that we never call, although some version of `ipaddress` calls them global."""
HOST = re.compile(
    r"(?:[a-z0-9_][a-z0-9_-]*\.)*(?!0x[0-9a-f]*$)(?=[0-9-]*[a-z])[a-z0-9][a-z0-9-]*"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
    r"|[0-9a-f.]*:[0-9a-f:.]*",
    re.ASCII,
)
"""A name, an IPv4 or an IPv6 address. Its form leaves no doubt, so the HTTP client reads the same host as we do."""
BLANK = re.compile(r"[\x00-\x20\x7f]")
SIGNED_BY = "v1"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(Exception):
    """We never call this address."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return each address that *host* has now. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class WebhookCalls:
    """Implements `ports.feed.Receivers` over HTTP."""

    def __init__(
        self,
        source: str,
        real_now: Callable[[], datetime],
        *,
        anywhere: bool = False,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        Send events with *source* as their source. This sends no request.

        *anywhere* allows http and private addresses in the sandbox. *tls* lets tests trust other certificate issuers.
        """
        self._source = source
        self._real_now = real_now
        self._anywhere = anywhere
        self._resolve = resolve
        self._tls = tls

    async def verify(self, url: str) -> None:
        """Raise `UrlNotAllowed` for a URL that we never call. A host name that does not resolve yet is allowed."""
        try:
            host, port = self._target(url)
            if not self._anywhere:
                await self._addresses(host, port)
        except AddressRefused as refused:
            raise Refused(
                "UrlNotAllowed",
                f"This address is not called: {refused}.",
                target="url",
                resolution="Give an https address at a public host, without user name or fragment.",
            ) from None
        except OSError:
            return

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        import aiohttp  # the import takes 100 ms, and few instances need it

        body = event(self._source, name, delivery)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "cpor-webhooks",
            **signed(secrets, delivery.webhook_id, self._real_now(), body),
        }
        try:
            self._target(url)
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        resolver=self._resolver(), use_dns_cache=False, force_close=True, ssl=self._tls or True
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=SECONDS_A_CALL),
                    auto_decompress=False,
                    trust_env=False,
                    read_bufsize=READ_BYTES,
                ) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return CallAnswer(CallOutcome.ANSWERED, response.status, self._wait(response.status, response.headers))
        except AddressRefused:
            return CallAnswer(CallOutcome.ADDRESS_REFUSED)
        except TimeoutError:
            return CallAnswer(CallOutcome.TIMED_OUT)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL):
            return CallAnswer(CallOutcome.NOT_REACHED)
        except (aiohttp.ClientError, OSError):
            return CallAnswer(CallOutcome.HUNG_UP)

    def _target(self, url: str) -> tuple[str, int]:
        """Return host and port. Raises `AddressRefused`."""
        if BLANK.search(url) is not None:  # `urlsplit` removes tabs and line ends, so we would check another URL
            raise AddressRefused("it is malformed")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise AddressRefused("it is malformed") from None
        self._verify_form(parts, host)
        if not self._anywhere:
            _verify_literal(host)
        return host, port or (443 if parts.scheme == "https" else 80)

    def _verify_form(self, parts: SplitResult, host: str) -> None:
        schemes = ("https", "http") if self._anywhere else ("https",)
        if parts.scheme not in schemes:
            raise AddressRefused(f"it must begin with {schemes[0]}://")
        if HOST.fullmatch(host) is None or parts.port == 0 or "\\" in parts.netloc:
            raise AddressRefused("it is malformed")
        if "@" in parts.netloc:
            raise AddressRefused("it has a user name")
        if parts.fragment:
            raise AddressRefused("it has a fragment")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Return each address of *host*. Raises `AddressRefused` when one of them is not public, and OSError."""
        try:
            async with asyncio.timeout(SECONDS_TO_RESOLVE):
                found = await self._resolve(host, port)
        except UnicodeError:  # a label of the name is not valid
            raise AddressRefused("it is malformed") from None
        if not self._anywhere and not all(is_public(address) for address in found):
            raise AddressRefused("its host is not public")
        return found

    def _resolver(self) -> AbstractResolver:
        from aiohttp.abc import AbstractResolver

        addresses = self._addresses

        class Checked(AbstractResolver):
            """Gives the HTTP client the addresses that we checked, so that the client resolves no name."""

            async def resolve(
                self,
                host: str,
                port: int = 0,
                family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the client passes it
            ) -> list[ResolveResult]:
                return [
                    {
                        "hostname": host,
                        "host": address,
                        "port": port,
                        "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                        "proto": socket.IPPROTO_TCP,
                        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                    }
                    for address in await addresses(host, port)
                ]

            async def close(self) -> None:
                """Do nothing, because nothing is open."""

        return Checked()

    def _wait(self, status: int, headers: Mapping[str, str]) -> timedelta | None:
        """Return how long a busy receiver asks us to wait. Its header has a number of seconds or a date."""
        asked = headers.get("Retry-After", "").strip()
        if status not in ASKS_TO_WAIT or not asked:
            return None
        if asked.isdecimal() and asked.isascii():
            return timedelta(seconds=min(int(asked[:9]), LONGEST_WAIT.total_seconds()))
        try:
            until = parsedate_to_datetime(asked)
        except (ValueError, OverflowError):
            return None
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return min(max(until - self._real_now(), timedelta(0)), LONGEST_WAIT)


def _verify_literal(host: str) -> None:
    """Raise `AddressRefused` for a numeric address that is not public. The client does not pass it to `_resolver`."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_public(host):
        raise AddressRefused("its host is not public")


def is_public(address: str) -> bool:
    """Whether *address* is public: neither private nor reserved for a special use."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    special = ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback
    return (
        ip.is_global
        and not special
        and not ip.is_link_local
        and not any(ip in network for network in NOT_PUBLIC if network.version == ip.version)
    )


def event(source: str, name: str, delivery: Delivery) -> bytes:
    """Return an event as a CloudEvents 1.0 document in JSON. Each try of a delivery sends the same bytes."""
    change = delivery.change
    document: dict[str, object] = {
        "specversion": "1.0",
        "id": delivery.event_id,
        "source": source,
        "type": delivery.type,
        "time": rfc3339(change.at if change is not None else delivery.created_at),
        "datacontenttype": "application/json",
    }
    if change is not None:
        document["subject"] = change.claim_id
        document["data"] = change.model_dump(mode="json", by_alias=True)
    else:
        document["data"] = {"webhook": name}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def signed(secrets: Sequence[str], webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with one signature for each secret."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode(), timestamp.encode(), body))
    keys = (base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets)
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"{SIGNED_BY},{signature}" for signature in signatures),
    }
