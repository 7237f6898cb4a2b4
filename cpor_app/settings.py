"""
Every setting of the service. The service reads them once, from the environment.

`make docs` writes the table in `docs/settings.md` from this file. The sandbox (`CPOR_SANDBOX=1`) can move the clock and
trusts a local issuer. So the service refuses that setting on real storage: it accepts only the emulator, or an account
with `sandbox` in its name.
"""

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import AliasChoices, ConfigDict, Field, ValidationError

from cpor_core.model.base import InstantOrDay, LateModel

PROGRAMME_TENANT_OF_THE_SANDBOX = "00000000-0000-4000-8000-00000000c0de"
ENTRA_ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"
ENTRA_KEYS = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
AZURE_MAIL_DOMAIN = ".azurecomm.net"
"""The ending of every sender domain that Communication Services itself provides."""
FIRST_QUOTA_OF_AZURE_DOMAIN = (5, 10)
"""Mails per minute and per hour that a new Communication Services resource may send from a domain of Azure."""
FIRST_QUOTA_OF_OWN_DOMAIN = (30, 100)
"""The same for a verified domain of the operator. Microsoft raises both quotas on request."""


def environment() -> Mapping[str, str]:
    """Return the environment of the process. No other function reads it."""
    return os.environ


class SettingsError(Exception):
    """A setting is missing or wrong. The message names the setting and says what is needed."""


def _setting(name: str) -> AliasChoices:
    return AliasChoices(name)


