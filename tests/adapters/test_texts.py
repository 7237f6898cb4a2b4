"""What customers and partners read: complete in every language, equal in text and HTML, harmless whatever the names."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cpor_app.adapters.texts.facts import (
    ActForm,
    Closing,
    HeldAssociation,
    MailFacts,
    MessageFacts,
    MessageKind,
    PageFacts,
    PartnerMailFacts,
    Stage,
)
from cpor_app.adapters.texts.sanitise import MAX_CONTACT_NAME_CHARACTERS, plain_line, safe_contact_name
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.claim import (
    END_REASONS,
    REJECTION_REASONS,
    REQUEST_REASONS,
    MailKind,
    PartnerMailKind,
    Reason,
    SkippedDay,
    Status,
)
from cpor_core.model.usage import Receipt
from cpor_core.use_cases.claims.customer_acts import CustomerAct
from tools import messages

LANGUAGES = ("en", "cs", "fr")
WHY = REJECTION_REASONS | END_REASONS
LINK = "https://cpor.example/api/customer/requests/abc?t=x.y-z"

MAIL = MailFacts(
    partner_name="Fabrikam Consulting",
    customer_name="Contoso",
    customer_domain="contoso.fr",
    engagement_name="Modern Work and Security Usage",
    items=("Microsoft Teams", "Exchange Online"),
    link=LINK,
    contact_name="Zoé Lefèvre",
    time_zone="Europe/Paris",
    last_day=date(2026, 11, 27),
    skipped_days=(
        SkippedDay(date=date(2026, 11, 21), name="samedi", kind="weekend"),
        SkippedDay(date=date(2026, 11, 11), name="Armistice", kind="holiday"),
    ),
    since=datetime(2026, 11, 27, 23, tzinfo=UTC),
    happened_at=datetime(2026, 11, 20, 13, 35, tzinfo=UTC),
    closing=Closing.PARTNER_DISASSOCIATED,
)
FULL_MAIL = replace(
    MAIL,
    incumbents=("Adatum", "Northwind"),
    refused_before=date(2026, 5, 4),
    corrected=True,
    can_undo=True,
)
CLAIM_ID = "bbbbbbbb000040008000000000000001" + "a" * 20
PARTNER_MAIL = PartnerMailFacts(
    claim_name="Contoso adoption",
    claim_id=CLAIM_ID,
    customer_domain="contoso.fr",
    engagement_name="Modern Work and Security Usage",
    contact_name="Paul Petit",
    asked=tuple(sorted(REQUEST_REASONS)),
    why=tuple(sorted(WHY)),
    time_zone="Europe/Paris",
    last_day=date(2026, 11, 9),
    until=datetime(2026, 12, 9, 9, 30, tzinfo=UTC),
    happened_at=MAIL.happened_at,
    items=("Microsoft Teams",),
    remaining_items=("Exchange Online",),
    upheld=True,
    held=True,
)
BARE_PARTNER_MAIL = PartnerMailFacts(
    claim_name="Contoso adoption",
    claim_id=CLAIM_ID,
    customer_domain="contoso.fr",
    engagement_name="Modern Work and Security Usage",
    last_day=date(2026, 11, 9),
    happened_at=MAIL.happened_at,
)
FORMS = "https://cpor.example/api/customer/requests/abc"
ALL_ACTS = {act: ActForm(f"{FORMS}/{act.value}", f"nonce-of-{act.value}") for act in CustomerAct}
PAGE = PageFacts(
    status=Status.AWAITING_CUSTOMER,
    partner_name="Fabrikam Consulting",
    customer_name="Contoso",
    customer_domain="contoso.fr",
    engagement_name="Modern Work and Security Usage",
    items=("Microsoft Teams", "Exchange Online"),
    page_url=LINK,
    token="x.y-z",
    acts=ALL_ACTS,
    time_zone="Europe/Paris",
    last_day=date(2026, 11, 27),
    skipped_days=MAIL.skipped_days,
    incumbents=("Adatum",),
    refused_before=date(2026, 5, 4),
    since=MAIL.since,
    happened_at=MAIL.happened_at,
    closing=Closing.CUSTOMER_OPTED_OUT,
    ended_items=("SharePoint",),
    place_given_away=True,
    receipts=(
        Receipt(
            at=datetime(2026, 12, 4, 9, 30, tzinfo=UTC),
            organisation="aaaaaaaa-0000-4000-8000-000000000001",
            partner_id="1234567",
            object_id="8a7f6c1b",
            kind="user",
            association_id=CLAIM_ID,
            items=("Microsoft Teams",),
            months=("2026-11", "2026-12"),
        ),
    ),
    more_receipts=True,
    others=(
        HeldAssociation(
            association_id="other-1",
            partner_name="Adatum",
            engagement_name="Usage Recognition – Biz Apps",
            items=("Dynamics 365 Sales",),
            since=datetime(2026, 1, 1, tzinfo=UTC),
            form=ActForm("https://cpor.example/api/customer/requests/abc/end", "nonce-of-other"),
        ),
    ),
    chosen_language="fr",
)
STATUSES = (
    Status.SUBMITTED, Status.UNDER_REVIEW, Status.PARTNER_ACTION_REQUIRED, Status.AWAITING_CUSTOMER, Status.DISPUTED,
    Status.DECLINED, Status.OFFICIAL, Status.ENDED, Status.WITHDRAWN, Status.REJECTED, Status.REJECTED_FINAL,
)  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> Texts:
    """One instance, as in the service."""
    return Texts()


class Page(HTMLParser):
    """What a browser would make of a page: its words, its tags with their attributes, its forms with their fields."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[tuple[str, dict[str, str | None]]] = []
        self._silent = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._silent += tag in {"style", "script", "title"}
        if tag == "form":
            assert attributes["method"] == "post"
            self.forms.append((attributes["action"] or "", {}))
        elif tag in {"input", "textarea"}:
            self.forms[-1][1][attributes["name"] or ""] = attributes.get("value")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in {"style", "script", "title"}

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words += _words(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def _words(text: str) -> list[str]:
    """Return the words of *text*; what only lays it out (dashes, underlining) is none."""
    return re.findall(r"\w+", text)


# --- every mail, in every language ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", MailKind)
@pytest.mark.parametrize("facts", [MAIL, FULL_MAIL, replace(MAIL, contact_name=None, registered_address=True)])
def test_every_mail_says_the_same_in_text_and_html(
    texts: Texts, kind: MailKind, language: str, facts: MailFacts
) -> None:
    """Who reads only the plain text learns exactly what the HTML says, but for the link, which HTML hides in a word."""
    mail = texts.mail(kind, language, facts)

    text_words = _words(mail.text.replace(LINK, ""))
    page = Page(mail.html)
    assert text_words == page.words
    assert ("a", LINK) in [(tag, attributes.get("href")) for tag, attributes in page.tags]
    assert mail.language == language


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", MailKind)
def test_the_link_stands_alone_on_its_line_and_is_the_only_one(texts: Texts, kind: MailKind, language: str) -> None:
    """A mail program that breaks or joins lines cannot spoil the link, and no other address is in the mail."""
    mail = texts.mail(kind, language, FULL_MAIL)

    assert [line for line in mail.text.splitlines() if "http" in line or "://" in line] == [LINK]
    assert mail.html.count("://") == 1


@pytest.mark.parametrize("kind", MailKind)
def test_a_mail_loads_nothing_and_tracks_nobody(texts: Texts, kind: MailKind) -> None:
    """No picture, no script, no style sheet, no link but the one."""
    tags = [tag for tag, _ in Page(texts.mail(kind, "en", FULL_MAIL).html).tags]

    assert not {"img", "script", "link", "iframe", "form", "table"} & set(tags)
    assert tags.count("a") == 1


@pytest.mark.parametrize(
    ("language", "last_day", "weekend"),
    [
        ("en", "Friday, November 27, 2026", "Saturday, November 21, 2026: weekend"),
        ("fr", "vendredi 27 novembre 2026", "samedi 21 novembre 2026\u00a0: week-end"),
        ("cs", "pátek 27. listopadu 2026", "sobota 21. listopadu 2026: víkend"),
    ],
)
def test_a_notice_gives_the_last_day_and_the_skipped_days_in_words(
    texts: Texts, language: str, last_day: str, weekend: str
) -> None:
    """Days are written as the language writes them, in the text and in the subject."""
    mail = texts.mail(MailKind.NOTICE, language, MAIL)

    assert last_day in mail.text
    assert weekend in mail.text
    assert "Armistice" in mail.text
    assert last_day in mail.subject
    assert "Europe/Paris" in mail.text


def test_a_notice_names_who_asks_for_what_and_what_silence_means(texts: Texts) -> None:
    """Decision 24: partner, items, what would be seen and never seen, the three uses, and that nothing need be done."""
    text = texts.mail(MailKind.NOTICE, "en", FULL_MAIL).text

    for words in (
        "Fabrikam Consulting", "Contoso (contoso.fr)", "Modern Work and Security Usage",
        "- Microsoft Teams", "- Exchange Online",
        "You need not do anything", "becomes official when the last day is over", "how many people actively use them",
        "how many paid seats", "personal data", "administrator rights", "to recognise partners", "service providers",
        "improve its tools", "Adatum and Northwind", "For the attention of: Zoé Lefèvre", "Monday, May 4, 2026",
        "replaces an earlier one",
    ):  # fmt: skip
        assert words in text


def test_an_official_confirmation_says_since_when_in_the_customers_zone(texts: Texts) -> None:
    """The window's end, 23:00 UTC on Friday, is the beginning of Saturday in Paris."""
    mail = texts.mail(MailKind.OFFICIAL_CONFIRMATION, "fr", MAIL)

    assert "samedi 28 novembre 2026" in mail.text
    assert "mettre fin" in mail.text


@pytest.mark.parametrize("can_undo", [True, False])
def test_a_decline_confirmation_offers_the_undo_only_while_there_is_one(texts: Texts, *, can_undo: bool) -> None:
    """The link is there in any case; the promise that it can be undone is not."""
    mail = texts.mail(MailKind.DECLINE_CONFIRMATION, "en", replace(MAIL, can_undo=can_undo))

    assert ("can be undone" in mail.text) is can_undo
    assert LINK in mail.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("since", [None, MAIL.since])
@pytest.mark.parametrize("closing", Closing)
def test_every_way_to_close_has_its_words(
    texts: Texts, closing: Closing, since: datetime | None, language: str
) -> None:
    """Requests and associations, whoever closed them, in mail and page."""
    facts = replace(MAIL, closing=closing, since=since)
    mail = texts.mail(MailKind.CLOSING, language, facts)
    page = texts.page(language, replace(PAGE, status=Status.ENDED, closing=closing, since=since))

    assert mail.subject
    assert "Fabrikam Consulting" in mail.text
    assert page


@pytest.mark.parametrize(
    ("reason", "closing"),
    [
        (None, Closing.WITHDRAWN),
        ("partnerRequest", Closing.WITHDRAWN),
        ("insufficientEvidence", Closing.REJECTED),
        ("allItemsStruck", Closing.REJECTED),
        ("noPartnerResponse", Closing.GIVEN_UP),
        ("lostArbitration", Closing.LOST),
        ("superseded", Closing.SUPERSEDED),
        ("customerOptedOut", Closing.CUSTOMER_OPTED_OUT),
        ("subscriptionEnded", Closing.SUBSCRIPTION_ENDED),
        ("revokedByProgramme", Closing.REVOKED),
        ("partnerDisassociated", Closing.PARTNER_DISASSOCIATED),
    ],
)
def test_reason_codes_become_what_the_customer_is_told(reason: str | None, closing: Closing) -> None:
    """What only matters between partner and programme is not told in detail."""
    assert Closing.of(reason) is closing


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(MailKind.NOTICE, "last_day"), (MailKind.CLOSING, "closing"), (MailKind.OFFICIAL_CONFIRMATION, "since")],
)
def test_a_mail_that_lacks_a_fact_is_not_written(texts: Texts, kind: MailKind, missing: str) -> None:
    """Better no notice than one without its day."""
    facts = replace(MAIL, last_day=None, closing=None, since=None)

    with pytest.raises(ValueError, match=missing):
        texts.mail(kind, "en", facts)


