"""Composes mails to customers and partners, and hands them to the mail system."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from cpor_app.adapters.identity.links import Links
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.texts.display_names import declined_by, engagement_name, item_names
from cpor_app.adapters.texts.facts import Closing, MailFacts, PartnerMailFacts, notice_facts
from cpor_app.adapters.texts.sanitise import safe_contact_name
from cpor_app.adapters.texts.texts import RenderedMail, Texts
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import (
    END_REASONS,
    OPEN,
    REJECTION_REASONS,
    Claim,
    Item,
    MailKind,
    PartnerMailKind,
    Reason,
    RecipientKind,
    Speaker,
    Status,
    Voice,
)
from cpor_core.ports.notices import MailMessage
from cpor_core.transitions.life import is_disputable


class Mailer(Protocol):
    """A mail system. Raises `RecipientRefused`, `MailDelayed`."""

    async def send(self, mail: OutgoingMail) -> None:
        """Hand one mail over to the mail system."""

    async def close(self) -> None:
        """Close the connections. The next mail opens new connections."""


class MailComposer:
    """Implements `ports.notices.Composer`: writes each mail in its reader's language and sends it."""

    def __init__(self, texts: Texts, links: Links, catalogue: Catalogue, mailer: Mailer, sender: str) -> None:
        """Write with *texts*, sign with *links* and send with *mailer*. Message-IDs end in the domain of *sender*."""
        self._texts = texts
        self._links = links
        self._catalogue = catalogue
        self._mailer = mailer
        self._domain = sender.rpartition("@")[2]

    async def send(self, message: MailMessage) -> None:
        recipient = message.recipient
        rendered = self._rendered(message)
        await self._mailer.send(
            OutgoingMail(
                message_id=f"<{message.message_id}@{self._domain}>",
                to_address=recipient.email,
                to_name=safe_contact_name(recipient.name or "") or None,
                subject=rendered.subject,
                text=rendered.text,
                html=rendered.html,
                language=rendered.language,
            )
        )

    def _rendered(self, message: MailMessage) -> RenderedMail:
        kind, language = message.kind, message.recipient.language
        if isinstance(kind, PartnerMailKind):
            return self._texts.partner_mail(kind, language, self._partner_facts(message, kind))
        return self._texts.mail(kind, language, self._facts(message))

    def _partner_facts(self, message: MailMessage, kind: PartnerMailKind) -> PartnerMailFacts:
        claim = message.claim
        days = _days(message, kind)
        return PartnerMailFacts(
            claim_name=claim.name,
            claim_id=claim.id,
            customer_domain=claim.domain,
            engagement_name=engagement_name(self._catalogue, claim),
            contact_name=message.recipient.name,
            asked=_asked(message, kind),
            why=tuple(reason for reason in message.reasons if reason in _WHY),
            time_zone=days.time_zone,
            last_day=days.last_day,
            until=claim.due if is_disputable(claim) else None,
            happened_at=message.happened_at,
            items=item_names(self._catalogue, claim, _items(message, kind)),
            remaining_items=item_names(self._catalogue, claim, _remaining(claim)),
            upheld=claim.disputed_before,
            held=claim.status is Status.OFFICIAL,
            awaits_customer=claim.status is Status.AWAITING_CUSTOMER,
        )

    def _facts(self, message: MailMessage) -> MailFacts:
        claim, recipient, notice = message.claim, message.recipient, notice_facts(message.claim)
        reader = Speaker(voice=_VOICES[recipient.kind], recipient=recipient.number)
        return MailFacts(
            partner_name=claim.partner_name,
            customer_name=notice.customer_name,
            engagement_name=engagement_name(self._catalogue, claim),
            items=item_names(self._catalogue, claim, claim.items),
            link=self._links.request_url(claim.id, self._links.token(claim.id, recipient.number)),
            customer_domain=claim.domain,
            contact_name=recipient.name,
            registered_address=recipient.kind is RecipientKind.NOTICE_ADDRESS,
            time_zone=notice.time_zone,
            country=notice.country,
            last_day=notice.last_day,
            skipped_days=notice.skipped_days,
            incumbents=notice.incumbents,
            refused_before=claim.refused_before.date() if claim.refused_before is not None else None,
            corrected=notice.corrected,
            since=claim.official_since,
            happened_at=message.happened_at,
            closing=Closing.of(message.reason) if message.kind is MailKind.CLOSING else None,
            declined_by=declined_by(claim, reader),
            can_undo=claim.undoable and reader.may_take_back(claim.no),
        )


_WHY = REJECTION_REASONS | END_REASONS
_VOICES = {RecipientKind.CONTACT: Voice.CONTACT, RecipientKind.NOTICE_ADDRESS: Voice.NOTICE_ADDRESS}


class _Day(NamedTuple):
    """The last day in the mail, and the time zone of all days and times in the mail."""

    time_zone: str
    last_day: date | None = None


def _days(message: MailMessage, kind: PartnerMailKind) -> _Day:
    """Return the last day for a partner's mail. The last day of a customer's window is in the customer's time zone."""
    claim, time, promised = message.claim, message.claim.time_to_answer, message.claim.promise
    if kind in _IN_THE_CUSTOMERS_TIME_ZONE and promised is not None:
        can_act = kind is not PartnerMailKind.DECLINED or claim.undoable
        return _Day(promised.time_zone, promised.last_day if can_act else None)
    if kind is PartnerMailKind.EVIDENCE_ASKED and claim.evidence_by is not None:
        last = claim.evidence_by.astimezone(ZoneInfo(message.time_zone)) - timedelta(microseconds=1)
        return _Day(message.time_zone, last.date())
    if claim.status is Status.PARTNER_ACTION_REQUIRED and time is not None:
        return _Day(time.time_zone, time.last_day)
    return _Day(message.time_zone)


_IN_THE_CUSTOMERS_TIME_ZONE = frozenset(
    {PartnerMailKind.CUSTOMER_TOLD, PartnerMailKind.DECLINED, PartnerMailKind.DECLINE_UNDONE}
)


def _asked(message: MailMessage, kind: PartnerMailKind) -> tuple[Reason, ...]:
    """Return what the partner is asked for. It is in the claim, but for a request for evidence it is in *message*."""
    if kind is PartnerMailKind.EVIDENCE_ASKED:
        return message.reasons
    return message.claim.requested if message.claim.status is Status.PARTNER_ACTION_REQUIRED else ()


def _items(message: MailMessage, kind: PartnerMailKind) -> Iterable[Item]:
    """Return the items that the mail is about. If the act struck or ended items, these are the items."""
    claim, at = message.claim, message.happened_at
    if kind is PartnerMailKind.ITEMS_STRUCK:
        return [struck.item for struck in claim.struck if struck.at == at]
    if kind is PartnerMailKind.ITEMS_ENDED:
        ended = {one.key for one in claim.ended_items if one.at == at}
        return [item for item in claim.items if item.key in ended]
    return [item for item in claim.items if claim.holds(item.key)]


def _remaining(claim: Claim) -> Iterable[Item]:
    """Return the items that the claim still has. A closed claim has none."""
    has_items = claim.status is Status.OFFICIAL or claim.status in OPEN
    return [item for item in claim.items if has_items and claim.holds(item.key)]
