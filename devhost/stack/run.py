"""
Runs the local stack: storage, mail catcher and functions on this machine, with a sample registry.

All data is in the state directory, and the next start uses it again. `docs/running.md` explains the settings.
"""

import fcntl
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from devhost.host.cannot_start import CannotStart
from devhost.stack.api_client import ApiClient, UnexpectedAnswer
from devhost.stack.functions_settings import (
    functions_environment,
    link_secret,
    mail_url,
    public_url,
    state_directory,
    without_proxies,
)
from devhost.stack.issuer import PROGRAMME_TENANT, IssuerBroken, LocalIssuer
from devhost.stack.log_tail import LogTail
from devhost.stack.processes import ROOT, Child, ProcessEnded, Stopped, StopSignals, node, python
from devhost.stack.sample_registry import (
    ADATUM,
    ADATUM_TENANT,
    ALPINE,
    FABRIKAM,
    FABRIKAM_TENANT,
    TAILSPIN,
    register_missing,
)
from devhost.stack.tcp_ports import StackPorts
from devhost.stack.token import DEFAULT_STATE_DIR

START_SECONDS = 90
_ANSWER_SECONDS = 2
_ADDRESS_BYTES = 100
_STANDARD_OUTPUT = 1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    ports: StackPorts
    state_dir: Path
    issuer: LocalIssuer
    mail: Child
    others: tuple[Child, ...]

    def verify_runs(self) -> None:
        """Raise ProcessEnded if storage or functions have ended."""
        for child in self.others:
            child.verify_runs()

    def mail_fault(self) -> str | None:
        """
        Return a message if the mail catcher has ended.

        The stack runs on, because the service works without its mail server.
        """
        try:
            self.mail.verify_runs()
        except ProcessEnded as fault:
            return f"{fault}\nThe rest goes on; mails wait until a mail server answers on port {self.ports.smtp} again."
        return None


@contextmanager
def running_stack(
    ports: StackPorts, state_dir: Path, environ: Mapping[str, str], signals: StopSignals, say: Say
) -> Iterator[Stack]:
    """
    Start all parts in order, and stop them when the context ends.

    Raises CannotStart, ProcessEnded, UnexpectedAnswer or IssuerBroken if a part does not start. Raises Stopped if a
    stop is requested before all parts run.
    """
    with ExitStack() as exits:
        exits.enter_context(_locked(state_dir, public_url(ports)))
        _verify_free(ports)
        starter = _Starter(exits, signals, state_dir / "logs")
        issuer = LocalIssuer.open(state_dir)
        plain = without_proxies(environ)
        # The environment can have settings of Azurite and MailDev for another use. They are removed.
        bare = {name: value for name, value in plain.items() if not name.startswith(("AZURITE_", "MAILDEV_"))}

        say(f"Starting storage on ports {ports.azurite} to {ports.azurite + 2}, data in {state_dir} …")
        storage = starter.start("storage", _azurite(ports, state_dir), bare)
        say(f"Starting the mail catcher on ports {ports.smtp} (SMTP) and {ports.mail} (web page) …")
        mail = starter.start("mail", _maildev(ports, state_dir), bare)
        for port in range(ports.azurite, ports.azurite + 3):
            starter.wait_for("storage", partial(_answers, f"http://127.0.0.1:{port}/"))
        starter.wait_for("mail", lambda: _status(f"{mail_url(ports)}/email") == httpx.codes.OK)
        starter.wait_for("mail", lambda: _mail_server_greets(ports.smtp))

        say(f"Starting the functions on port {ports.http} …")
        functions = starter.start(
            "functions",
            python("devhost.stack.exit_with_parent", "--app", str(ROOT), "--port", str(ports.http)),
            functions_environment(ports, issuer, link_secret(state_dir), plain),
        )
        starter.wait_for("functions", lambda: _status(f"{public_url(ports)}/health") == httpx.codes.OK)
        exits.callback(LogTail(functions.log).stop)
        exits.callback(
            functions.stop
        )  # the functions stop first, because they need the other parts and LogTail shows their last lines
        with ApiClient(public_url(ports), issuer) as caller:
            registered = register_missing(caller)
        say(f"{registered} sample partners and customers registered; those of earlier runs stay as they are.")
        stack = Stack(ports, state_dir, issuer, mail, (storage, functions))
        stack.verify_runs()
        yield stack


class _Starter:
    """Starts the child processes. Each child is stopped when the context of the stack ends."""

    def __init__(self, exits: ExitStack, signals: StopSignals, logs: Path) -> None:
        logs.mkdir(exist_ok=True)
        self.children: list[Child] = []
        self._exits = exits
        self._signals = signals
        self._logs = logs

    def start(self, name: str, command: list[str], environ: Mapping[str, str]) -> Child:
        """Start a process. Raises CannotStart."""
        child = Child.start(name, command, self._logs / f"{name}.log", environ)
        self._exits.callback(child.stop)
        self.children.append(child)
        return child

    def wait_for(self, name: str, answers: Callable[[], bool]) -> None:
        """Wait until the process answers. Raises ProcessEnded, Stopped, or CannotStart after `START_SECONDS`."""

        def look() -> bool | None:
            for child in self.children:
                child.verify_runs()
            return answers() or None

        if self._signals.wait_for(look, START_SECONDS) is None:
            child = next(child for child in self.children if child.name == name)
            raise CannotStart(child.report(f"does not answer after {START_SECONDS} s"))