def test_an_unknown_language_falls_back_to_english(texts: Texts) -> None:
    """A customer registered with a language that has no catalogue is written to in English, and the mail says so."""
    mail = texts.mail(MailKind.NOTICE, "fi", MAIL)

    assert mail.language == "en"
    assert "asks to be recorded" in mail.subject


def test_a_customer_known_by_its_domain_alone_is_named_once(texts: Texts) -> None:
    """Nobody reads `contoso.fr (contoso.fr)`."""
    text = texts.mail(MailKind.NOTICE, "en", replace(MAIL, customer_name="contoso.fr")).text

    assert "Your organisation: contoso.fr\n" in text


# --- catalogues -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", messages.po_files(), ids=lambda path: path.parents[1].name)
def test_a_catalogue_is_complete(path: Path) -> None:
    """Every sentence of the templates is translated, with the same placeholders, and nothing is left over."""
    assert list(messages.faults(messages.read(path), messages.extracted())) == []


@pytest.mark.parametrize("path", messages.po_files(), ids=lambda path: path.parents[1].name)
def test_updating_a_complete_catalogue_changes_nothing(path: Path) -> None:
    """The files are as the tool writes them, so that a translator's change is all that a diff shows."""
    assert messages.updated(messages.read(path), messages.extracted()) == path.read_bytes()


