"""
Hands mails over to the mail system, within the mail budget.

The Message-ID of a mail is stored in the table `mails` before the mail is sent. Each retry has the same Message-ID. The
caller stores in the claim that the mail was sent.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import Outcome
from cpor_core.errors import MailDelayed, RecipientRefused
from cpor_core.model.claim import Claim, DueMail, MailKind
from cpor_core.model.mail import MailOutcome
from cpor_core.ports import Ports
from cpor_core.ports.notices import MailMessage, SentMail
from cpor_core.rules.identifiers import message_id
from cpor_core.rules.mail_budget import Urgency

HELD_FOR = timedelta(minutes=2)
"""After this real time, a process that was sending a mail has ended."""
REFUSED_FOR_GOOD_AFTER = timedelta(days=3)
"""If a recipient's server answers 4xx for this time, the mail counts as refused (decision 25)."""


def messages_to(
    claim: Claim, kind: MailKind, number: int, recipients: Iterable[int], due_mail: DueMail | None = None
) -> Sequence[MailMessage]:
    """Return a message with the same content for each of these recipients, who are given by number."""
    wanted = set(recipients)
    return tuple(
        MailMessage(
            kind=kind,
            number=number,
            message_id=message_id(claim.id, kind, number, recipient.number),
            recipient=recipient,
            claim=claim,
            happened_at=due_mail.since if due_mail is not None else None,
            reason=due_mail.reason if due_mail is not None else None,
        )
        for recipient in claim.recipients
        if recipient.number in wanted
    )


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many mails can be handed over now. `delay` says when to ask for the other mails."""

    permits: int
    delay: MailDelayed | None = None


async def permits(ports: Ports, wanted: int, urgency: Urgency) -> Allowed:
    """Draw permits from the mail budget. A mail without a permit waits for its turn (decision 42)."""
    if not wanted:
        return Allowed(0)
    drawn = await ports.mail_budget.draw(wanted, urgency)
    if drawn.next_turn is None:
        return Allowed(drawn.permits)
    wait = math.ceil((drawn.next_turn - ports.real_now()).total_seconds())
    return Allowed(drawn.permits, MailDelayed("the mail budget is used up", retry_after_seconds=max(wait, 1)))


@dataclass(frozen=True, slots=True)
class Sent:
    """The numbers of the recipients by outcome. `delayed` is set if a mail could not be handed over now."""

    delivered: tuple[int, ...]
    refused: tuple[int, ...]
    delayed: MailDelayed | None


async def send(ports: Ports, messages: Sequence[MailMessage], allowed: Allowed, now: datetime, since: datetime) -> Sent:
    """
    Hand messages over. Each Message-ID is stored first, so that an early delivery report finds its claim.

    Queue and timer can process a claim at the same time. A message that another process is sending counts as delayed.
    If the mail system does not answer or asks to wait, the other messages are not tried.
    """
    delivered, refused, delayed, sender = [], [], allowed.delay, ports.new_id()
    for message in messages[: allowed.permits]:
        number, at, began = message.recipient.number, await ports.now(), ports.real_now()
        mail = SentMail(message.claim.id, message.kind, message.number, number)
        etag = await ports.mails.start_sending(message.message_id, mail, sender, at, began, began + HELD_FOR)
        if etag is None:
            delayed = MailDelayed("another process is sending it")
            continue
        try:
            await ports.composer.send(message)
        except RecipientRefused:
            refused.append(number)
            await ports.mails.stop_sending(message.message_id, mail, etag, MailOutcome.FAILED, at)
        except MailDelayed as fault:
            if fault.recipient_refused_for_now and now - since >= REFUSED_FOR_GOOD_AFTER:
                refused.append(number)
                await ports.mails.stop_sending(message.message_id, mail, etag, MailOutcome.FAILED, at)
                continue
            delayed = fault
            await ports.mails.stop_sending(message.message_id, mail, etag, MailOutcome.PENDING, at)
            if fault.recipient_refused_for_now:
                continue
            if fault.retry_after_seconds is not None:
                await ports.mail_budget.pause(ports.real_now() + timedelta(seconds=fault.retry_after_seconds))
            break
        else:
            delivered.append(number)
    return Sent(tuple(delivered), tuple(refused), delayed)


def delayed_by(now: datetime, fault: MailDelayed) -> Outcome:
    """Return the outcome for a mail that could not be sent now, with the instant of the next try if it is known."""
    wait = fault.retry_after_seconds
    return Outcome(delayed=True, not_before=now + timedelta(seconds=wait) if wait is not None else None)
