"""
Child processes that end with their parent, even if the parent is killed.

The standard input of each child is a pipe from the parent. When the parent ends, the system closes the pipe. The
children are not in the process group of the parent, so Ctrl-C reaches only the parent. The parent then ends the
children in order.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from devhost.host.cannot_start import CannotStart

ROOT = Path(__file__).resolve().parents[2]

T = TypeVar("T")

_GRACE_SECONDS = 8
_LAST_LINES = 15
_MOMENT_SECONDS = 0.05
# On SIGTERM Azurite saves its data, which it would not do at a plain exit. After `unref` the pipe does not keep the
# process alive.
_END_WITH_INPUT = (
    'data:text/javascript,process.stdin.resume().on("end",()=>process.kill(process.pid,"SIGTERM")).unref()'
)


class Stopped(Exception):
    """A stop was requested before the work was done."""


class ProcessEnded(Exception):
    """A child process ended, although it should run. The message has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child process. Its output goes to *log*."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str]) -> Self:
        """Start *command*, and empty the log first. Raises CannotStart."""
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise CannotStart(f"{name} cannot be started: {error}") from error
        return cls(name, log, process)

    def verify_runs(self) -> None:
        """Raise ProcessEnded, with the last lines of the log, if the process has ended."""
        if self.process.poll() is None:
            return
        code = self.process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise ProcessEnded(self.report(how))

    def report(self, what: str) -> str:
        """Return a message with the name, *what* happened, and the last lines of the log."""
        last: list[str] = []
        with suppress(OSError):
            last = self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return "\n  ".join([f"{self.name} {what}; its log is {self.log}", *last])

    def stop(self) -> None:
        """Stop the process with SIGTERM. If it still runs after a few seconds, stop it with SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


def node(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script of an npm package. Raises CannotStart if it is not installed."""
    program, path = shutil.which("node"), ROOT / "node_modules" / script
    if program is None or not path.exists():
        raise CannotStart(f"{script.partition('/')[0]} is not installed: `make run` installs it, and so does `npm ci`")
    return [program, "--import", _END_WITH_INPUT, str(path), *arguments]


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


class StopSignals:
    """
    Knows whether a stop was requested, by a signal or by the end of the `make` that started this process.

    A signal only sets a flag, so a second signal does no harm.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Install the signal handlers."""
        self._signalled = False
        self._make = os.getppid() if "MAKELEVEL" in environ else None
        self._make_took_interrupts = _takes_interrupts(self._make)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:  # nohup
                signal.signal(each, self._note)

    def stop_asked(self) -> bool:
        """Return whether a stop was requested."""
        return self._signalled or self._make_has_gone()

    def wait(self) -> Iterator[None]:
        """Yield again and again, with short pauses, until a stop is requested."""
        while not self.stop_asked():
            yield
            time.sleep(_MOMENT_SECONDS)

    def wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """Call *look* until it returns a value, and return the value. Return None after *seconds*. Raises Stopped."""
        patience = time.monotonic() + seconds
        for _ in self.wait():
            if (found := look()) is not None:
                return found
            if time.monotonic() > patience:
                return None
        raise Stopped

    def _note(self, _signal: int, _frame: object) -> None:
        self._signalled = True

    def _make_has_gone(self) -> bool:
        if self._make is None:
            return False
        # A SIGINT can reach only make, and not this process. Then make removes its handler and waits for this process.
        gave_up = self._make_took_interrupts and not _takes_interrupts(self._make)
        return os.getppid() != self._make or gave_up


def _takes_interrupts(process: int | None) -> bool:
    """Return whether *process* has a handler for SIGINT. Without /proc return False."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    return False