def test_a_fault_in_a_catalogue_is_found() -> None:
    """A missing sentence, another placeholder, a doubtful mark and a leftover are each named."""
    template = messages.extracted()
    catalogue = messages.read(next(path for path in messages.po_files() if path.parents[1].name == "fr"))
    catalogue["Hello,"].string = ""
    catalogue["What %(partner)s sees"].string = "Ce que voit %(partenaire)s"
    catalogue["Date"].flags.add("fuzzy")
    catalogue.add("No longer said", "Plus dit")

    found = " ".join(messages.faults(catalogue, template))

    for words in ("not translated: 'Hello,'", "other placeholders", "fuzzy", "no longer used: 'No longer said'"):
        assert words in found


def test_a_language_is_added_by_its_catalogue_alone(tmp_path: Path) -> None:
    """Arabic needs one .po file: the page turns round, dates follow, what is not translated yet stays English."""
    po = tmp_path / "ar" / "LC_MESSAGES" / "cpor.po"
    po.parent.mkdir(parents=True)
    po.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Partner"\nmsgstr "الشريك"\n',
        encoding="utf-8",
    )
    texts = Texts(locale_folder=tmp_path)

    page = texts.page("ar", PAGE)
    mail = texts.mail(MailKind.NOTICE, "ar", MAIL)

    assert texts.languages == ("en", "ar")
    assert texts.direction("ar") == "rtl"
    assert '<html lang="ar" dir="rtl">' in page
    assert "الشريك" in page
    assert "الجمعة، 27 نوفمبر 2026" in mail.text
    assert '<html lang="ar" dir="rtl">' in mail.html


