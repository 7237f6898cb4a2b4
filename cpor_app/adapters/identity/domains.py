"""
Whose domain is it? Entra ID tells everybody, of each domain that a tenant has verified, by OpenID discovery.

The address follows from the token issuer: the domain stands where a tenant's id stands otherwise.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from cpor_app.adapters.identity.issuer_client import Fetched, FetchFailed, fetch
from cpor_core.errors import Retryable

_log = logging.getLogger(__name__)

FETCH_TIMEOUT_SECONDS = 5.0
ALL_TIMEOUT_SECONDS = 60.0
"""For all domains of one entry together: what was learned until then is known when the request comes again."""
DOCUMENT_MAX_BYTES = 64 * 1024
KEPT_SECONDS = 600.0
"""Long enough for a look with `validate=true` and the request after it; short, since a domain may just be verified."""
KEPT_DOMAINS = 1000
RETRY_AFTER_SECONDS = 5

_TENANT_PLACE = "{tenantid}"
_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NOBODYS = frozenset({90002, 900023})
"""Entra's error codes: no such tenant, and no name that a tenant could have."""


class DomainsUnreachable(Retryable):
    """Entra ID did not say whose a domain is."""


class DomainsByDiscovery:
    """Implements `ports.registry.Domains` by OpenID discovery: what was answered is kept for ten minutes."""

    def __init__(
        self,
        issuer: str,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        sandbox: bool = False,
        timeout_seconds: float = FETCH_TIMEOUT_SECONDS,
    ) -> None:
        """
        Ask the issuer of that template. Nothing is sent yet.

        Raises ValueError for one whose host a domain could change, and, outside the sandbox, for one without https.
        """
        parts = urlsplit(issuer)
        schemes = ("https", "http") if sandbox else ("https",)
        if parts.scheme not in schemes or issuer.count(_TENANT_PLACE) != 1 or _TENANT_PLACE not in parts.path:
            raise ValueError(f"Domains cannot be looked up at the token issuer {issuer!r}.")
        self._address = issuer + "/.well-known/openid-configuration"
        self._named = re.compile(re.escape(issuer).replace(re.escape(_TENANT_PLACE), f"({_GUID})"), re.ASCII)
        self._monotonic = monotonic
        self._timeout_seconds = timeout_seconds
        self._kept: dict[str, tuple[str | None, float]] = {}

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        """Return the tenant of each domain, None for one that no tenant of this cloud has. Raises Retryable."""
        try:
            async with asyncio.timeout(ALL_TIMEOUT_SECONDS):
                # One after the other: the first that gets no answer ends it.
                return {domain: await self._tenant(domain.lower()) for domain in domains}
        except TimeoutError:
            raise self._unreachable("TimeoutError") from None

    async def _tenant(self, domain: str) -> str | None:
        now = self._monotonic()
        kept = self._kept.get(domain)
        if kept is not None and now - kept[1] < KEPT_SECONDS:
            return kept[0]
        tenant = await self._asked(domain)
        self._kept.pop(domain, None)  # to stand last again: the oldest go first
        self._kept[domain] = (tenant, now)
        while len(self._kept) > KEPT_DOMAINS:
            del self._kept[next(iter(self._kept))]
        return tenant

    async def _asked(self, domain: str) -> str | None:
        address = self._address.replace(_TENANT_PLACE, quote(domain, safe=""))
        try:
            return self._tenant_in(await fetch(address, self._timeout_seconds, DOCUMENT_MAX_BYTES))
        except (FetchFailed, ValidationError) as error:
            raise self._unreachable(type(error).__name__) from None

    def _tenant_in(self, answer: Fetched) -> str | None:
        """Return the tenant that an answer names. Raises FetchFailed, ValidationError for one that settles nothing."""
        if answer.status == HTTPStatus.BAD_REQUEST:
            if _NOBODYS.isdisjoint(_Error.model_validate_json(answer.body).error_codes):
                raise FetchFailed("another error")
            return None
        if answer.status != HTTPStatus.OK:
            raise FetchFailed(str(answer.status))
        named = self._named.fullmatch(_Document.model_validate_json(answer.body).issuer)
        # An issuer of another form is that of all tenants, or of another cloud, whose tokens are not taken either.
        return named[1].lower() if named is not None else None

    def _unreachable(self, why: str) -> DomainsUnreachable:
        # The domain is the customer's: it is not logged.
        _log.warning("The token issuer did not say whose a domain is: %s", why)
        return DomainsUnreachable("Whose a domain is cannot be found out now.", retry_after_seconds=RETRY_AFTER_SECONDS)


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    issuer: str


class _Error(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    error_codes: frozenset[int]
