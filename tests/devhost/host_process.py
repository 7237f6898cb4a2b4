"""The host as its users have it: a process of its own, reached by HTTP and by queues."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_APP = Path(__file__).parent / "sampleapp"

NEVER = "0 0 0 29 2 0"  # a 29th of February that is a Sunday: not before 2032
_READY = re.compile(r"devhost: ready (http://\S+)")
_PATIENCE_SECONDS = 120

T = TypeVar("T")


@dataclass
class RunningHost:
    """A process that runs the sample app, and what it has logged so far."""

    process: subprocess.Popen[bytes]
    log_file: Path
    client: httpx.Client

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8")

    def seen(self, containing: str = "", *, function: str | None = None) -> list[dict[str, Any]]:
        """Return what queue and timer functions have noted."""
        noted: list[dict[str, Any]] = self.client.get("/api/seen").json()["seen"]
        return [note for note in noted if containing in note.get("body", "") and function in {None, note["function"]}]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(_PATIENCE_SECONDS)


@contextlib.contextmanager
def running_host(storage: str, settings: Mapping[str, str] | None = None) -> Iterator[RunningHost]:
    """Start the sample app on a free port; end it, whatever it is doing."""
    environment = {"SAMPLE_STORAGE": storage, "JOBS_QUEUE": "jobs", "TICK_SCHEDULE": NEVER, **(settings or {})}
    with contextlib.ExitStack() as stack:
        log_file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "devhost", "--app", str(SAMPLE_APP), "--port", "0"],
                cwd=ROOT,
                env=os.environ | environment,
                stderr=log,
            )
        stack.callback(process.wait, _PATIENCE_SECONDS)
        stack.callback(process.kill)
        address = until(lambda: _address(process, log_file))
        yield RunningHost(process, log_file, stack.enter_context(httpx.Client(base_url=address)))


def until(look: Callable[[], T | None]) -> T:
    """Return what *look* finds as soon as it finds something. Raises AssertionError if it never does."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < end, f"nothing after {_PATIENCE_SECONDS} s"
        time.sleep(0.02)
    return found


def _address(process: subprocess.Popen[bytes], log_file: Path) -> str | None:
    log = log_file.read_text("utf-8")
    assert process.poll() is None, log
    found = _READY.search(log)
    return found[1] if found else None
