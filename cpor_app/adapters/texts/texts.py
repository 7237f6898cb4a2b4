"""
Writes mails and pages for customers and partners, in each language that has a catalogue.

The texts are in `cpor_app/templates` (English) and `cpor_app/locale` (other languages). Names from partners and from
the registry are sanitised here, so no template has to do that. Babel and Jinja2 are imported when the first text is
written, because a cold start often writes no text.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cpor_app.adapters.texts.facts import (
    Closing,
    DeclinedBy,
    MailFacts,
    MessageFacts,
    MessageKind,
    PageFacts,
    PartnerMailFacts,
    Stage,
    sanitised,
)
from cpor_app.adapters.texts.l10n import LocalFormat
from cpor_app.adapters.texts.sanitise import plain_line
from cpor_core.model.claim import MailKind, PartnerMailKind, Reason
from cpor_core.use_cases.claims.customer_acts import CustomerAct

if TYPE_CHECKING:
    from babel import Locale
    from babel.support import NullTranslations
    from jinja2 import Environment
    from jinja2.runtime import Context
    from markupsafe import Markup

SOURCE_LANGUAGE = "en"
"""The language of the templates. A sentence that a catalogue lacks is shown in this language."""
MAX_SUBJECT_NAME_CHARACTERS = 80
MAX_REASON_CHARACTERS = 1000
"""The longest reason that a customer can give for a no or an end (decision 6)."""
MAX_ACCEPTED_LANGUAGES = 20
"""No browser sends a longer `Accept-Language` header."""
MAX_TAG_CHARACTERS = 40
"""The part of a language tag that is read. The rest cannot change the choice of the catalogue."""

PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A finished mail. `language` is the language of its text."""

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
"""The facts that a mail needs. A mail that is not listed here needs `happened_at`."""
_PARTNER_TEMPLATES = ("base/partner_subject.txt", "base/partner_mail.txt", "base/partner_mail.html")
_NEEDED_BY_PAGE: Mapping[Stage, tuple[str, ...]] = {
    Stage.DECLINED: ("happened_at",),
    Stage.OFFICIAL: ("since",),
    Stage.CLOSED: ("happened_at", "closing"),
}


def _require(facts: MailFacts | PartnerMailFacts | PageFacts | MessageFacts, needed: Sequence[str], what: str) -> None:
    missing = [name for name in needed if getattr(facts, name) is None]
    if missing:
        msg = f"{what} cannot be written without {', '.join(missing)}"
        raise ValueError(msg)


# --- the texts -------------------------------------------------------------------------------------------------------