def test_a_second_mail_compiles_no_template_and_reads_no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first mail of a process takes eighty times the CPU of the next."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("it was done before")

    texts = Texts()
    first = texts.mail(MailKind.NOTICE, "fr", MAIL)
    monkeypatch.setattr("jinja2.Environment.compile", fail)
    monkeypatch.setattr("babel.messages.pofile.read_po", fail)

    assert texts.mail(MailKind.NOTICE, "fr", MAIL) == first


def test_directions_follow_the_language(texts: Texts) -> None:
    """The languages there are now run from left to right."""
    assert [texts.direction(language) for language in LANGUAGES] == ["ltr", "ltr", "ltr"]
    assert texts.languages == LANGUAGES


@pytest.mark.parametrize(
    ("query", "customer", "accepted", "language"),
    [
        ("cs", "fr", "en", "cs"),
        ("xx", "fr", "en", "fr"),
        (None, "fr-CA", "en", "fr"),
        (None, "fi", "de, cs;q=0.8, fr;q=0.9", "fr"),
        (None, None, "fr;q=0, cs;q=0.1", "cs"),
        (None, None, "fr_CH", "fr"),
        (None, None, "*", "en"),
        (None, None, "", "en"),
        (None, None, ";;;,q=,fr;q=abc,\x00", "en"),
        (None, None, ", ".join(["xx"] * 50 + ["fr"]), "en"),
        ("../../etc", None, None, "en"),
        ("CS", None, None, "cs"),
    ],
)
def test_a_page_is_in_the_language_asked_for_else_the_customers_else_the_browsers(
    texts: Texts, query: str | None, customer: str | None, accepted: str | None, language: str
) -> None:
    """Nonsense in any of the three is passed over."""
    assert texts.negotiate(query, customer, accepted) == language


# --- mails to the partner --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", PartnerMailKind)
@pytest.mark.parametrize(
    "facts",
    [
        PARTNER_MAIL,
        replace(PARTNER_MAIL, contact_name=None, asked=(Reason.PRODUCTS_MISSING,)),
        BARE_PARTNER_MAIL,
        replace(BARE_PARTNER_MAIL, awaits_customer=True),
    ],
)
def test_every_partners_mail_says_the_same_in_text_and_html_and_has_no_link(
    texts: Texts, kind: PartnerMailKind, language: str, facts: PartnerMailFacts
) -> None:
    """Partners act by their own sign-in: nobody can act for them with a mail."""
    mail = texts.partner_mail(kind, language, facts)

    page = Page(mail.html)
    assert _words(mail.text) == page.words
    assert not {"a", "img", "script", "link", "iframe", "form", "table"} & {tag for tag, _ in page.tags}
    assert "://" not in mail.text + mail.html
    assert mail.language == language
    assert "Contoso adoption" in mail.subject


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_partners_mail_has_words_of_its_own(texts: Texts, language: str) -> None:
    """No two kinds can be mistaken for each other, by their subject or by their first sentence."""
    mails = [texts.partner_mail(kind, language, PARTNER_MAIL) for kind in PartnerMailKind]

    assert len({mail.subject for mail in mails}) == len(PartnerMailKind)
    assert len({mail.text.split("\n\n")[2] for mail in mails}) == len(PartnerMailKind)


