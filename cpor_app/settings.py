"""
Every setting of the service, read once from the environment; `docs/settings.md` lists them from here.

The sandbox (`CPOR_SANDBOX=1`) can move the clock and trusts a local issuer, so it is refused on any storage that is not
the emulator or an account named for sandbox use.
"""

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from cpor_core.model.base import InstantOrDay

PROGRAMME_TENANT_OF_THE_SANDBOX = "00000000-0000-4000-8000-00000000c0de"
ENTRA_ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"
ENTRA_KEYS = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
AZURES_MAIL_DOMAINS = ".azurecomm.net"
FIRST_QUOTA_OF_AZURES_DOMAIN, FIRST_QUOTA_OF_OWN_DOMAIN = (5, 10), (30, 100)
"""Mails a minute and an hour that Communication Services takes until more is asked for."""
STORAGE = "CPOR_STORAGE"
"""The name of the storage connection, in the clients and in the queue triggers."""


def environment() -> Mapping[str, str]:
    """Return the environment of the process; nothing else reads it."""
    return os.environ


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what is needed."""


def _setting(name: str) -> AliasChoices:
    return AliasChoices(name)


class Settings(BaseModel):
    """The settings of an operator; the description of each field is its line in `docs/settings.md`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    public_url: Annotated[  # decision 26
        str,
        Field(
            validation_alias=_setting("CPOR_PUBLIC_URL"),
            pattern=r"^https?://[^\s?#]+/api$",
            description="The address of the service, ending in `/api`: the only source of links.",
        ),
    ]
    sandbox: Annotated[
        bool,
        Field(
            validation_alias=_setting("CPOR_SANDBOX"),
            description="1 on a developer's machine only: the clock can be moved, and a local issuer is trusted.",
        ),
    ] = False
    programme_tenant: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_PROGRAMME_TENANT"),
            pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            description="The only Entra tenant from which the roles `Program.*` and `Mail.Events` are accepted.",
        ),
    ] = PROGRAMME_TENANT_OF_THE_SANDBOX
    programme_country: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_PROGRAMME_COUNTRY"),
            pattern=r"^[A-Z]{2}$",
            description="The country of the programme: its holidays are not business days for the programme's own "
            "limits.",
        ),
    ] = "US"
    programme_time_zone: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_PROGRAMME_TIME_ZONE"),
            description="The IANA time zone in which the programme's days end.",
        ),
    ] = "UTC"
    start_review_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_START_REVIEW_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days that a reviewer has to take a claim up. A timer never decides; overdue "
            "claims are shown.",
        ),
    ] = 5
    decide_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_DECIDE_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days that a reviewer has to decide, or to answer a dispute.",
        ),
    ] = 5
    partner_answer_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_PARTNER_ANSWER_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days, in the partner's calendar, to answer what a reviewer asks for.",
        ),
    ] = 5
    draft_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_DRAFT_DAYS"), ge=1, le=3650, description="Days after which a draft lapses."
        ),
    ] = 90
    retention_months: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_RETENTION_MONTHS"),
            ge=1,
            le=240,
            description="Months after which the personal data of a rejected, declined, withdrawn or ended claim is"
            " erased: contacts, addresses, comments, evidence. Fixed for a claim when it is closed.",
        ),
    ] = 24
    sample_percent: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_SAMPLE_PERCENT"),
            ge=0,
            le=100,
            description="The percentage of automatically reviewed claims that `GET /reviews?sample=true` shows.",
        ),
    ] = 10
    imports_before: Annotated[
        InstantOrDay | None,
        Field(
            validation_alias=_setting("CPOR_IMPORTS_BEFORE"),
            description="An instant, or a day, which means its first instant in UTC. An association of an "
            "engagement that can be claimed is imported only if it began before this; left out: none "
            "is.",
        ),
    ] = None
    dry_runs_per_hour: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_DRY_RUNS_PER_HOUR"),
            ge=1,
            description="Dry runs an hour for each organisation; the limit stops attempts to find out who is a "
            "customer.",
        ),
    ] = 100
    token_audience: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_AUDIENCE"),
            min_length=1,
            description="The client id of the app registration: a token's `aud`.",
        ),
    ]
    token_issuer: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_ISSUER"),
            description="A token's `iss`, with `{tenantid}` in place of the tenant.",
        ),
    ] = ENTRA_ISSUER
    token_jwks_url: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_JWKS_URL"),
            description="The address of the issuer's signing keys; https, in the sandbox also a file.",
        ),
    ] = ENTRA_KEYS
    domain_check: Annotated[
        bool,
        Field(
            validation_alias=_setting("CPOR_DOMAIN_CHECK"),
            description="1: when a customer is registered, the token issuer is asked whether its domains are that "
            "tenant's.",
        ),
    ] = False
    link_secrets: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_LINK_SECRETS"),
            min_length=32,
            description="One or two secrets of 32 characters or more, newest first, with a comma between them. The"
            " first signs links, nonces and cursors; both verify them.",
        ),
    ]
    mail_from: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_MAIL_FROM"),
            pattern=r"^[^@\s]+@[A-Za-z0-9.-]+$",
            description="The sender's address; its domain is in every Message-ID.",
        ),
    ]
    mail_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_ENDPOINT"),
            pattern=r"^https://[A-Za-z0-9.-]+/?$",
            description="The address of Azure Communication Services, which the managed identity may use, to send "
            "mails; left out: SMTP.",
        ),
    ] = None
    smtp_host: Annotated[str, Field(validation_alias=_setting("CPOR_SMTP_HOST"), description="The mail server.")] = (
        "127.0.0.1"
    )
    smtp_port: Annotated[
        int,
        Field(validation_alias=_setting("CPOR_SMTP_PORT"), ge=1, le=65535, description="The port of the mail server."),
    ] = 587
    smtp_starttls: Annotated[
        bool,
        Field(
            validation_alias=_setting("CPOR_SMTP_STARTTLS"),
            description="0 only for a mail catcher on the same machine.",
        ),
    ] = True
    smtp_username: Annotated[
        str | None, Field(validation_alias=_setting("CPOR_SMTP_USERNAME"), description="Left out: no log-in.")
    ] = None
    smtp_password: Annotated[
        str | None, Field(validation_alias=_setting("CPOR_SMTP_PASSWORD"), description="The password of that user.")
    ] = None
    mail_per_minute: Annotated[
        int | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_PER_MINUTE"),
            ge=1,
            description="Mails that the whole deployment sends in a minute; left out: no limit with SMTP; with "
            "`CPOR_MAIL_ENDPOINT` Azure's first quota, 30, or 5 from a domain of Azure's.",
        ),
    ] = None
    mail_per_hour: Annotated[
        int | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_PER_HOUR"),
            ge=1,
            description="Mails that the whole deployment sends in an hour; left out: no limit with SMTP; with "
            "`CPOR_MAIL_ENDPOINT` Azure's first quota, 100, or 10 from a domain of Azure's.",
        ),
    ] = None
    application_insights: Annotated[
        str | None,
        Field(
            validation_alias=_setting("APPLICATIONINSIGHTS_CONNECTION_STRING"),
            description="The Application Insights that spans and counters are sent to; left out: none.",
        ),
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=_setting("OTEL_EXPORTER_OTLP_ENDPOINT"),
            pattern=r"^https?://",
            description="The collector (OTLP over HTTP) that spans and counters are sent to; left out: none.",
        ),
    ] = None
    site_name: Annotated[
        str | None,
        Field(
            validation_alias=_setting("WEBSITE_SITE_NAME"),
            description="The name of the function app, set by the platform. Spans and counters are sent under it, "
            "like those of the host; left out: `cpor`.",
        ),
    ] = None
    writes_per_second: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_WRITES_PER_SECOND"),
            ge=0,
            description="Writes a second that one instance takes from one organisation; more get 429; 0: no limit.",
        ),
    ] = 50

    @property
    def secrets(self) -> tuple[str, ...]:
        """The link secrets, newest first."""
        return tuple(part.strip() for part in self.link_secrets.split(",") if part.strip())

    @property
    def mail_limits(self) -> tuple[int | None, int | None]:
        """Mails a minute and an hour: from the settings, else the first quota of the mail system."""
        first: tuple[int | None, int | None] = (None, None)
        if self.mail_endpoint is not None:
            azures = self.mail_from.lower().endswith(AZURES_MAIL_DOMAINS)
            first = FIRST_QUOTA_OF_AZURES_DOMAIN if azures else FIRST_QUOTA_OF_OWN_DOMAIN
        return self.mail_per_minute or first[0], self.mail_per_hour or first[1]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Return the settings. Raises SettingsError that names the setting."""
        given = {name: value for name, value in (environment() if environ is None else environ).items() if value != ""}
        verify_references_are_resolved(given)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            message = f"settings: {wrong}. docs/settings.md explains each."
            raise SettingsError(message) from None
        if len(min(settings.secrets, key=len, default="")) < 32:  # noqa: PLR2004 - as the setting's description says
            message = "settings: CPOR_LINK_SECRETS: each secret needs 32 characters or more."
            raise SettingsError(message)
        return settings


def verify_references_are_resolved(given: Mapping[str, str]) -> None:
    """
    Raise SettingsError for a setting that still holds a Key Vault reference.

    While the identity may not read the vault, Azure gives the reference in place of the secret. Anybody can guess that
    text, so links must not be signed with it.
    """
    for name, value in given.items():
        if name.startswith("CPOR_") and value.startswith("@Microsoft.KeyVault("):
            message = f"settings: {name}: the Key Vault reference is not resolved. docs/deploying.md says what to do."
            raise SettingsError(message)
