"""The sandbox's local issuer and its command: what it prints is what the app takes."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cpor_app.adapters.clock import Clock
from cpor_app.adapters.identity.tokens import TokenSettings, TokenVerifier
from cpor_core.model.caller import Caller, CallerKind, Role, Unauthenticated
from devhost.stack.issuer import AUDIENCE, ISSUER, PROGRAMME_TENANT, IssuerBroken, LocalIssuer, object_id
from devhost.stack.token import main

TENANT = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command on a fresh state directory: exit status, standard output, standard error."""
    monkeypatch.setenv("CPOR_STATE_DIR", str(tmp_path))

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code))
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def caller_of(token: str, state_dir: Path) -> Caller:
    """Whom the app sees behind a token."""
    settings = TokenSettings(AUDIENCE, ISSUER, LocalIssuer.open(state_dir).jwks_url, PROGRAMME_TENANT, sandbox=True)
    return asyncio.run(TokenVerifier(settings, Clock().real).verify(f"Bearer {token.strip()}"))


def test_it_prints_a_token_and_nothing_else(run: Run, tmp_path: Path) -> None:
    """One line on standard output, which the app takes."""
    status, out, err = run("--role", "Incentives.Admin,Incentives.User", "--tenant", TENANT)

    assert (status, err, out.count("\n")) == (0, "", 1)
    assert caller_of(out, tmp_path) == Caller(
        TENANT,
        object_id(["Incentives.User", "Incentives.Admin"], TENANT),
        CallerKind.PERSON,
        frozenset({Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER}),
    )


def test_a_client_calls_in_its_own_name(run: Run, tmp_path: Path) -> None:
    """`--app` makes an app-only token."""
    _, out, _ = run("--role", "Mail.Events", "--tenant", PROGRAMME_TENANT, "--app")

    caller = caller_of(out, tmp_path)

    assert caller.kind is CallerKind.APP
    assert caller.roles == {Role.MAIL_EVENTS}


def test_the_same_roles_in_the_same_tenant_are_the_same_person(run: Run, tmp_path: Path) -> None:
    """Whoever draws a second token is nobody else; another role, tenant or kind is."""
    asked: Sequence[Sequence[str]] = (
        ("--role", "Incentives.User,Incentives.Admin", "--tenant", TENANT),
        ("--role", "Incentives.Admin, Incentives.User", "--tenant", TENANT.upper()),
        ("--role", "Incentives.Admin", "--tenant", TENANT),
        ("--role", "Incentives.Admin", "--tenant", PROGRAMME_TENANT),
        ("--role", "Incentives.Admin", "--tenant", TENANT, "--app"),
    )

    people = [caller_of(run(*arguments)[1], tmp_path).object_id for arguments in asked]

    assert people[0] == people[1]
    assert len(set(people)) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--role", "Owner", "--tenant", TENANT), "'Owner'"),
        (("--role", "Incentives.Admin,", "--tenant", TENANT), "''"),
        (("--role", "incentives.admin", "--tenant", TENANT), "Incentives.Admin"),
        (("--role", "", "--tenant", TENANT), "no such role"),
        (("--role", "Incentives.Admin", "--tenant", "contoso"), "GUID"),
        (("--role", "Incentives.Admin", "--tenant", ""), "GUID"),
        (("--role", "Incentives.Admin", "--tenant", TENANT.replace("-", "")), "GUID"),
        (("--role", "Incentives.Admin", "--tenant", "{" + TENANT + "}"), "GUID"),
        (("--role", "Incentives.Admin"), "--tenant"),
        (("--tenant", TENANT), "--role"),
        (("--role", "Incentives.Admin", "--tenant", TENANT, "--admin"), "--admin"),
    ],
)
def test_a_mistake_is_one_clear_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    """Standard output stays empty, standard error says what is wrong, and the status is 2."""
    status, out, err = run(*arguments)

    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_a_damaged_key_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    """What to do about it is said, and no stack trace shown."""
    run("--role", "Incentives.Admin", "--tenant", TENANT)
    (tmp_path / "issuer" / "private.pem").write_text("rubbish")

    status, out, err = run("--role", "Incentives.Admin", "--tenant", TENANT)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "Delete that directory" in err


def test_a_state_directory_that_is_none_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    """Where no key pair can be put, the path is named."""
    (tmp_path / "issuer").write_text("a file in the way")

    status, out, err = run("--role", "Incentives.Admin", "--tenant", TENANT)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert str(tmp_path) in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["issuer"]


@pytest.mark.parametrize("missing", ["private.pem", "jwks.json"])
def test_half_a_key_pair_is_not_repaired_in_silence(tmp_path: Path, missing: str) -> None:
    """A running app would go on trusting the other half."""
    LocalIssuer.open(tmp_path)
    (tmp_path / "issuer" / missing).unlink()

    with pytest.raises(IssuerBroken):
        LocalIssuer.open(tmp_path)


def test_the_key_pair_is_made_once(tmp_path: Path) -> None:
    """A token of yesterday is verified by today's key set, and only its owner may read the private key."""
    first = LocalIssuer.open(tmp_path / "with a space" / "deep")
    second = LocalIssuer.open(tmp_path / "with a space" / "deep")
    (key,) = json.loads((first.directory / "jwks.json").read_text())["keys"]

    assert first.private_key.private_numbers() == second.private_key.private_numbers()
    assert key["issuer"] == ISSUER
    assert "d" not in key
    assert stat.S_IMODE((first.directory / "private.pem").stat().st_mode) == 0o600
    assert [entry.name for entry in first.directory.parent.iterdir()] == ["issuer"]
    assert caller_of(first.sign(["Incentives.User"], TENANT), tmp_path / "with a space" / "deep").tenant_id == TENANT


def test_processes_that_start_at_once_share_one_key_pair(tmp_path: Path) -> None:
    """Whoever comes second takes the first one's, and nothing is left behind."""
    found: list[LocalIssuer] = []
    start = threading.Barrier(6)

    def open_issuer() -> None:
        start.wait()
        found.append(LocalIssuer.open(tmp_path))

    threads = [threading.Thread(target=open_issuer) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({issuer.private_key.private_numbers() for issuer in found}) == 1
    assert len(found) == 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["issuer"]


def test_another_sandboxs_token_is_refused(tmp_path: Path) -> None:
    """Each state directory has its own key."""
    token = LocalIssuer.open(tmp_path / "a").sign(["Incentives.Admin"], TENANT)

    with pytest.raises(Unauthenticated) as caught:
        caller_of(token, tmp_path / "b")

    assert caught.value.reason_code == "TokenKeyUnknown"


def test_claims_can_be_replaced_and_left_out(tmp_path: Path) -> None:
    """Tests make wrong tokens with the right key."""
    issuer = LocalIssuer.open(tmp_path)

    for overrides, reason in (({"aud": "another"}, "TokenAudience"), ({"scp": None}, "TokenSubject")):
        with pytest.raises(Unauthenticated) as caught:
            caller_of(issuer.sign(["Incentives.Admin"], TENANT, **overrides), tmp_path)
        assert caught.value.reason_code == reason


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    """As `make token` runs it."""
    command = [sys.executable, "-m", "devhost.stack.token", "--role", "Customer.Admin", "--tenant", TENANT]

    done = subprocess.run(
        command, env={**os.environ, "CPOR_STATE_DIR": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert caller_of(done.stdout, tmp_path).roles == {Role.CUSTOMER_ADMIN}