@pytest.mark.parametrize(
    ("kind", "language", "words"),
    [
        (PartnerMailKind.CUSTOMER_TOLD, "en", "customer may decline: Monday, November 9, 2026"),
        (PartnerMailKind.CUSTOMER_TOLD, "fr", "peut refuser\u00a0: lundi 9 novembre 2026"),
        (PartnerMailKind.CUSTOMER_TOLD, "cs", "může zákazník odmítnout: pondělí 9. listopadu 2026"),
        (PartnerMailKind.REJECTED, "en", "It can be disputed until: December 9, 2026, 10:30\u202fAM"),
        (PartnerMailKind.REJECTED, "fr", "Contestation possible jusqu’au\u00a0: 9 décembre 2026, 10:30"),
        (PartnerMailKind.REJECTED, "cs", "Napadnout ji lze do: 9. prosince 2026 10:30"),
        (PartnerMailKind.DECLINED, "en", "can take this back: Monday, November 9, 2026"),
        (PartnerMailKind.COMPETING, "en", "the most recent evidence of work decides"),
        (PartnerMailKind.COMPETING, "fr", "la preuve de travail la plus récente l’emporte"),
        (PartnerMailKind.COMPETING, "cs", "rozhoduje nejnovější doklad o práci"),
        (PartnerMailKind.ITEMS_ENDED, "en", "Microsoft Teams"),
        (PartnerMailKind.ITEMS_STRUCK, "en", "Exchange Online"),
    ],
)
def test_a_partners_mail_says_what_has_happened_and_until_when(
    texts: Texts, kind: PartnerMailKind, language: str, words: str
) -> None:
    """In the partner's language, days and times as it writes them."""
    assert words in texts.partner_mail(kind, language, PARTNER_MAIL).text


def test_what_cannot_be_disputed_or_taken_back_is_not_said_to_be(texts: Texts) -> None:
    """Neither a day nor a call for it stands in the mail."""
    rejected = texts.partner_mail(PartnerMailKind.REJECTED, "en", BARE_PARTNER_MAIL).text
    declined = texts.partner_mail(PartnerMailKind.DECLINED, "en", replace(BARE_PARTNER_MAIL, last_day=None)).text

    assert "/dispute" not in rejected
    assert "cannot be disputed" in rejected
    assert "take this back" not in declined


