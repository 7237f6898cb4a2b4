"""Letters to customers: what the core wants said, in words, with a link of their own, handed to the mail system."""

from typing import Protocol

from cpor_app.adapters.links import Links
from cpor_app.adapters.naming import engagement_name, item_names
from cpor_app.adapters.smtp import OutgoingMail
from cpor_app.adapters.texts import Closing, MailFacts, MailKind, SkippedDay, Texts
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import RecipientKind
from cpor_core.ports import Letter


class Mailer(Protocol):
    """A mail system. Raises `RecipientRefused`, `MailDelayed`."""

    async def send(self, mail: OutgoingMail) -> None:
        """Hand one mail over."""


class CustomerPost:
    """`cpor_core.ports.Post`: writes a letter in the recipient's language and sends it."""

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
        rendered = self._texts.mail(MailKind(letter.kind), recipient.language, self._facts(letter))
        await self._mailer.send(
            OutgoingMail(
                message_id=f"<{letter.message_id}@{self._domain}>",
                to_address=recipient.email,
                to_name=recipient.name if recipient.kind is RecipientKind.CONTACT else None,
                subject=rendered.subject,
                text=rendered.text,
                html=rendered.html,
                language=rendered.language,
            )
        )

    def _facts(self, letter: Letter) -> MailFacts:
        claim, promised, recipient = letter.claim, letter.claim.promise, letter.recipient
        is_contact = recipient.kind is RecipientKind.CONTACT
        return MailFacts(
            partner_name=claim.partner_name,
            customer_name=letter.customer_name,
            engagement_name=engagement_name(self._catalogue, claim),
            items=item_names(self._catalogue, claim, claim.items),
            link=self._links.request_url(claim.id, self._links.token(claim.id, recipient.number)),
            customer_domain=claim.domain,
            contact_name=recipient.name if is_contact else None,
            registered_address=not is_contact,
            time_zone=promised.time_zone if promised is not None else "UTC",
            last_day=promised.last_day if promised is not None else None,
            skipped_days=tuple(SkippedDay(day.date, day.name, day.kind) for day in promised.skipped_days)
            if promised is not None
            else (),
            incumbents=letter.incumbents,
            corrected=letter.corrected,
            since=claim.official_since,
            happened_at=claim.ended_at or claim.status_since,
            closing=Closing.of(letter.reason) if letter.kind == MailKind.CLOSING else None,
            can_undo=claim.undoable,
        )
