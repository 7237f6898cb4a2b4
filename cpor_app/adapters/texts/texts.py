"""
What customers and partners read: mails and the request page, in every language that has a catalogue.

The words live in `cpor_app/templates` (English) and `cpor_app/locale` (everything else). What partners and the registry
wrote comes in as facts and is made harmless here, so that no template has to think of it. Babel and Jinja2 are imported
when the first text is asked for: a cold start that sends no mail does not pay for them.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, assert_never
from urllib.parse import quote

from cpor_app.adapters.texts.l10n import LocalWriting
from cpor_app.adapters.texts.sanitise import plain_line, safe_contact_name
from cpor_core.model.claim import MailKind, PartnerMailKind, Reason, SkippedDay, Status
from cpor_core.model.usage import Receipt
from cpor_core.use_cases.claims.customer_decision import CustomerAct

if TYPE_CHECKING:
    from babel import Locale
    from babel.support import NullTranslations
    from jinja2 import Environment
    from jinja2.runtime import Context
    from markupsafe import Markup

SOURCE_LANGUAGE = "en"
"""The language of the templates; a sentence that a catalogue lacks is shown in it."""
MAX_SUBJECT_NAME_CHARACTERS = 80
MAX_REASON_CHARACTERS = 1000
"""Rulings 6: the customer's own words for a no or an end."""
MAX_ACCEPTED_LANGUAGES = 20
"""A longer `Accept-Language` header is not a reader's."""
MAX_TAG_CHARACTERS = 40
"""What follows in a longer language tag would not change the catalogue."""

PACKAGE = Path(__file__).resolve().parents[2]


class Closing(StrEnum):
    """Why a request or an association is over, as far as the customer is told."""

    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    GIVEN_UP = "noPartnerResponse"
    LOST = "lostArbitration"
    REVOKED = "revokedByProgramme"
    SUBSCRIPTION_ENDED = "subscriptionEnded"
    PARTNER_DISASSOCIATED = "partnerDisassociated"
    CUSTOMER_OPTED_OUT = "customerOptedOut"
    SUPERSEDED = "superseded"

    @classmethod
    def of(cls, reason: str | None) -> Self:
        """Return what a claim's reason code means to the customer: none is a withdrawal, the reviewer's are one."""
        if reason in (None, "partnerRequest"):
            return cls(cls.WITHDRAWN)
        return cls(reason) if reason in set(cls) else cls(cls.REJECTED)


class DeclinedBy(StrEnum):
    """Who has declined, to one who reads of it; but for `you` the values are the core's voices."""

    YOU = "you"
    CONTACT = "contact"
    NOTICE_ADDRESS = "noticeAddress"
    ADMINISTRATOR = "administrator"


class MessageKind(StrEnum):
    """The pages that say only why nothing else can be shown or done."""

    NOT_FOUND = "notFound"
    EXPIRED = "expired"
    NOT_POSSIBLE_NOW = "notPossibleNow"
    ALREADY_DECLINED = "alreadyDeclined"
    NOT_RECORDED = "notRecorded"
    NOT_YOURS = "notYours"
    ALREADY_GIVEN_AWAY = "alreadyGivenAway"
    STALE_FORM = "staleForm"
    BAD_FORM = "badForm"
    REASON_TOO_LONG = "reasonTooLong"
    TRY_LATER = "tryLater"