def test_a_claims_name_begins_no_header_and_no_link(texts: Texts) -> None:
    """Nobody has verified the address of the partner's contact."""
    name = "Win\r\nBcc: all@contoso.fr\r\nhttps://evil.example/ <b>"

    for kind in PartnerMailKind:
        mail = texts.partner_mail(kind, "en", replace(PARTNER_MAIL, claim_name=name))
        assert mail.subject == mail.subject.replace("\n", "").replace("\r", "")
        assert not any(text in mail.subject + mail.text for text in ("Bcc:", "://", "evil.example", "<b>"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words(texts: Texts, language: str) -> None:
    """Each of the core's reasons for a rejection or an end is a line of its own."""
    lines = {
        one: texts.partner_mail(PartnerMailKind.ENDED, language, replace(PARTNER_MAIL, why=(one,))).text for one in WHY
    }

    assert len(set(lines.values())) == len(WHY)


@pytest.mark.parametrize(
    ("language", "asked", "last_day"),
    [
        ("en", "Dates are missing in the evidence", "Last day to answer: Monday, November 9, 2026"),
        ("fr", "Des dates manquent dans les preuves", "Dernier jour pour répondre\u00a0: lundi 9 novembre 2026"),
        ("cs", "V dokladech chybějí data", "Poslední den pro odpověď: pondělí 9. listopadu 2026"),
        ("fi", "Dates are missing in the evidence", "Last day to answer: Monday, November 9, 2026"),
    ],
)
def test_an_answer_reminder_says_what_is_asked_until_when_and_how_to_answer(
    texts: Texts, language: str, asked: str, last_day: str
) -> None:
    """In the partner's language, or in English where that has no catalogue."""
    mail = texts.partner_mail(PartnerMailKind.ANSWER_REMINDER, language, PARTNER_MAIL)

    for words in (
        "Contoso adoption", CLAIM_ID, "contoso.fr", "Modern Work and Security Usage", "Paul Petit", asked, last_day,
        "Europe/Paris", f"PATCH /claims/{CLAIM_ID}", f"POST /claims/{CLAIM_ID}/resubmit",
    ):  # fmt: skip
        assert words in mail.text
    assert "Contoso adoption" in mail.subject


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_a_partner_can_be_asked_for_has_its_words(texts: Texts, language: str) -> None:
    """Each of the core's reasons is a line of its own."""
    lines = {
        one: texts.partner_mail(PartnerMailKind.ANSWER_REMINDER, language, replace(PARTNER_MAIL, asked=(one,))).text
        for one in REQUEST_REASONS
    }

    assert len(set(lines.values())) == len(REQUEST_REASONS)


def test_a_partners_mail_is_not_written_without_what_it_speaks_of(texts: Texts) -> None:
    """A reminder without its day is a mistake of ours."""
    with pytest.raises(ValueError, match="last_day"):
        texts.partner_mail(PartnerMailKind.ANSWER_REMINDER, "en", replace(PARTNER_MAIL, last_day=None))


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("status", STATUSES)
def test_the_page_of_every_state_can_be_shown(texts: Texts, status: Status, language: str) -> None:
    """With everything there is to show, and with nothing but what must be there."""
    bare = PageFacts(
        status=status,
        partner_name="Fabrikam",
        customer_name="Contoso",
        engagement_name="Engagement",
        items=("Teams",),
        page_url=LINK,
        token="t",
        since=MAIL.since if Stage.of(status) is Stage.OFFICIAL else None,
        happened_at=MAIL.happened_at,
        closing=Closing.WITHDRAWN,
    )

    for facts in (replace(PAGE, status=status), bare):
        page = Page(texts.page(language, facts))
        assert "Fabrikam" in page.text
        assert [tag for tag, _ in page.tags].count("h1") == 1


@pytest.mark.parametrize("status", [Status.DRAFT, Status.DELETED])
def test_a_state_of_which_no_customer_hears_has_no_page(texts: Texts, status: Status) -> None:
    """A draft has never been told to anybody."""
    with pytest.raises(ValueError, match="no customer"):
        texts.page("en", replace(PAGE, status=status))


def test_each_act_has_one_form_with_token_nonce_and_language(texts: Texts) -> None:
    """The forms post to an address that ends in the act; only decline and end ask for a reason."""
    forms = dict(Page(texts.page("fr", replace(PAGE, others=()))).forms)

    assert {action.rsplit("/", 1)[1]: fields for action, fields in forms.items()} == {
        "decline": {"t": "x.y-z", "nonce": "nonce-of-decline", "lang": "fr", "reason": None},
        "undo": {"t": "x.y-z", "nonce": "nonce-of-undo", "lang": "fr"},
        "end": {"t": "x.y-z", "nonce": "nonce-of-end", "lang": "fr", "reason": None},
        "not-me": {"t": "x.y-z", "nonce": "nonce-of-not-me", "lang": "fr"},
    }


def test_only_what_is_possible_now_is_offered(texts: Texts) -> None:
    """Without acts there is no form; without a chosen language the forms carry none."""
    assert Page(texts.page("en", replace(PAGE, acts={}, others=()))).forms == []
    only = Page(
        texts.page(
            "en", replace(PAGE, acts={CustomerAct.UNDO: ALL_ACTS[CustomerAct.UNDO]}, others=(), chosen_language=None)
        )
    ).forms
    assert only == [(ALL_ACTS[CustomerAct.UNDO].action, {"t": "x.y-z", "nonce": "nonce-of-undo"})]


def test_another_association_is_ended_by_a_form_of_its_own(texts: Texts) -> None:
    """Behind a registered notice address's link each association names itself."""
    page = Page(texts.page("en", replace(PAGE, status=Status.OFFICIAL, acts={}, chosen_language=None)))

    assert page.forms == [
        (
            "https://cpor.example/api/customer/requests/abc/end",
            {"t": "x.y-z", "nonce": "nonce-of-other", "associationId": "other-1"},
        )
    ]


def test_an_official_page_shows_who_looked_when_and_at_what(texts: Texts) -> None:
    """In the customer's time and language, months drawn together."""
    html = texts.page("fr", replace(PAGE, status=Status.OFFICIAL))

    assert "4 décembre 2026, 10:30" in html
    assert "novembre 2026 – décembre 2026" in html
    assert "8a7f6c1b" in html


def test_months_with_a_gap_are_not_drawn_together(texts: Texts) -> None:
    """What was not looked at is not shown as if it had been."""
    receipt = PAGE.receipts[0].model_copy(update={"months": ("2026-12", "2026-10", "2026-11", "2027-02")})

    html = texts.page("en", replace(PAGE, status=Status.OFFICIAL, receipts=(receipt,)))

    assert "October 2026 – December 2026 and February 2027" in html


@pytest.mark.parametrize(
    ("status", "done", "thanked"),
    [
        (Status.DECLINED, CustomerAct.DECLINE, True),
        (Status.AWAITING_CUSTOMER, CustomerAct.UNDO, True),
        (Status.ENDED, CustomerAct.END, True),
        (Status.ENDED, CustomerAct.DECLINE, True),
        (Status.AWAITING_CUSTOMER, CustomerAct.NOT_ME, True),
        (Status.AWAITING_CUSTOMER, CustomerAct.DECLINE, False),
        (Status.DECLINED, CustomerAct.UNDO, False),
        (Status.OFFICIAL, CustomerAct.END, False),
        (Status.DECLINED, None, False),
    ],
)
def test_an_act_is_acknowledged_only_if_the_state_bears_it_out(
    texts: Texts, status: Status, done: CustomerAct | None, *, thanked: bool
) -> None:
    """A forged address cannot make the page claim that something was done."""
    assert ('role="status"' in texts.page("en", replace(PAGE, status=status, just_done=done))) is thanked


def test_language_links_keep_the_token_and_mark_the_present_language(texts: Texts) -> None:
    """They are plain links: no script is needed to read in another language."""
    links = [attributes for tag, attributes in Page(texts.page("cs", PAGE)).tags if tag == "a"]

    assert [link["href"] for link in links] == [f"{LINK}&lang={language}" for language in LANGUAGES]
    assert [link["lang"] for link in links if link.get("aria-current")] == ["cs"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(set(MessageKind) - {MessageKind.NOT_RECORDED}))
def test_every_refusal_has_a_page_in_words(texts: Texts, kind: MessageKind, language: str) -> None:
    """With a way back where the request is known, without one where it is not."""
    with_back = Page(texts.message_page(language, kind, MessageFacts(back=LINK, happened_at=MAIL.happened_at)))
    without = Page(texts.message_page(language, kind, MessageFacts(happened_at=MAIL.happened_at)))

    assert [attributes["href"] for tag, attributes in with_back.tags if tag == "a"] == [LINK]
    assert [tag for tag, _ in without.tags if tag in {"a", "form"}] == []
    assert len(without.words) > 20


@pytest.mark.parametrize("status", STATUSES)
def test_pages_keep_their_own_content_security_policy(texts: Texts, status: Status) -> None:
    """One style sheet, whose hash the policy names; no script, no style attribute, no handler, nothing loaded."""
    import base64
    import hashlib

    html = texts.page("en", replace(PAGE, status=status))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    page = Page(html)

    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in texts.csp()
    assert not {"script", "img", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]


# --- hostile names ----------------------------------------------------------------------------------------------------

CONTROLS = "[\u0000-\u0009\u000b-\u001f\u0085\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800]"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Jan\r\nBcc: everybody@evil.example\r\n\r\nhttps://evil.example",
    "\u202egro.live//:sptth\u2066",
    "a\u2028b\u2029c\x00\x1b[31m\x85\u200b\ufeff",
    "{{ 7*7 }} %(partner)s %s {% include 'x' %}",
    "x" * 5000,
    "\ud800 lone surrogate",
    "&lt;b&gt; &amp; 'quotes'",
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("kind", MailKind)
def test_hostile_names_come_out_of_a_mail_harmless(texts: Texts, kind: MailKind, hostile: str) -> None:
    """No tag, no further line in the subject, no character that turns the text, no endless name."""
    facts = replace(
        FULL_MAIL,
        partner_name=hostile,
        customer_name=hostile,
        customer_domain=hostile,
        contact_name=hostile,
        engagement_name=hostile,
        items=(hostile,),
        incumbents=(hostile,),
        skipped_days=(SkippedDay(date=date(2026, 11, 11), name=hostile, kind="holiday"),),
    )

    mail = texts.mail(kind, "en", facts)

    tags = {tag for tag, _ in Page(mail.html).tags}
    assert not {"script", "img", "b"} & tags
    assert mail.subject.isprintable() or "\u202f" in mail.subject
    assert len(mail.subject) < 250
    for text in (mail.text, mail.html):
        assert not re.search(CONTROLS, text)
        assert "x" * 300 not in text
        text.encode()
    assert not [line for line in mail.text.splitlines() if line.startswith(("Bcc", "https://evil"))]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("kind", PartnerMailKind)
def test_hostile_names_come_out_of_a_partners_mail_harmless(texts: Texts, kind: PartnerMailKind, hostile: str) -> None:
    """Nobody has verified a partner contact's address: what a partner wrote can't make a link or a tag there either."""
    facts = replace(
        PARTNER_MAIL, claim_name=hostile, contact_name=hostile, customer_domain=hostile, engagement_name=hostile
    )
    named = replace(PARTNER_MAIL, claim_name=hostile, contact_name=hostile)

    mail, only_named = texts.partner_mail(kind, "en", facts), texts.partner_mail(kind, "en", named)

    assert not {"script", "img", "b"} & {tag for tag, _ in Page(mail.html).tags}
    assert mail.subject.isprintable()
    assert len(mail.subject) < 250
    assert "://" not in only_named.text + only_named.html + only_named.subject
    for text in (mail.text, mail.html):
        assert not re.search(CONTROLS, text)
        assert "x" * 300 not in text
        text.encode()
    assert not [line for line in mail.text.splitlines() if line.startswith(("Bcc", "https://evil"))]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("status", [Status.AWAITING_CUSTOMER, Status.DECLINED, Status.OFFICIAL, Status.ENDED])
def test_hostile_names_come_out_of_the_page_harmless(texts: Texts, status: Status, hostile: str) -> None:
    """No name becomes part of the page's structure."""
    calm = Page(texts.page("en", replace(PAGE, status=status)))
    facts = replace(
        PAGE,
        status=status,
        partner_name=hostile,
        customer_name=hostile,
        engagement_name=hostile,
        items=(hostile, hostile),
        incumbents=(hostile,),
        ended_items=(hostile,),
        receipts=(PAGE.receipts[0].model_copy(update={"object_id": hostile, "items": (hostile,)}),),
        others=(replace(PAGE.others[0], partner_name=hostile, items=(hostile,)),),
    )

    html = texts.page("en", facts)

    page = Page(html)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert [action for action, _ in page.forms] == [action for action, _ in calm.forms]
    assert not re.search(CONTROLS, html)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Zoé Lefèvre", "Zoé Lefèvre"),
        ("  Jan \t Novák  ", "Jan Novák"),
        ("محمد علي", "محمد علي"),
        ("Go to https://evil.example/x now", "Go to httpsevil. examplex now"),
        ("evil.example", "evil. example"),
        ("evil\uff0eexample", "evil. example"),
        ("J.R. Smith", "J. R. Smith"),
        ("a\uff1a\uff0f\uff0fb", "ab"),
        ("jan@contoso.cz", "jancontoso. cz"),
        ("<b>Jan</b>", "bJanb"),
        ("Jan\r\nBcc: x", "Jan Bcc x"),
        ("\u202e\u2066:/@<>", ""),
    ],
)
def test_a_contact_is_named_and_nothing_more(written: str, shown: str) -> None:
    """Decision 24: a name cannot carry an address, a tag, a line break or a turn of direction."""
    assert safe_contact_name(written) == shown


