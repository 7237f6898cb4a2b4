"""What Bicep sets is what the service reads, with the same bounds and defaults, and nothing is forgotten."""

import re
from typing import Any

import pytest

from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.functions import TIMERS
from cpor_app.queue_names import STORAGE
from cpor_app.settings import Settings, SettingsError
from tests.infra.bicep import INFRA, MAIN, declared, decorators

NOT_IN_THE_CLOUD = {
    "CPOR_SANDBOX": "moves the clock, and trusts an issuer that is not Entra",
    "CPOR_SMTP_STARTTLS": "only a mail catcher on the same machine is talked to in the clear",
    "CPOR_TOKEN_ISSUER": "Entra ID, which is the default; another issuer would be trusted with everything",
    "CPOR_TOKEN_JWKS_URL": "where Entra's keys lie, which is the default",
    "WEBSITE_SITE_NAME": "the platform sets it",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "spans and counters go to Application Insights",
}
"""Settings that Bicep does not set, and why."""

OF_THE_PLATFORM = {
    "FINALISE_SCHEDULE",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "AZURE_TRACING_ENABLED",
    "PYDANTIC_DISABLE_PLUGINS",
    "PYTHONTZPATH",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
REFUSED_BY_FLEX = {"TZ", "WEBSITE_TIME_ZONE", "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION"}
SCHEMA: dict[str, Any] = Settings.model_json_schema()["properties"]

_VARIABLES = declared(MAIN, "variables")
OURS: dict[str, Any] = {
    **_VARIABLES["settings"]["value"],
    **_VARIABLES["smtpServer"]["value"],
    **_VARIABLES["smtpLogin"]["value"]["operator"]["operands"]["false_value"],
}
OF_THE_EXPORTER: dict[str, str] = {
    name: value for name, value in OURS.items() if name.startswith("APPLICATIONINSIGHTS_")
}
"""What Bicep tells the exporter; tests that export tell it the same."""


def _set_by_bicep() -> set[str]:
    text = (INFRA / "modules" / "function-app.bicep").read_text("utf-8")
    platform = re.search(r"^var allSettings = union\(settings, \{\n(.*?)^\}\)", text, re.MULTILINE | re.DOTALL)
    assert platform is not None
    return set(OURS) | set(re.findall(r"^  (\w+):", platform[1], re.MULTILINE))


def test_every_setting_of_the_service_is_set_or_left_out_for_a_reason() -> None:
    """A new setting has to be thought of here; one that went must go here too."""
    ours = {name for name in _set_by_bicep() if name in SCHEMA or name.startswith("CPOR_")}
    ours = {name for name in ours if not name.startswith(f"{STORAGE}__")}

    assert ours | set(NOT_IN_THE_CLOUD) == set(SCHEMA)
    assert ours & set(NOT_IN_THE_CLOUD) == set()


def test_nothing_else_is_set_than_what_something_reads() -> None:
    """The rest is for the host and the SDK, and Flex Consumption refuses some of what others take."""
    others = {name for name in _set_by_bicep() - set(SCHEMA) if not name.startswith("CPOR_")}

    assert others == OF_THE_PLATFORM
    assert others & REFUSED_BY_FLEX == set()


def test_every_schedule_and_connection_of_the_functions_is_set() -> None:
    """A `%name%` that no setting resolves stops the function."""
    names = {
        name for schedules in TIMERS.values() for text in schedules.values() for name in re.findall(r"%(\w+)%", text)
    }

    assert names
    assert names <= _set_by_bicep()


def _parameters() -> dict[str, str]:
    """Return the parameter of main.bicep that each setting is taken from, as far as it is one alone."""
    parameters = declared(MAIN, "parameters")
    found = {}
    for name, value in OURS.items():
        taken = (
            value["function"]["parameters"]["value_to_convert"]
            if isinstance(value, dict) and (value.get("function", {}).get("type") == "string")
            else value
        )
        if isinstance(taken, str) and taken in parameters:
            found[name] = taken
    return found


@pytest.mark.parametrize("setting", sorted(_parameters()))
def test_bounds_and_defaults_are_those_of_the_service(setting: str) -> None:
    """What Bicep lets through, the service takes; what an operator leaves out is the same as without Bicep."""
    wanted = SCHEMA.get(setting, {})
    parameter = declared(MAIN, "parameters")[_parameters()[setting]]
    said = decorators(parameter)

    if wanted.get("type") == "integer":
        assert (said.get("min_value"), said.get("max_value")) == (wanted.get("minimum"), wanted.get("maximum"))
        assert parameter["default"] == wanted["default"]
    if setting.startswith("CPOR_PROGRAMME_"):
        assert parameter["default"] == wanted["default"]


def test_the_service_takes_what_bicep_sets() -> None:
    """With the values that a deployment would have; storage is opened by the identity."""
    url = "https://stdata.table.core.windows.net/"
    given = {
        "CPOR_PUBLIC_URL": "https://func-abc.azurewebsites.net/api",
        "CPOR_PROGRAMME_TENANT": "0f0e0d0c-0000-4000-8000-000000000001",
        "CPOR_TOKEN_AUDIENCE": "0f0e0d0c-0000-4000-8000-000000000002",
        "CPOR_LINK_SECRETS": "0f0e0d0c-0000-4000-8000-0000000000030f0e0d0c-0000-4000-8000-000000000004",
        "CPOR_MAIL_FROM": "donotreply@0f0e0d0c.azurecomm.net",
        "CPOR_MAIL_ENDPOINT": "https://acs-abc.europe.communication.azure.com",
        "CPOR_MAIL_PER_MINUTE": "",
        **{f"{STORAGE}__{kind}ServiceUri": url.replace("table", kind) for kind in ("table", "queue", "blob")},
        f"{STORAGE}__credential": OURS[f"{STORAGE}__credential"],
        f"{STORAGE}__clientId": "0f0e0d0c-0000-4000-8000-000000000005",
    }

    settings = Settings.from_environment(given)
    connection = StorageConnection.from_environment(given, STORAGE)

    assert set(given) <= set(OURS)
    assert not settings.sandbox
    assert settings.mail_limits == (5, 10)
    assert (connection.is_emulator, connection.client_id) == (False, given[f"{STORAGE}__clientId"])


def test_a_reference_to_the_vault_that_azure_has_not_resolved_is_no_secret() -> None:
    """Its text is long enough to be one, and known to everybody."""
    given = {"CPOR_LINK_SECRETS": OURS["CPOR_LINK_SECRETS"], "CPOR_PUBLIC_URL": "https://example.com/api"}

    with pytest.raises(SettingsError, match="CPOR_LINK_SECRETS: the Key Vault reference is not resolved"):
        Settings.from_environment(given)
