"""The stack as a newcomer has it: commands of the Makefile, on ports and in a state directory that nobody else uses."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from devhost.demo.mailbox import Mail, Mailbox
from devhost.stack.api_client import ApiClient
from devhost.stack.functions_settings import mail_url, public_url
from devhost.stack.issuer import LocalIssuer
from devhost.stack.tcp_ports import StackPorts

ROOT = Path(__file__).resolve().parents[2]
MAKE = ("make", f"VENV={sys.prefix}")  # with the Python that runs the tests, not with the one of .venv
MAKE_RUN = (*MAKE, "run")
STACK = (sys.executable, "-m", "devhost.stack")
NEVER = "0 0 0 29 2 0"  # a 29th of February that is a Sunday: not before 2032
PATIENCE_SECONDS = 150
NEVER_NOTIFIED = "curl() { echo '{\"window\":null}'; }; sleep() { :; }\n"
"""Commands for a shell before a loop that waits for the window: the window never opens, and no wait takes time."""
SHELL = ("bash", "-euo", "pipefail")

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a stack may be: its ports and its state directory."""

    ports: StackPorts
    state_dir: Path

    @property
    def url(self) -> str:
        return public_url(self.ports)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command that is about this stack; of the make that runs the tests, nothing."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "CPOR_"))}
        return {
            **ours,
            "CPOR_HTTP_PORT": str(self.ports.http),
            "CPOR_AZURITE_PORT": str(self.ports.azurite),
            "CPOR_SMTP_PORT": str(self.ports.smtp),
            "CPOR_MAIL_PORT": str(self.ports.mail),
            "CPOR_STATE_DIR": str(self.state_dir),
            "FINALISE_SCHEDULE": NEVER,
        }

    def run(self, command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command that ends by itself."""
        given = {"cwd": ROOT, "env": self.environ, "timeout": PATIENCE_SECONDS, **more}
        return subprocess.run(command, capture_output=True, text=True, check=False, **given)

    def paste(self, text: str, command: Sequence[str], folder: Path) -> str:
        """
        Paste what a page says into *command*, with this stack's port and environment, and return what it says.

        It is given all at once on standard input, as a paste is: whatever reads that would swallow the rest.
        """
        make = f"make --no-print-directory -C {ROOT} VENV={sys.prefix} "
        listed = ", ".join(f'"{word}"' for word in make.split())
        for theirs, ours in (
            ("127.0.0.1:7071", f"127.0.0.1:{self.ports.http}"),
            ("$(make ", f"$({make}"),
            ('"make"', listed),
        ):
            text = text.replace(theirs, ours)
        done = self.run(command, cwd=folder, input=text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert list(folder.iterdir()) == [], "files are left behind"
        return done.stdout

    def processes(self) -> list[int]:
        """Return the processes that run for this stack: all that has its state directory in the environment."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._is_ours(entry)]

    def part(self, name: str) -> int:
        """Return the process of one part: storage, mail or functions."""
        sign = {"storage": b"azurite.js", "mail": b"maildev", "functions": b"devhost.stack.exit_with_parent"}[name]
        return next(each for each in self.processes() if sign in Path(f"/proc/{each}/cmdline").read_bytes())

    def _is_ours(self, entry: Path) -> bool:
        with contextlib.suppress(OSError):
            return f"CPOR_STATE_DIR={self.state_dir}\0".encode() in (entry / "environ").read_bytes()
        return False

    def verify_nothing_is_left(self) -> None:
        """Fail if a process of this stack stays, or a port stays taken."""
        until(lambda: not self.processes() or None)
        self.ports.verify_free()


@dataclass
class RunningStack:
    """A stack's process, and what it has said so far."""

    place: Place
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def caller(self) -> ApiClient:
        return ApiClient(self.place.url, LocalIssuer.open(self.place.state_dir))

    def mail(self, to: str, number: int = 1) -> Mail:
        """Return the mail of that number to an address, as soon as it is there."""
        with self.caller as caller:
            box = Mailbox(caller, mail_url(self.place.ports))
            return until(lambda: mails[number - 1] if len(mails := box.mails(to)) >= number else None)

    def go_on(self, by: str) -> None:
        """Move the clock on, such as by `P400D`."""
        with self.caller as caller:
            caller.ask("POST", "/sandbox/clock", role="Program.Operator", json={"advance": by})

    def stop(self, *how: signal.Signals) -> int:
        """Send it signals, and return its exit code."""
        for each in how:
            self.process.send_signal(each)
        return self.process.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def running_stack(
    place: Place, command: Sequence[str] = STACK, settings: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """Start a stack and yield it when it is ready; end it, and fail if anything of it is left."""
    with _taking_interrupts():
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**place.environ, **(settings or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    stack = RunningStack(place, process)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=stack.said.extend, args=(process.stdout,)),
        threading.Thread(target=stack.warned.extend, args=(process.stderr,)),
    ]
    for reader in readers:
        reader.start()
    try:
        until(lambda: _is_ready(stack) or None)
        yield stack
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            for reader in readers:
                reader.join()
            process.stdout.close()
            process.stderr.close()
    place.verify_nothing_is_left()


@contextlib.contextmanager
def _taking_interrupts() -> Iterator[None]:
    """Let what is started take SIGINT, though the tests ignore it, as whatever a script runs behind itself does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def until(look: Callable[[], T | None]) -> T:
    """Return what *look* finds as soon as it finds something. Raises AssertionError if it never does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None:
        assert time.monotonic() < end, f"nothing after {PATIENCE_SECONDS} s"
        time.sleep(0.05)
    return found


def _is_ready(stack: RunningStack) -> bool:
    assert stack.process.poll() is None, "".join(stack.warned)
    return f"ready {stack.place.url}\n" in stack.said