class Texts:
    """Writes mails and pages. A process has one instance. It loads libraries and catalogues when they are needed."""

    def __init__(self, locale_folder: Path = PACKAGE / "locale", template_folder: Path = PACKAGE / "templates") -> None:
        """Use these folders. A language exists if its catalogue `<language>/LC_MESSAGES/cpor.po` exists."""
        self._locale_folder = locale_folder
        self._template_folder = template_folder
        self._translations: dict[str, NullTranslations] = {}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Return all languages, English first."""
        found = (po.parents[1].name for po in self._locale_folder.glob("*/LC_MESSAGES/cpor.po"))
        return (SOURCE_LANGUAGE, *sorted(language for language in found if language != SOURCE_LANGUAGE))

    def supported(self, tag: str | None) -> str | None:
        """Return the language to use for a tag such as `fr-CA`, or None if no catalogue fits."""
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
        """Return the language of a page: from the query, else the customer's, else the browser's, else English."""
        wanted = (lang_query, customer_language, *_accepted(accept_language or ""))
        return next((found for tag in wanted if (found := self.supported(tag)) is not None), SOURCE_LANGUAGE)

    def direction(self, language: str) -> str:
        """Return `ltr` or `rtl`."""
        return self._locale(language).text_direction

    def mail(self, kind: MailKind, language: str, facts: MailFacts) -> RenderedMail:
        """Write a mail, in English if *language* has no catalogue. Raises ValueError when a fact is missing."""
        _require(facts, _NEEDED_BY_MAIL[kind], f"the mail {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = sanitised(facts)
        short = replace(facts, partner_name=plain_line(facts.partner_name, MAX_SUBJECT_NAME_CHARACTERS))
        folder = kind.name.lower()
        templates = (f"{folder}/subject.txt", f"{folder}/body.txt", f"{folder}/body.html")
        return self._written(templates, language, self._local(language, facts.time_zone, facts.country), facts, short)

    def partner_mail(self, kind: PartnerMailKind, language: str, facts: PartnerMailFacts) -> RenderedMail:
        """Write a mail to a partner's contact. Language and errors are as in `mail`."""
        _require(facts, _NEEDED_BY_PARTNER_MAIL.get(kind, ("happened_at",)), f"the partner's mail {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = sanitised(facts)
        short = replace(facts, claim_name=plain_line(facts.claim_name, MAX_SUBJECT_NAME_CHARACTERS))
        local = self._local(language, facts.time_zone)
        return self._written(_PARTNER_TEMPLATES, language, local, facts, short, kind=kind.name.lower())

    def _written(
        self,
        templates: tuple[str, str, str],
        language: str,
        local: LocalFormat,
        facts: MailFacts | PartnerMailFacts,
        short: MailFacts | PartnerMailFacts,
        **more: str,
    ) -> RenderedMail:
        """Write a mail from its templates for subject, text and HTML. *short* has shortened names, for the subject."""
        for_subject, for_text, for_html = templates
        subject = _without_controls(self._render(for_subject, language, local, facts=short, **more))
        text = self._render(for_text, language, local, facts=facts, **more)
        html = self._render(for_html, language, local, facts=facts, subject=subject, **more)
        return RenderedMail(subject, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", html, language)

    def page(self, language: str, facts: PageFacts) -> str:
        """Write the customer's page of one request. Raises ValueError for a status that customers never see."""
        stage = Stage.of(facts.status)
        _require(facts, _NEEDED_BY_PAGE.get(stage, ()), f"the page of a claim that is {facts.status}")
        language = self.supported(language) or SOURCE_LANGUAGE
        facts = sanitised(facts)
        acts = {act.name: facts.acts.get(act) for act in CustomerAct}
        links = [(each, self._own_name(each), _with_language(facts.page_url, each)) for each in self.languages]
        local = self._local(language, facts.time_zone, facts.country)
        return self._render(
            "request_page/page.html", language, local, facts=facts, stage=stage.value, acts=acts, links=links
        )

    def message_page(self, language: str, kind: MessageKind, facts: MessageFacts | None = None) -> str:
        """Write a page that has only a message, and a link to the request if the request is known."""
        facts = facts or MessageFacts()
        _require(facts, ("happened_at",) if kind is MessageKind.ALREADY_DECLINED else (), f"the page {kind.value}")
        language = self.supported(language) or SOURCE_LANGUAGE
        local = self._local(language, facts.time_zone, facts.country)
        return self._render("message_page/page.html", language, local, kind=kind.value, facts=facts)

    def insight_page(self, figures: Mapping[str, object]) -> str:
        """Write the programme's page of figures, in English, the programme's working language."""
        local = self._local(SOURCE_LANGUAGE, "UTC")
        return self._render("insight_page/page.html", SOURCE_LANGUAGE, local, **figures)

    def number(self, number: int) -> str:
        """Return a whole number as a page in English shows it."""
        return self._local(SOURCE_LANGUAGE, "UTC").number(number)

    def month(self, month: str) -> str:
        """Return a month (`YYYY-MM`) in English words."""
        return self._local(SOURCE_LANGUAGE, "UTC").months([month])

    def country(self, code: str) -> str | None:
        """Return the English name of a country. None for a code that is not known."""
        name: str | None = self._locale(SOURCE_LANGUAGE).territories.get(code)
        return name

    def csp(self) -> str:
        """Return the Content-Security-Policy of all pages. It allows only our style sheet, and forms to this host."""
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

    def _local(self, language: str, time_zone: str, country: str | None = None) -> LocalFormat:
        return LocalFormat(self._regional(language, country), time_zone)

    def _render(self, template: str, language: str, local: LocalFormat, **values: object) -> str:
        translations = self._catalogue(language)
        return self._environment.get_template(template).render(
            language=language, direction=self.direction(language), local=local, translations=translations, **values
        )

    @cached_property
    def _environment(self) -> "Environment":
        """Return Jinja2's environment for all languages. It escapes HTML, and an undefined value is an error."""
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
            """Make a filter from a method of `LocalFormat`, in the language of the rendered text."""

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
        """Return the sentences of *language*. They are read from its .po file, so there is no build step."""
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
        Return *language* as *country* writes it, because British dates differ from American dates.

        If the country does not use the language, English is international English, and any other language is as in its
        main country.
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
    """Emphasise a name, and isolate its writing direction from the text around it."""
    from markupsafe import Markup

    return Markup("<strong><bdi>{}</bdi></strong>").format(name)


def _accepted(header: str) -> list[str]:
    """Return the languages of an `Accept-Language` header in the order of preference, without invalid entries."""
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
    """Return a subject on one line, so that it cannot begin another header."""
    line = " ".join(subject.splitlines()).strip()
    return "".join(character for character in line if unicodedata.category(character) not in {"Cc", "Zl", "Zp"})
