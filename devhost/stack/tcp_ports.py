"""The TCP ports of the local stack."""

import errno
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from devhost.host.cannot_start import CannotStart

_ADDRESS = "127.0.0.1"
_LAST = 65535
_AZURITE_PORTS = 3
_RARELY_USED = range(20000, 32000)  # below the range that systems give to clients


@dataclass(frozen=True, slots=True)
class StackPorts:
    """The port of each part. Storage takes three consecutive ports, for blobs, queues and tables."""

    http: int = 7071
    azurite: int = 10000
    smtp: int = 1025
    mail: int = 1080

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the four settings. Raises CannotStart for a value that is not a port, or if two parts share a port."""
        named = {
            field: _port(setting, environ[setting]) for field, setting in _SETTINGS.items() if environ.get(setting)
        }
        ports = cls(**named)
        users: dict[int, str] = {}
        for port, field in ports._all():
            if port in users:
                raise CannotStart(f"port {port} is asked for twice, by {users[port]} and {_SETTINGS[field]}")
            users[port] = _SETTINGS[field]
        if ports.azurite + _AZURITE_PORTS - 1 > _LAST:
            raise CannotStart(f"CPOR_AZURITE_PORT {ports.azurite} leaves no room for the two ports after it")
        return ports

    @classmethod
    def free(cls) -> Self:
        """Return random ports that are free now."""
        while True:
            first = random.choice(_RARELY_USED)  # noqa: S311 - nothing secret
            ports = cls(http=first, azurite=first + 1, smtp=first + 1 + _AZURITE_PORTS, mail=first + 2 + _AZURITE_PORTS)
            if not any(map(_fault, (port for port, _ in ports._all()))):
                return ports

    def verify_free(self) -> None:
        """Raise CannotStart if a port is not free. The message names each such port and its setting."""
        faults = [
            f"port {port} {fault}; {_SETTINGS[field]} sets another{_first_of_three(field)}"
            for port, field in self._all()
            if (fault := _fault(port))
        ]
        if faults:
            raise CannotStart(", and ".join(faults))

    def _all(self) -> Iterator[tuple[int, str]]:
        """Yield each port with the name of its field."""
        yield self.http, "http"
        for offset in range(_AZURITE_PORTS):
            yield self.azurite + offset, "azurite"
        yield self.smtp, "smtp"
        yield self.mail, "mail"


_SETTINGS = {
    "http": "CPOR_HTTP_PORT",
    "azurite": "CPOR_AZURITE_PORT",
    "smtp": "CPOR_SMTP_PORT",
    "mail": "CPOR_MAIL_PORT",
}


def _port(setting: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _LAST):
        raise CannotStart(f"{setting} must be a port number from 1 to {_LAST}, not {text!r}")
    return int(text)


def _fault(port: int) -> str | None:
    """Return why the stack cannot listen on *port*; None if it can."""
    try:
        socket.create_server((_ADDRESS, port)).close()
    except OSError as error:
        return "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
    return None


def _first_of_three(field: str) -> str:
    return " (the first of three)" if field == "azurite" else ""
