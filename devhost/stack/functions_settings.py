"""The settings of the functions on a developer's machine."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from cpor_app.queue_names import STORAGE
from devhost.host.cannot_start import CannotStart
from devhost.stack.issuer import AUDIENCE, ISSUER, PROGRAMME_TENANT, LocalIssuer
from devhost.stack.tcp_ports import StackPorts
from devhost.stack.token import DEFAULT_STATE_DIR

EACH_MINUTE = "0 * * * * *"
SENDER = "no-reply@cpor.invalid"
IMPORTS_BEFORE = "2026-11-01"
"""Associations that began before this day can be imported."""
# Azurite's account and key. They are public, and the same on every machine.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def public_url(ports: StackPorts) -> str:
    """Return the address of the API."""
    return f"http://127.0.0.1:{ports.http}/api"


def mail_url(ports: StackPorts) -> str:
    """Return the address of the mail catcher's page. Its REST API is under `/email`."""
    return f"http://127.0.0.1:{ports.mail}"


def storage_connection(ports: StackPorts) -> str:
    """Return the connection string of the local storage."""
    services = {name: ports.azurite + offset for offset, name in enumerate(("Blob", "Queue", "Table"))}
    return ";".join(
        [
            "DefaultEndpointsProtocol=http",
            f"AccountName={_ACCOUNT}",
            f"AccountKey={_KEY}",
            *(f"{name}Endpoint=http://127.0.0.1:{port}/{_ACCOUNT}" for name, port in services.items()),
        ]
    )


def functions_environment(
    ports: StackPorts, issuer: LocalIssuer, secret: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return *environ* with the settings of the sandbox. *environ* can only change the first three settings."""
    storage = storage_connection(ports)
    return {
        "FINALISE_SCHEDULE": EACH_MINUTE,
        "CPOR_MAIL_FROM": SENDER,
        "CPOR_IMPORTS_BEFORE": IMPORTS_BEFORE,
        **{name: value for name, value in environ.items() if value},
        "AzureWebJobsStorage": storage,
        STORAGE: storage,
        "CPOR_SANDBOX": "1",
        "CPOR_PUBLIC_URL": public_url(ports),
        "CPOR_PROGRAMME_TENANT": PROGRAMME_TENANT,
        "CPOR_TOKEN_AUDIENCE": AUDIENCE,
        "CPOR_TOKEN_ISSUER": ISSUER,
        "CPOR_TOKEN_JWKS_URL": issuer.jwks_url,
        "CPOR_LINK_SECRETS": secret,
        "CPOR_SMTP_HOST": "127.0.0.1",
        "CPOR_SMTP_PORT": str(ports.smtp),
        "CPOR_SMTP_STARTTLS": "0",
        # The same as in the cloud: UTC, the time zones of the package, no plugins, and no spans of the storage SDK.
        "TZ": "UTC",
        "PYTHONTZPATH": "",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        "AZURE_TRACING_ENABLED": "false",
    }


def link_secret(state_dir: Path) -> str:
    """Return the secret that signs links. It is stored in the state directory, so old links stay valid."""
    path = state_dir / "link-secret"
    if not path.exists():
        drawn = state_dir / "link-secret.new"
        drawn.touch(mode=0o600)
        drawn.write_text(secrets.token_urlsafe(32), "ascii")
        drawn.rename(path)
    return path.read_text("ascii").strip()


def without_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with settings that make calls to this machine without a proxy."""
    direct = ",".join(filter(None, (environ.get("no_proxy") or environ.get("NO_PROXY"), "127.0.0.1", "localhost")))
    return {**environ, "no_proxy": direct, "NO_PROXY": direct}


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return the state directory that *environ* names. Create it if it does not exist. Raises CannotStart."""
    path = Path(environ.get("CPOR_STATE_DIR") or DEFAULT_STATE_DIR).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotStart(f"CPOR_STATE_DIR: {path} cannot be used: {error.strerror}") from error
    return path
