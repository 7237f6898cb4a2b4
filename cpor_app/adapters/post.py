"""Letters to customers and partners: what the core wants said, in words, handed to the mail system."""

from typing import Protocol

from cpor_app.adapters.harmless import safe_contact_name
from cpor_app.adapters.links import Links
from cpor_app.adapters.naming import engagement_name, item_names, told_of
from cpor_app.adapters.smtp import OutgoingMail
from cpor_app.adapters.texts import (
    Asked,
    Closing,
    MailFacts,
    MailKind,
    PartnerMailFacts,
    PartnerMailKind,
    RenderedMail,
    Texts,
)
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import RecipientKind
from cpor_core.ports import Letter


class Mailer(Protocol):
    """A mail system. Raises `RecipientRefused`, `MailDelayed`."""

    async def send(self, mail: OutgoingMail) -> None:
        """Hand one mail over."""


class MailPost:
    """`cpor_core.ports.Post`: writes a letter in the recipient's language, customers' with a link, and sends it."""

    def __init__(self, texts: Texts, links: Links, catalogue: Catalogue, mailer: Mailer, sender: str) -> None:
        """Sign links with *links*; Message-IDs are of the domain of *sender*."""
        self._texts = texts
        self._links = links
        self._catalogue = catalogue
        self._mailer = mailer
        self._domain = sender.rpartition("@")[2]

    async def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises `RecipientRefused`, or `MailDelayed` when it was not handed over now."""
        recipient = letter.recipient
        rendered = self._rendered(letter)
        await self._mailer.send(
            OutgoingMail(
                message_id=f"<{letter.message_id}@{self._domain}>",
                to_address=recipient.email,
                to_name=safe_contact_name(recipient.name or "") or None,
                subject=rendered.subject,
                text=rendered.text,
                html=rendered.html,
                language=rendered.language,
            )
        )

    def _rendered(self, letter: Letter) -> RenderedMail:
        language = letter.recipient.language
        if letter.recipient.kind is RecipientKind.PARTNER_CONTACT:
            return self._texts.partner_mail(PartnerMailKind(letter.kind), language, self._partner_facts(letter))
        return self._texts.mail(MailKind(letter.kind), language, self._facts(letter))

    def _partner_facts(self, letter: Letter) -> PartnerMailFacts:
        claim, time = letter.claim, letter.claim.time_to_answer
        return PartnerMailFacts(
            claim_name=claim.name,
            claim_id=claim.id,
            customer_domain=claim.domain,
            engagement_name=engagement_name(self._catalogue, claim),
            contact_name=letter.recipient.name,
            asked=tuple(Asked(reason) for reason in claim.requested),
            time_zone=time.time_zone if time is not None else "UTC",
            last_day=time.last_day if time is not None else None,
        )

    def _facts(self, letter: Letter) -> MailFacts:
        claim, recipient, told = letter.claim, letter.recipient, told_of(letter.claim)
        return MailFacts(
            partner_name=claim.partner_name,
            customer_name=told.customer_name,
            engagement_name=engagement_name(self._catalogue, claim),
            items=item_names(self._catalogue, claim, claim.items),
            link=self._links.request_url(claim.id, self._links.token(claim.id, recipient.number)),
            customer_domain=claim.domain,
            contact_name=recipient.name,
            registered_address=recipient.kind is RecipientKind.NOTICE_ADDRESS,
            time_zone=told.time_zone,
            last_day=told.last_day,
            skipped_days=told.skipped_days,
            incumbents=told.incumbents,
            refused_before=claim.refused_before.date() if claim.refused_before is not None else None,
            corrected=told.corrected,
            since=claim.official_since,
            happened_at=letter.happened_at,
            closing=Closing.of(letter.reason) if letter.kind == MailKind.CLOSING else None,
            can_undo=claim.undoable,
        )
