"""How the stack starts, what stands in its way, and that nothing of it is left behind, however it ends."""

import os
import signal
import smtplib
import socket

import pytest

from devhost.stack.sample_registry import ADATUM, FABRIKAM, OPERATOR, PARTNERS
from tests.stack.stack_process import MAKE, MAKE_RUN, PATIENCE_SECONDS, STACK, Place, running_stack


def test_signal_ends_everything_and_the_next_start_finds_all_that_was(place: Place) -> None:
    """Exit code 0, though asked twice; data, keys, secret and mails last, and a sample that was changed stays so."""
    with running_stack(place) as stack, stack.caller as caller:
        kept = {path: (place.state_dir / path).read_bytes() for path in ("link-secret", "issuer/jwks.json")}
        changed = caller.ask("GET", f"/partners/{ADATUM}", role=OPERATOR).json() | {"name": "Changed by hand"}
        caller.ask("PUT", f"/partners/{ADATUM}", role=OPERATOR, json=changed)
        with smtplib.SMTP("127.0.0.1", place.ports.smtp) as server:
            server.sendmail("a@b.example", "c@d.example", "To: c@d.example\r\nSubject: kept\r\n\r\nKept.\r\n")
        assert stack.mail("c@d.example").text.strip() == "Kept."

        code = stack.stop(signal.SIGTERM, signal.SIGINT, signal.SIGTERM)

        assert code == 0
        place.verify_nothing_is_left()
    with running_stack(place) as stack, stack.caller as caller:
        assert caller.ask("GET", f"/partners/{ADATUM}", role=OPERATOR).json() == changed
        assert caller.ask("GET", f"/partners/{FABRIKAM}", role=OPERATOR).json()["name"] == PARTNERS[FABRIKAM]["name"]
        assert {path: (place.state_dir / path).read_bytes() for path in kept} == kept
        assert stack.mail("c@d.example").subject == "kept"
        assert stack.stop(signal.SIGINT) == 0
    assert (place.state_dir / "link-secret").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_everything_ends_with_the_make_that_started_it(place: Place, how: signal.Signals) -> None:
    """Killed, or sent a signal that the make alone gets: nothing stays behind."""
    with running_stack(place, MAKE_RUN) as stack:
        stack.stop(how)

        place.verify_nothing_is_left()


def test_an_interrupt_ends_it_though_the_tests_ignore_interrupts(place: Place) -> None:
    """As a script has it that runs `make test` behind itself; the make would wait for ever."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with running_stack(place, MAKE_RUN) as stack:
            stack.stop(signal.SIGINT)

            place.verify_nothing_is_left()
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_outlives_a_stack_that_was_killed(place: Place) -> None:
    """Storage, mail catcher and functions notice that nobody holds their input any more."""
    with running_stack(place) as stack:
        stack.stop(signal.SIGKILL)

        place.verify_nothing_is_left()


@pytest.mark.parametrize("part", ["storage", "functions"])
def test_when_a_part_dies_the_rest_ends_and_it_says_which(place: Place, part: str) -> None:
    """A stack that does half its work must not go on."""
    with running_stack(place) as stack:
        os.kill(place.part(part), signal.SIGKILL)
        code = stack.process.wait(PATIENCE_SECONDS)

        place.verify_nothing_is_left()
    assert code == 1
    assert any(line.startswith(f"stack: {part} was ended by SIGKILL") for line in stack.warned)
    assert not any("Traceback" in line for line in stack.warned)


@pytest.mark.parametrize(
    ("setting", "offset"),
    [("CPOR_HTTP_PORT", 0), ("CPOR_AZURITE_PORT", 2), ("CPOR_SMTP_PORT", 0), ("CPOR_MAIL_PORT", 0)],
)
def test_taken_port_is_one_clear_line_and_nothing_starts(place: Place, setting: str, offset: int) -> None:
    """The line names the port and the setting that chooses another."""
    port = int(place.environ[setting]) + offset
    with socket.create_server(("127.0.0.1", port)):
        ended = place.run(STACK)

        assert place.processes() == []
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"stack: port {port} is taken; {setting} sets another")
    assert ended.stderr.count("\n") == 1


def test_what_the_functions_refuse_is_said_and_nothing_is_left(place: Place) -> None:
    """A schedule that is none stops the functions; their own words say so."""
    with pytest.raises(AssertionError) as failure, running_stack(place, settings={"FINALISE_SCHEDULE": "each minute"}):
        pass

    place.verify_nothing_is_left()
    assert "stack: functions ended with exit code 1" in str(failure.value)
    assert "schedule 'each minute' does not have six plain fields" in str(failure.value)


def test_demo_without_a_stack_has_one_of_its_own(place: Place) -> None:
    """It says so, walks the whole way, and leaves neither process nor file."""
    demo = place.run([*MAKE, "demo"])

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "starting a stack for this demo alone" in demo.stdout
    assert "31 active users" in demo.stdout
    assert "Status ended" in demo.stdout
    assert "make run" in demo.stdout
    assert list(place.state_dir.iterdir()) == []
    place.verify_nothing_is_left()