class Stage(StrEnum):
    """What the page is about; several states of a claim are one stage to the customer."""

    WAITING = "waiting"
    EXAMINED = "examined"
    DECLINED = "declined"
    OFFICIAL = "official"
    CLOSED = "closed"

    @classmethod
    def of(cls, status: Status) -> Self:
        """Return the stage of a claim's status. Raises ValueError for a status that no customer ever sees."""
        match status:
            case Status.AWAITING_CUSTOMER:
                return cls(cls.WAITING)
            case Status.SUBMITTED | Status.UNDER_REVIEW | Status.PARTNER_ACTION_REQUIRED | Status.DISPUTED:
                return cls(cls.EXAMINED)
            case Status.DECLINED:
                return cls(cls.DECLINED)
            case Status.OFFICIAL:
                return cls(cls.OFFICIAL)
            case Status.ENDED | Status.WITHDRAWN | Status.REJECTED | Status.REJECTED_FINAL:
                return cls(cls.CLOSED)
            case Status.DRAFT | Status.DELETED:
                raise ValueError(f"no customer is told of a claim that is {status!r}")
            case _:
                assert_never(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """What a mail to a customer speaks of: names as they are to be read, never ids."""

    partner_name: str
    customer_name: str
    engagement_name: str
    items: tuple[str, ...]
    """Names of the products; in a closing mail those that it is about."""
    link: str
    customer_domain: str | None = None
    contact_name: str | None = None
    """As the partner wrote it; None for an address that the customer registered."""
    registered_address: bool = False
    time_zone: str = "UTC"
    country: str | None = None
    """The customer's, ISO 3166: with the language it says how days and times are written."""
    last_day: date | None = None
    """The last day on which the customer may decline, or undo a decline."""
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    """The partners whose association ends when this one becomes official, or ended when it did."""
    refused_before: date | None = None
    """When this customer last declined the same partner, within the 12 months of rulings 21."""
    corrected: bool = False
    """The notice replaces one that promised another day."""
    since: datetime | None = None
    """From when the association is, or was, official."""
    happened_at: datetime | None = None
    """When the request was declined, or ended as `closing` says."""
    closing: Closing | None = None
    declined_by: DeclinedBy | None = None
    can_undo: bool = False
    """The reader may take the no back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerMailFacts:
    """What a mail to a partner's contact speaks of; nobody has verified that address, so names hold no links."""

    claim_name: str
    claim_id: str
    customer_domain: str
    engagement_name: str
    contact_name: str | None = None
    asked: tuple[Reason, ...] = ()
    """What the partner is asked for: some of `REQUEST_REASONS`."""
    why: tuple[Reason, ...] = ()
    """Why a claim was rejected or an association ended."""
    time_zone: str = "UTC"
    last_day: date | None = None
    """The last day on which the partner may answer, or the customer may decline or take a refusal back."""
    until: datetime | None = None
    """Until when a rejection can be disputed; None where it cannot."""
    happened_at: datetime | None = None
    items: tuple[str, ...] = ()
    """What the mail is about."""
    remaining_items: tuple[str, ...] = ()
    """What the claim or association still has."""
    upheld: bool = False
    """The claim was approved by upholding a dispute."""
    held: bool = False
    """The claim that another competes with is an official association."""
    awaits_customer: bool = False


@dataclass(frozen=True, slots=True)
class ActForm:
    """Where a form is posted, and the nonce that makes it count."""

    action: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAssociation:
    """One of the tenant's other associations, shown and ended only behind a registered notice address's link."""

    association_id: str
    partner_name: str
    engagement_name: str
    items: tuple[str, ...]
    since: datetime
    form: ActForm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What the customer's page shows of one request, and what can be done there now."""

    status: Status
    """The claim's status as of now."""
    partner_name: str
    customer_name: str
    engagement_name: str
    items: tuple[str, ...]
    page_url: str
    """The address of this page with its token; language links add `lang` to it."""
    token: str
    acts: Mapping[CustomerAct, ActForm] = field(default_factory=dict)
    """What is possible now; a form is shown for each."""
    customer_domain: str | None = None
    time_zone: str = "UTC"
    country: str | None = None
    last_day: date | None = None
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    refused_before: date | None = None
    since: datetime | None = None
    happened_at: datetime | None = None
    """When the request was declined, or the request or association came to its end."""
    closing: Closing | None = None
    ended_items: tuple[str, ...] = ()
    """Items that the association no longer holds, though it goes on for the others."""
    declined_by: DeclinedBy | None = None
    others_can_undo: bool = False
    """The no can still be taken back, not by the reader."""
    place_given_away: bool = False
    """The decline cannot be undone because another partner's request has taken the place."""
    receipts: tuple[Receipt, ...] = ()
    """With the names of items in place of their keys."""
    more_receipts: bool = False
    """There are older ones than those shown."""
    others: tuple[HeldAssociation, ...] = ()
    just_done: CustomerAct | None = None
    """The act that led here; a word of thanks is shown if the status bears it out."""
    chosen_language: str | None = None
    """The language asked for by `?lang`: the forms carry it on as `lang`, so that it outlives an act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What a page that says only why nothing else can be shown knows of the request."""

    back: str | None = None
    """The address of the request's page, where that can be shown."""
    action: str = ""
    unsent: Mapping[str, str] = field(default_factory=dict)
    """What the form sends again to *action*, of a no that could not be recorded."""
    happened_at: datetime | None = None
    declined_by: DeclinedBy | None = None
    time_zone: str = "UTC"
    country: str | None = None


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail in words; `language` is the one it is really in."""

    subject: str
    text: str
    html: str
    language: str


_NEEDED_BY_MAIL: Mapping[MailKind, tuple[str, ...]] = {
    MailKind.NOTICE: ("last_day",),
    MailKind.REMINDER: ("last_day",),
    MailKind.DECLINE_CONFIRMATION: ("happened_at",),
    MailKind.OFFICIAL_CONFIRMATION: ("since",),
    MailKind.CLOSING: ("happened_at", "closing"),
    MailKind.IMPORTED: ("since",),
}
_NEEDED_BY_PARTNER_MAIL: Mapping[PartnerMailKind, tuple[str, ...]] = {
    PartnerMailKind.ANSWER_REMINDER: ("last_day",),
    PartnerMailKind.INFORMATION_REQUESTED: ("last_day",),
    PartnerMailKind.CUSTOMER_UNREACHABLE: ("last_day",),
    PartnerMailKind.EVIDENCE_ASKED: ("last_day",),
    PartnerMailKind.CUSTOMER_TOLD: ("last_day",),
    PartnerMailKind.DECLINE_UNDONE: ("last_day", "happened_at"),
    PartnerMailKind.COMPETING: (),
}
"""A mail that is not listed here needs `happened_at`."""
_PARTNER_TEMPLATES = ("base/partner_subject.txt", "base/partner_mail.txt", "base/partner_mail.html")
_NEEDED_BY_PAGE: Mapping[Stage, tuple[str, ...]] = {
    Stage.DECLINED: ("happened_at",),
    Stage.OFFICIAL: ("since",),
    Stage.CLOSED: ("happened_at", "closing"),
}


# --- the facts, made harmless ----------------------------------------------------------------------------------------

Facts = TypeVar("Facts", MailFacts, PartnerMailFacts, PageFacts, HeldAssociation)


def _harmless(facts: Facts) -> Facts:
    """Return *facts* with every name cleaned; addresses and tokens are ours and stay as they are."""
    given = ((entry.name, getattr(facts, entry.name)) for entry in fields(facts))
    return replace(
        facts, **{name: _CLEANED[name](value) for name, value in given if value is not None and name in _CLEANED}
    )


def _lines(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(plain_line(name) for name in names)


_CLEANED: Mapping[str, Callable[[Any], Any]] = {
    "partner_name": plain_line,
    "customer_name": plain_line,
    "claim_name": lambda name: safe_contact_name(name) or "…",
    "customer_domain": plain_line,
    "engagement_name": plain_line,
    "items": _lines,
    "incumbents": _lines,
    "remaining_items": _lines,
    "ended_items": _lines,
    "contact_name": lambda name: safe_contact_name(name) or None,
    "skipped_days": lambda days: tuple(day.model_copy(update={"name": plain_line(day.name)}) for day in days),
    "receipts": lambda receipts: tuple(
        one.model_copy(update={"object_id": plain_line(one.object_id), "items": _lines(one.items)}) for one in receipts
    ),
    "others": lambda others: tuple(_harmless(other) for other in others),
}


def _require(facts: MailFacts | PartnerMailFacts | PageFacts | MessageFacts, needed: Sequence[str], what: str) -> None:
    missing = [name for name in needed if getattr(facts, name) is None]
    if missing:
        msg = f"{what} cannot be written without {', '.join(missing)}"
        raise ValueError(msg)


# --- the texts -------------------------------------------------------------------------------------------------------


class Texts:
    """Writes mails and pages. One instance serves the whole process; everything is set up when first needed."""

    def __init__(self, locale_folder: Path = PACKAGE / "locale", template_folder: Path = PACKAGE / "templates") -> None:
        """Remember where the words are; a language is there when `<language>/LC_MESSAGES/cpor.po` is."""
        self._locale_folder = locale_folder
        self._template_folder = template_folder
        self._translations: dict[str, NullTranslations] = {}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages there are, English first."""
        found = (po.parents[1].name for po in self._locale_folder.glob("*/LC_MESSAGES/cpor.po"))
        return (SOURCE_LANGUAGE, *sorted(language for language in found if language != SOURCE_LANGUAGE))

    def supported(self, tag: str | None) -> str | None:
        """Return the language in which somebody who asks for *tag* (`fr-CA`) can be written to, or None."""
        parts = (tag or "")[:MAX_TAG_CHARACTERS].strip().replace("_", "-").lower().split("-")
        known = {language.replace("_", "-").lower(): language for language in self.languages}
        for length in range(len(parts), 0, -1):
            language = known.get("-".join(parts[:length]))
            if language is not None:
                return language
        return None

    def negotiate(
        self, lang_query: str | None = None, customer_language: str | None = None, accept_language: str | None = None
    ) -> str:
        """Return the language of a page: the one asked for, else the customer's, else the browser's, else English."""
        wanted = (lang_query, customer_language, *_accepted(accept_language or ""))
        return next((found for tag in wanted if (found := self.supported(tag)) is not None), SOURCE_LANGUAGE)

    def direction(self, language: str) -> str:
        """Return `ltr` or `rtl`."""
        return self._locale(language).text_direction

    def mail(self, kind: MailKind, language: str, facts: MailFacts) -> RenderedMail:
        """Write a mail, in English where *language* has no catalogue. Raises ValueError when a fact is missing."""
        _require(facts, _NEEDED_BY_MAIL[kind], f"the mail {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = _harmless(facts)
        short = replace(facts, partner_name=plain_line(facts.partner_name, MAX_SUBJECT_NAME_CHARACTERS))
        folder = kind.name.lower()
        templates = (f"{folder}/subject.txt", f"{folder}/body.txt", f"{folder}/body.html")
        return self._written(templates, language, self._local(language, facts.time_zone, facts.country), facts, short)

    def partner_mail(self, kind: PartnerMailKind, language: str, facts: PartnerMailFacts) -> RenderedMail:
        """Write a mail to a partner, else as `mail` does."""
        _require(facts, _NEEDED_BY_PARTNER_MAIL.get(kind, ("happened_at",)), f"the partner's mail {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = _harmless(facts)
        short = replace(facts, claim_name=plain_line(facts.claim_name, MAX_SUBJECT_NAME_CHARACTERS))
        local = self._local(language, facts.time_zone)
        return self._written(_PARTNER_TEMPLATES, language, local, facts, short, kind=kind.name.lower())

    def _written(
        self,
        templates: tuple[str, str, str],
        language: str,
        local: LocalWriting,
        facts: MailFacts | PartnerMailFacts,
        short: MailFacts | PartnerMailFacts,
        **more: str,
    ) -> RenderedMail:
        """Write a mail by its templates for subject, text and HTML; *short* are the facts as a subject has room."""
        for_subject, for_text, for_html = templates
        subject = _without_controls(self._render(for_subject, language, local, facts=short, **more))
        text = self._render(for_text, language, local, facts=facts, **more)
        html = self._render(for_html, language, local, facts=facts, subject=subject, **more)
        return RenderedMail(subject, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", html, language)

    def page(self, language: str, facts: PageFacts) -> str:
        """Write the customer's page of one request. Raises ValueError for a state of which no customer hears."""
        stage = Stage.of(facts.status)
        _require(facts, _NEEDED_BY_PAGE.get(stage, ()), f"the page of a claim that is {facts.status}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = _harmless(facts)
        acts = {act.name: facts.acts.get(act) for act in CustomerAct}
        links = [(each, self._own_name(each), _with_language(facts.page_url, each)) for each in self.languages]
        local = self._local(language, facts.time_zone, facts.country)
        return self._render(
            "request_page/page.html", language, local, facts=facts, stage=stage.value, acts=acts, links=links
        )

    def message_page(self, language: str, kind: MessageKind, facts: MessageFacts | None = None) -> str:
        """Write a page that says why nothing else can be shown, with a link back to the request where it is known."""
        facts = facts or MessageFacts()
        _require(facts, ("happened_at",) if kind is MessageKind.ALREADY_DECLINED else (), f"the page {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        local = self._local(language, facts.time_zone, facts.country)
        return self._render("message_page/page.html", language, local, kind=kind.value, facts=facts)

    def insight_page(self, charts: Mapping[str, object]) -> str:
        """Write the programme's page of what all claims say; in English, as the programme's people work."""
        local = self._local(SOURCE_LANGUAGE, "UTC")
        return self._render("insight_page/page.html", SOURCE_LANGUAGE, local, **charts)

    def csp(self) -> str:
        """Return the Content-Security-Policy of every page: no script, no other host, only the one style sheet."""
        return (
            f"default-src 'none'; style-src '{self._style_hash}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    @cached_property
    def _style(self) -> str:
        return (self._template_folder / "base" / "page.css").read_text(encoding="utf-8")

    @cached_property
    def _style_hash(self) -> str:
        digest = hashlib.sha256(self._style.encode()).digest()
        return f"sha256-{base64.b64encode(digest).decode()}"

    def _local(self, language: str, time_zone: str, country: str | None = None) -> LocalWriting:
        return LocalWriting(self._regional(language, country), time_zone)

    def _render(self, template: str, language: str, local: LocalWriting, **values: object) -> str:
        translations = self._catalogue(language)
        return self._environment.get_template(template).render(
            language=language, direction=self.direction(language), local=local, translations=translations, **values
        )

    @cached_property
    def _environment(self) -> "Environment":
        """Jinja2 with autoescape for HTML, refusing to print what nobody supplied; one for all languages."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
        from markupsafe import Markup

        environment = Environment(
            loader=FileSystemLoader(self._template_folder),
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

        @pass_context
        def gettext(context: "Context", message: str) -> str:
            translated: str = context["translations"].gettext(message)
            return translated

        @pass_context
        def ngettext(context: "Context", singular: str, plural: str, number: int) -> str:
            translated: str = context["translations"].ngettext(singular, plural, number)
            return translated

        def local(name: str) -> Callable[..., str]:
            """Make a filter of what `LocalWriting` can do; the language comes from what is being rendered."""

            @pass_context
            def written(context: "Context", value: object) -> str:
                text: str = getattr(context["local"], name)(value)
                return text

            return written

        environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
        environment.filters.update(
            day=local("day"), moment=local("moment"), months=local("months"), listed=local("listed"), strong=_strong
        )
        environment.globals.update(
            style=Markup(self._style),  # noqa: S704 - our own file
            max_reason=MAX_REASON_CHARACTERS,
            Closing=Closing,
            DeclinedBy=DeclinedBy,
            Reason=Reason,
        )
        return environment

    def _catalogue(self, language: str) -> "NullTranslations":
        """Return the sentences of *language*, read from its .po file once: there is no build step to forget."""
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po
        from babel.support import NullTranslations, Translations

        if language not in self._translations:
            path = self._locale_folder / language / "LC_MESSAGES" / "cpor.po"
            if not path.exists():
                self._translations[language] = NullTranslations()
            else:
                compiled = BytesIO()
                with path.open("rb") as po:
                    write_mo(compiled, read_po(po, locale=language))
                compiled.seek(0)
                self._translations[language] = Translations(compiled)
        return self._translations[language]

    def _locale(self, language: str) -> "Locale":
        from babel import Locale

        return Locale.parse(language, sep="-" if "-" in language else "_")

    def _regional(self, language: str, country: str | None) -> "Locale":
        """
        Return how *language* is written in *country*: British dates are not American ones.

        Where nobody writes the language, English is that of the world, and any other as in its own country.
        """
        from babel import Locale, UnknownLocaleError

        if country is None or "-" in language or "_" in language:
            return self._locale(language)
        for territory in (country.upper(), "001"):
            try:
                return Locale(language, territory)
            except UnknownLocaleError:
                continue
        return self._locale(language)

    def _own_name(self, language: str) -> str:
        name = self._locale(language).get_display_name() or language
        return name[:1].upper() + name[1:]


def _strong(name: str) -> "Markup":
    """Set a name apart, also from the direction of the text around it."""
    from markupsafe import Markup

    return Markup("<strong><bdi>{}</bdi></strong>").format(name)


def _accepted(header: str) -> list[str]:
    """Return the languages of an `Accept-Language` header, the most wanted first; nonsense is left out."""
    weighted: list[tuple[float, str]] = []
    for entry in header.split(",")[:MAX_ACCEPTED_LANGUAGES]:
        tag, _, parameter = entry.partition(";")
        match = re.fullmatch(r"\s*(?:q=([01](?:\.\d{0,3})?))?\s*", parameter)
        quality = float(match[1] or 1) if match else 0.0
        if quality > 0 and tag.strip() not in ("", "*"):
            weighted.append((quality, tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda entry: -entry[0])]


def _with_language(url: str, language: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}lang={quote(language)}"


def _without_controls(subject: str) -> str:
    """Keep a subject on one line: whatever got this far, it must not begin another header."""
    line = " ".join(subject.splitlines()).strip()
    return "".join(character for character in line if unicodedata.category(character) not in {"Cc", "Zl", "Zp"})