def _azurite(ports: StackPorts, state_dir: Path) -> list[str]:
    options = ["--location", str(state_dir / "azurite"), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    for offset, service in enumerate(("blob", "queue", "table")):
        options += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(ports.azurite + offset)]
    return node("azurite/dist/src/azurite.js", *options)


def _maildev(ports: StackPorts, state_dir: Path) -> list[str]:
    return node(
        "maildev/bin/maildev",
        *("--smtp", str(ports.smtp), "--web", str(ports.mail), "--ip", "127.0.0.1", "--web-ip", "127.0.0.1"),
        *("--hide-extensions", "STARTTLS", "--mail-directory", str(state_dir / "mails")),
    )


@contextmanager
def _locked(state_dir: Path, url: str) -> Iterator[None]:
    """
    Hold the lock of the state directory. The lock file has the address of this stack.

    The system frees the lock when the process ends. Raises CannotStart if another stack holds the lock.
    """
    lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = os.pread(lock, _ADDRESS_BYTES, 0).decode("ascii", "replace")
            raise CannotStart(
                f"it runs already, at {where}, on {state_dir}; a second stack needs its own CPOR_STATE_DIR and ports"
            ) from error
        os.truncate(lock, 0)
        os.pwrite(lock, url.encode("ascii"), 0)
        yield
    finally:
        os.close(lock)


def _verify_free(ports: StackPorts) -> None:
    """Raise CannotStart if a port is taken. If another stack has the port, the message is shorter."""
    try:
        ports.verify_free()
    except CannotStart:
        if _status(f"{public_url(ports)}/health") is None or not _mail_server_greets(ports.smtp):
            raise
        raise CannotStart(
            f"a stack with another state directory runs already, at {public_url(ports)}; "
            "CPOR_HTTP_PORT, CPOR_AZURITE_PORT, CPOR_SMTP_PORT and CPOR_MAIL_PORT set other ports"
        ) from None


def _status(url: str) -> int | None:
    """Return the status of the answer to a GET; None without an answer."""
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False).status_code
    return None


def _answers(url: str) -> bool:
    return _status(url) is not None


def _mail_server_greets(port: int) -> bool:
    """Return whether a mail server greets on *port*."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS) as connection:
        return connection.recv(3) == b"220"
    return False


def _addresses(stack: Stack) -> str:
    url, default = public_url(stack.ports), Path(DEFAULT_STATE_DIR).resolve() == stack.state_dir
    token = f"{'' if default else f'CPOR_STATE_DIR={stack.state_dir} '}make token"
    return f"""
  Mails, as the customer gets them   {mail_url(stack.ports)}
  What can be claimed                {url}/engagements
  The API, described                 {url}/docs
  Logs                               {stack.state_dir}/logs

  Partners    {ADATUM} Adatum Conseil     tenant {ADATUM_TENANT}
              {FABRIKAM} Fabrikam Služby    tenant {FABRIKAM_TENANT}
  Customers   alpineskihouse.fr  (French)   tenant {ALPINE}
              tailspinhracky.cz  (Czech)    tenant {TAILSPIN}

  Tokens, an hour each:
    {token} ROLE=Incentives.Admin TENANT={ADATUM_TENANT}
    {token} ROLE=Program.Operator,Program.Reviewer TENANT={PROGRAMME_TENANT}
  A customer whom nobody has claimed: make customer
  A claim's whole life, step by step: make demo, in another terminal with the same settings
  Ctrl-C ends everything; the data stays.
"""


def say(text: str) -> None:
    """Write a line to standard output at once. If the output is closed, do nothing."""
    with suppress(OSError):
        os.write(_STANDARD_OUTPUT, f"{text}\n".encode())


def main() -> int:
    """Run until a stop is requested. Return the exit status: 0 after a stop, 1 with one message after a failure."""
    signals = StopSignals(os.environ)
    try:
        ports = StackPorts.from_environment(os.environ)
        with running_stack(ports, state_directory(os.environ), os.environ, signals, say) as stack:
            say(f"ready {public_url(ports)}")
            say(_addresses(stack))
            missed = None
            for _ in signals.wait():
                stack.verify_runs()
                if missed is None and (missed := stack.mail_fault()) is not None:
                    print(f"stack: {missed}", file=sys.stderr)
            say("Ending …")
    except Stopped:
        return 0
    except (CannotStart, ProcessEnded, IssuerBroken, OSError, UnexpectedAnswer) as fault:
        print(f"stack: {fault}", file=sys.stderr)
        return 1
    return 0