def test_a_long_contact_name_is_cut() -> None:
    """A hundred characters, the ellipsis among them; dots cannot stretch it again."""
    assert len(safe_contact_name("a" * 500)) == MAX_CONTACT_NAME_CHARACTERS
    assert len(safe_contact_name("a." * 500)) <= MAX_CONTACT_NAME_CHARACTERS


def test_a_name_that_is_nothing_is_left_out(texts: Texts) -> None:
    """A contact of whom nothing remains is not addressed at all."""
    assert "attention" not in texts.mail(MailKind.NOTICE, "en", replace(MAIL, contact_name="<:@/>")).text


def test_a_name_of_two_lines_becomes_one_line() -> None:
    """So that it begins no header and no paragraph of its own."""
    assert plain_line("one\ntwo") == "one two"


# --- cost -------------------------------------------------------------------------------------------------------------


def test_importing_the_texts_loads_neither_babel_nor_jinja() -> None:
    """A cold start that sends no mail does not pay for them."""
    code = (
        "import sys; from cpor_app.adapters.texts.texts import Texts; import cpor_app.adapters.mail.smtp; Texts  ;"
        "print([name for name in ('babel', 'jinja2', 'aiosmtplib', 'email_validator') if name in sys.modules])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert loaded == "[]"


@pytest.mark.parametrize(
    ("language", "country", "written"),
    [
        ("en", None, "Friday, November 27, 2026"),
        ("en", "US", "Friday, November 27, 2026"),
        ("en", "GB", "Friday, 27 November 2026"),
        ("en", "IE", "Friday 27 November 2026"),
        ("en-GB", "GB", "Friday, 27 November 2026"),
        ("en", "FR", "Friday, 27 November 2026"),
        ("en", "XK", "Friday, 27 November 2026"),
        ("fr", "FR", "vendredi 27 novembre 2026"),
        ("fr", "CA", "vendredi 27 novembre 2026"),
        ("fr", "CZ", "vendredi 27 novembre 2026"),
        ("cs", "CZ", "pátek 27. listopadu 2026"),
        ("cs", "GB", "pátek 27. listopadu 2026"),
    ],
)
def test_days_are_written_as_in_the_customers_country(
    texts: Texts, language: str, country: str | None, written: str
) -> None:
    """On the page and in mails; where nobody writes the language, as in its own country, English as in the world."""
    mail = texts.mail(MailKind.NOTICE, language, replace(MAIL, country=country, last_day=date(2026, 11, 27)))
    page = texts.page(
        language, replace(PAGE, status=Status.AWAITING_CUSTOMER, country=country, last_day=date(2026, 11, 27))
    )

    assert written in mail.text
    assert written in page


@pytest.mark.parametrize(
    ("language", "country", "written"), [("en", "US", "2:35"), ("en", "GB", "14:35"), ("fr", "CA", "14 h 35")]
)
def test_times_are_written_as_in_the_customers_country(texts: Texts, language: str, country: str, written: str) -> None:
    """A customer in London reads no AM and PM."""
    page = texts.page(language, replace(PAGE, status=Status.DECLINED, country=country))

    assert written in page.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