class Settings(LateModel):
    """The settings that an operator chooses. The description of each field is a line in `docs/settings.md`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    public_url: Annotated[  # decision 26
        str,
        Field(
            validation_alias=_setting("CPOR_PUBLIC_URL"),
            pattern=r"^https?://[^\s?#]+/api$",
            description="The address of the service, ending in `/api`. All links begin with it.",
        ),
    ]
    sandbox: Annotated[
        bool,
        Field(
            validation_alias=_setting("CPOR_SANDBOX"),
            description="1 on a developer's machine only. Then the clock can be moved, and a local issuer is trusted.",
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
            description="The programme's country. The reviewers' time limits do not count that country's holidays.",
        ),
    ] = "US"
    programme_time_zone: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_PROGRAMME_TIME_ZONE"),
            description="The IANA time zone of the programme. The reviewers' time limits end at midnight there.",
        ),
    ] = "UTC"
    start_review_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_START_REVIEW_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days until a reviewer should start the review of a claim. The API shows a late "
            "review as overdue. Time alone never decides a claim.",
        ),
    ] = 5
    decide_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_DECIDE_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days until a reviewer should decide a claim, or a dispute.",
        ),
    ] = 5
    partner_answer_business_days: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_PARTNER_ANSWER_BUSINESS_DAYS"),
            ge=1,
            le=60,
            description="Business days in which a partner must answer a reviewer, in the partner's own calendar.",
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
            description="Months after which the personal data of a rejected, declined, withdrawn or ended claim is "
            "erased: contacts, addresses, comments, evidence. The day is set when the claim closes. A later change of "
            "this setting does not move that day.",
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
            description="An instant, or a day, which begins at midnight UTC. Some engagements can be claimed. Their "
            "associations are imported only if they began before this instant. If not set: such associations are not "
            "imported.",
        ),
    ] = None
    dry_runs_per_hour: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_DRY_RUNS_PER_HOUR"),
            ge=1,
            description="Dry runs per hour that an organisation may make. Without a limit, a caller could find out "
            "which companies are customers.",
        ),
    ] = 100
    token_audience: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_AUDIENCE"),
            min_length=1,
            description="The client id of the app registration. A token must have it as `aud`.",
        ),
    ]
    token_issuer: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_ISSUER"),
            description="The `iss` that a token must have. The service puts the token's tenant in place of "
            "`{tenantid}`.",
        ),
    ] = ENTRA_ISSUER
    token_jwks_url: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_TOKEN_JWKS_URL"),
            description="The address of the issuer's signing keys. It begins with https. The sandbox also accepts "
            "http and a file.",
        ),
    ] = ENTRA_KEYS
    domain_check: Annotated[
        bool,
        Field(
            validation_alias=_setting("CPOR_DOMAIN_CHECK"),
            description="1: when an operator registers a customer, the service asks the token issuer whether the "
            "customer's domains belong to the customer's tenant.",
        ),
    ] = False
    link_secrets: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_LINK_SECRETS"),
            min_length=32,
            description="One or two secrets of 32 characters or more, newest first, with a comma between them. The "
            "first secret signs links, nonces and cursors. Both secrets verify them.",
        ),
    ]
    mail_from: Annotated[
        str,
        Field(
            validation_alias=_setting("CPOR_MAIL_FROM"),
            pattern=r"^[^@\s]+@[A-Za-z0-9.-]+$",
            description="The sender's address. Every Message-ID ends with the domain of that address.",
        ),
    ]
    mail_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_ENDPOINT"),
            pattern=r"^https://[A-Za-z0-9.-]+/?$",
            description="The address of Azure Communication Services, to send mails. The app's managed identity needs "
            "a role there. If not set: SMTP sends the mails.",
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
        str | None,
        Field(
            validation_alias=_setting("CPOR_SMTP_USERNAME"),
            description="The user at the mail server. If not set: no log-in.",
        ),
    ] = None
    smtp_password: Annotated[
        str | None,
        Field(validation_alias=_setting("CPOR_SMTP_PASSWORD"), description="The password of `CPOR_SMTP_USERNAME`."),
    ] = None
    mail_per_minute: Annotated[
        int | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_PER_MINUTE"),
            ge=1,
            description="Mails that the whole deployment may send in a minute. If not set: SMTP has no limit, and "
            "`CPOR_MAIL_ENDPOINT` has Azure's first quota: 30, or 5 if the sender's domain belongs to Azure.",
        ),
    ] = None
    mail_per_hour: Annotated[
        int | None,
        Field(
            validation_alias=_setting("CPOR_MAIL_PER_HOUR"),
            ge=1,
            description="Mails that the whole deployment may send in an hour. If not set: SMTP has no limit, and "
            "`CPOR_MAIL_ENDPOINT` has Azure's first quota: 100, or 10 if the sender's domain belongs to Azure.",
        ),
    ] = None
    application_insights: Annotated[
        str | None,
        Field(
            validation_alias=_setting("APPLICATIONINSIGHTS_CONNECTION_STRING"),
            description="The Application Insights resource that gets spans and counters. If not set: none is "
            "sent there.",
        ),
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=_setting("OTEL_EXPORTER_OTLP_ENDPOINT"),
            pattern=r"^https?://",
            description="The collector (OTLP over HTTP) that gets spans and counters. If not set: none is sent there.",
        ),
    ] = None
    site_name: Annotated[
        str | None,
        Field(
            validation_alias=_setting("WEBSITE_SITE_NAME"),
            description="The name of the function app, set by the platform. Spans and counters carry this name, as "
            "those of the host do. If not set: they carry `cpor`.",
        ),
    ] = None
    writes_per_second: Annotated[
        int,
        Field(
            validation_alias=_setting("CPOR_WRITES_PER_SECOND"),
            ge=0,
            description="Writes per second that one instance accepts from one organisation. Further writes get 429. "
            "0: no limit.",
        ),
    ] = 50

    @property
    def secrets(self) -> tuple[str, ...]:
        """The link secrets, newest first."""
        return tuple(part.strip() for part in self.link_secrets.split(",") if part.strip())

    @property
    def mail_limits(self) -> tuple[int | None, int | None]:
        """Mails per minute and per hour, from the settings or else from the first quota. None: no limit."""
        first: tuple[int | None, int | None] = (None, None)
        if self.mail_endpoint is not None:
            is_azure_domain = self.mail_from.lower().endswith(AZURE_MAIL_DOMAIN)
            first = FIRST_QUOTA_OF_AZURE_DOMAIN if is_azure_domain else FIRST_QUOTA_OF_OWN_DOMAIN
        return self.mail_per_minute or first[0], self.mail_per_hour or first[1]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Return the settings. Raises `SettingsError` if a setting is missing or wrong."""
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
    Raise `SettingsError` for a setting that still holds a Key Vault reference.

    Azure gives the reference in place of the secret while the app's identity has no right to read the vault. Everybody
    can guess the reference. So it must not sign links.
    """
    for name, value in given.items():
        if name.startswith("CPOR_") and value.startswith("@Microsoft.KeyVault("):
            message = f"settings: {name}: the Key Vault reference is not resolved. docs/deploying.md says what to do."
            raise SettingsError(message)
