"""
Finds the tenant of a domain. Entra ID publishes the tenant of each verified domain by OpenID discovery.

The address is the token issuer's address with the domain in place of the tenant's id.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from pydantic import ConfigDict, ValidationError

from cpor_app.adapters.identity.issuer_client import Fetched, FetchFailed, fetch
from cpor_app.adapters.remembered import remember
from cpor_core.errors import Retryable
from cpor_core.model.base import LateModel

_log = logging.getLogger(__name__)

FETCH_TIMEOUT_SECONDS = 5.0
ALL_TIMEOUT_SECONDS = 60.0
"""The limit for all domains of one registry entry. The next request reuses the answers that came in time."""
DOCUMENT_MAX_BYTES = 64 * 1024
KEPT_SECONDS = 600.0
"""
How long an answer is remembered. It serves a `validate=true` request and the real request after it.

The time is short, because a tenant can verify a domain at any moment.
"""
KEPT_DOMAINS = 1000
RETRY_AFTER_SECONDS = 5

_TENANT_PLACE = "{tenantid}"
_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NO_TENANT_CODES = frozenset({90002, 900023})
"""Entra's error codes for "no such tenant" and "not a valid tenant name"."""


class DomainsUnreachable(Retryable):
    """Entra ID did not answer which tenant has a domain."""


class DomainsByDiscovery:
    """Implements `ports.registry.Domains` by OpenID discovery. Answers are remembered for ten minutes."""

    def __init__(
        self,
        issuer: str,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        sandbox: bool = False,
        timeout_seconds: float = FETCH_TIMEOUT_SECONDS,
    ) -> None:
        """
        Ask the issuer with the address template *issuer*. This sends no request.

        Raises ValueError when the placeholder is not in the path. Outside the sandbox also when the template is not
        https.
        """
        parts = urlsplit(issuer)
        schemes = ("https", "http") if sandbox else ("https",)
        if parts.scheme not in schemes or issuer.count(_TENANT_PLACE) != 1 or _TENANT_PLACE not in parts.path:
            raise ValueError(f"Domains cannot be looked up at the token issuer {issuer!r}.")
        self._address = issuer + "/.well-known/openid-configuration"
        self._issuer_form = re.compile(re.escape(issuer).replace(re.escape(_TENANT_PLACE), f"({_GUID})"), re.ASCII)
        self._monotonic = monotonic
        self._timeout_seconds = timeout_seconds
        self._kept: dict[str, tuple[str | None, float]] = {}

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        """Return as the port says. A domain of another cloud has no tenant. Raises `DomainsUnreachable`."""
        try:
            async with asyncio.timeout(ALL_TIMEOUT_SECONDS):
                # One domain after the other. The first domain without an answer ends the search.
                return {domain: await self._tenant(domain.lower()) for domain in domains}
        except TimeoutError:
            raise self._unreachable("TimeoutError") from None

    async def _tenant(self, domain: str) -> str | None:
        now = self._monotonic()
        kept = self._kept.get(domain)
        if kept is not None and now - kept[1] < KEPT_SECONDS:
            return kept[0]
        tenant = await self._ask(domain)
        remember(self._kept, domain, (tenant, now), most=KEPT_DOMAINS)
        return tenant

    async def _ask(self, domain: str) -> str | None:
        address = self._address.replace(_TENANT_PLACE, quote(domain, safe=""))
        try:
            return self._tenant_in(await fetch(address, self._timeout_seconds, DOCUMENT_MAX_BYTES))
        except (FetchFailed, ValidationError) as error:
            raise self._unreachable(type(error).__name__) from None

    def _tenant_in(self, answer: Fetched) -> str | None:
        """Return the tenant that an answer names, or None. Raises FetchFailed or ValidationError for a bad answer."""
        if answer.status == HTTPStatus.BAD_REQUEST:
            if _NO_TENANT_CODES.isdisjoint(_Error.model_validate_json(answer.body).error_codes):
                raise FetchFailed("another error")
            return None
        if answer.status != HTTPStatus.OK:
            raise FetchFailed(str(answer.status))
        match = self._issuer_form.fullmatch(_Document.model_validate_json(answer.body).issuer)
        # An issuer of another form is for all tenants or for another cloud. We accept no tokens of such an issuer.
        return match[1].lower() if match is not None else None

    def _unreachable(self, why: str) -> DomainsUnreachable:
        # The domain is customer data and is not logged.
        _log.warning("The token issuer did not answer which tenant has a domain: %s", why)
        return DomainsUnreachable("A domain's tenant is not known now.", retry_after_seconds=RETRY_AFTER_SECONDS)


class _Document(LateModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    issuer: str


class _Error(LateModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    error_codes: frozenset[int]
