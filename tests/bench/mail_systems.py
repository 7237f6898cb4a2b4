"""
A mail server and a mail service in a process of their own, so that their CPU does not count.

    python -m tests.bench.mail_systems      prints the port of the one and the address of the other, and waits
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cpor_app.adapters.mail.communication_services import CommunicationServicesMailer
from cpor_app.adapters.mail.composer import Mailer
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.mail.smtp import SmtpMailer
from tests.doubles.clock import FixedClock
from tests.support.azurite import ROOT
from tests.support.communication_services import (
    ENDPOINT,
    SENDER,
    Identity,
    ToThisMachine,
    running_communication_services,
)
from tests.support.service import Mailbox
from tests.support.smtp import running_smtp_server


@dataclass
class Mails:
    """Keeps all mails, and hands them over to a mail system. At first that is only a list."""

    system: Mailer = field(default_factory=Mailbox)
    kept: list[OutgoingMail] = field(default_factory=list)

    async def send(self, mail: OutgoingMail) -> None:
        """Keep *mail*, and hand it over."""
        self.kept.append(mail)
        await self.system.send(mail)

    async def close(self) -> None:
        """Close the mail system."""
        await self.system.close()


@dataclass(frozen=True, slots=True)
class MailSystems:
    """Where both listen."""

    port: int
    url: str

    def by_smtp(self, clock: FixedClock) -> Mailer:
        """Return the mailer for the mail server."""
        domain = SENDER.rpartition("@")[2]
        return SmtpMailer("127.0.0.1", self.port, starttls=False, sender=SENDER, sender_domain=domain, now=clock.real)

    def by_service(self, clock: FixedClock) -> Mailer:
        """Return the mailer for the mail service."""
        return CommunicationServicesMailer(
            ENDPOINT, Identity, sender=SENDER, now=clock.real, transport=lambda: ToThisMachine(self.url)
        )


@contextmanager
def running_mail_systems() -> Iterator[MailSystems]:
    """Start both, and stop them at the end."""
    command = [sys.executable, "-m", "tests.bench.mail_systems"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield MailSystems(**json.loads(process.stdout.readline()))
        process.communicate()  # the end of its input ends it


async def _serve() -> None:
    with running_smtp_server() as server:
        async with running_communication_services() as service:
            print(json.dumps({"port": server.port, "url": service.url}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
