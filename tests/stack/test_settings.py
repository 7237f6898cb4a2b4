"""What the stack reads from the environment, and what it gives to the functions."""

import json
import os
from pathlib import Path

import pytest

from cpor_app.queue_names import STORAGE
from cpor_app.settings import Settings
from devhost.host.cannot_start import CannotStart
from devhost.stack.functions_settings import functions_environment, link_secret, state_directory, without_proxies
from devhost.stack.issuer import LocalIssuer
from devhost.stack.tcp_ports import StackPorts

ROOT = Path(__file__).resolve().parents[2]


def test_ports_are_what_is_asked_for_and_else_the_usual_ones() -> None:
    """Empty is as good as not set."""
    ports = StackPorts.from_environment({"CPOR_HTTP_PORT": "8071", "CPOR_MAIL_PORT": ""})

    assert ports == StackPorts(http=8071, azurite=10000, smtp=1025, mail=1080)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CPOR_HTTP_PORT": "http"}, "CPOR_HTTP_PORT must be a port number from 1 to 65535, not 'http'"),
        ({"CPOR_MAIL_PORT": "0"}, "CPOR_MAIL_PORT must be a port number from 1 to 65535, not '0'"),
        ({"CPOR_SMTP_PORT": "65536"}, "CPOR_SMTP_PORT must be a port number from 1 to 65535, not '65536'"),
        ({"CPOR_SMTP_PORT": "٣"}, "CPOR_SMTP_PORT must be a port number from 1 to 65535, not '٣'"),
        ({"CPOR_AZURITE_PORT": "65534"}, "CPOR_AZURITE_PORT 65534 leaves no room for the two ports after it"),
        ({"CPOR_MAIL_PORT": "10002"}, "port 10002 is asked for twice, by CPOR_AZURITE_PORT and CPOR_MAIL_PORT"),
    ],
)
def test_ports_that_cannot_be_are_refused_by_name(environ: dict[str, str], said: str) -> None:
    """One sentence with the setting."""
    with pytest.raises(CannotStart) as refused:
        StackPorts.from_environment(environ)

    assert str(refused.value) == said


def test_state_directory_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    """A file in its way is no stack trace."""
    (tmp_path / "file").touch()

    with pytest.raises(CannotStart, match=r"CPOR_STATE_DIR: .*/file/state cannot be used"):
        state_directory({"CPOR_STATE_DIR": str(tmp_path / "file" / "state")})


def test_schedule_and_sender_may_be_chosen_and_the_sandbox_may_not(tmp_path: Path) -> None:
    """Left-overs of other work in the environment do not make the sandbox something else."""
    chosen = {"FINALISE_SCHEDULE": "0 0 3 * * *", "CPOR_MAIL_FROM": "us@cpor.example", "CPOR_PROGRAMME_COUNTRY": "IE"}
    others = {"CPOR_SANDBOX": "0", "CPOR_TOKEN_AUDIENCE": "x", "CPOR_SMTP_HOST": "smtp.example", "TZ": "Asia/Tokyo"}
    issuer = LocalIssuer.open(tmp_path)

    environ = functions_environment(StackPorts(), issuer, "s" * 32, {**chosen, **others, "CPOR_SMTP_USERNAME": ""})
    settings = Settings.from_environment(environ)

    assert chosen.items() <= environ.items()
    assert (settings.sandbox, settings.smtp_host, settings.smtp_starttls, environ["TZ"]) == (
        True,
        "127.0.0.1",
        False,
        "UTC",
    )
    assert settings.token_jwks_url == issuer.jwks_url


def test_link_secret_is_drawn_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """The links of earlier runs stay good."""
    first = link_secret(tmp_path)

    assert len(first) >= 32
    assert link_secret(tmp_path) == first
    assert (tmp_path / "link-secret").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["link-secret"]


def test_this_machine_is_reached_without_a_proxy() -> None:
    """What stands in the environment stays, for other machines."""
    assert without_proxies({"NO_PROXY": "intranet"})["no_proxy"] == "intranet,127.0.0.1,localhost"
    assert without_proxies({"https_proxy": "http://proxy"})["NO_PROXY"] == "127.0.0.1,localhost"


def test_example_of_local_settings_says_what_the_stack_says(tmp_path: Path) -> None:
    """With the two values that its page tells one to replace, `func start` runs under the settings of `make run`."""
    example: dict[str, str] = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    issuer = LocalIssuer.open(tmp_path)
    stack = functions_environment(StackPorts(), issuer, link_secret(tmp_path), {})

    replaced = {**example, "CPOR_TOKEN_JWKS_URL": issuer.jwks_url, "CPOR_LINK_SECRETS": link_secret(tmp_path)}

    assert Settings.from_environment(replaced) == Settings.from_environment(stack)
    assert replaced[STORAGE] == stack[STORAGE]
    others = ("FINALISE_SCHEDULE", "TZ", "PYTHONTZPATH", "PYDANTIC_DISABLE_PLUGINS", "AZURE_TRACING_ENABLED")
    assert {name: replaced.get(name) for name in others} == {name: stack[name] for name in others}
    assert "FUNCTIONS_WORKER_RUNTIME" in example
    assert os.fspath(ROOT) not in json.dumps(example)
