"""The customer's page in a real browser: readable by everybody, true to its own policy, alive without script."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from cpor_app.adapters.texts.facts import (
    ActForm,
    Closing,
    HeldAssociation,
    MailFacts,
    MessageFacts,
    MessageKind,
    PageFacts,
)
from cpor_app.adapters.texts.insight_page import insight_page
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.claim import MailKind, SkippedDay, Status
from cpor_core.model.insight import Grouping, Stage, Step
from cpor_core.model.usage import Receipt
from cpor_core.use_cases.claims.customer_acts import CustomerAct
from cpor_core.use_cases.insight.answers import Sums

pytestmark = pytest.mark.xdist_group("browser")

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Scheme = Literal["light", "dark"]
VIEWS: Mapping[str, tuple[int, Scheme]] = {
    "desk": (1200, "light"),
    "night": (1200, "dark"),
    "phone": (320, "light"),
    "phone-night": (320, "dark"),
}
STATUSES = (Status.AWAITING_CUSTOMER, Status.UNDER_REVIEW, Status.DECLINED, Status.OFFICIAL, Status.ENDED)
ARABIC = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Partner"\nmsgstr "الشريك"\n'


class Site:
    """A server on this machine that shows pages under the service's own policy and remembers what is posted."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.policy: str | None = None
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                html = site.pages.get(urlsplit(self.path).path)
                self.send_response(404 if html is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Referrer-Policy", "no-referrer")
                if site.policy is not None:
                    self.send_header("Content-Security-Policy", site.policy)
                self.end_headers()
                self.wfile.write((html or "").encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fields = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
                site.posted.append((urlsplit(self.path).path, fields))
                self.send_response(303)
                self.send_header("Location", f"{site.url}/after?t={fields['t']}")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Keep the test's output to itself."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def texts() -> Texts:
    """The words as they are."""
    return Texts()


@pytest.fixture
def site(texts: Texts) -> Iterator[Site]:
    """An empty site under the pages' own policy."""
    site = Site()
    site.policy = texts.csp()
    yield site
    site.close()


class Visit:
    """One page in one browser, and everything that it complained about or asked for."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def faults(self) -> list[str]:
        """Return what axe-core finds wrong, with the element."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        options = json.dumps({"runOnly": RULES, "preload": False, "resultTypes": ["violations"]})
        result: dict[str, Any] = self.page.evaluate(f"axe.run(document, {options})")
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    def overflows(self) -> bool:
        """Whether the page has to be pushed sideways to be read."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wide


@pytest.fixture(params=VIEWS)
def visit(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Visit]:
    """A browser in each view: wide and narrow, by day and by night."""
    width, scheme = VIEWS[request.param]
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield Visit(context)
    context.close()


@pytest.fixture
def visit_without_script(browser: Browser) -> Iterator[Visit]:
    """A browser that runs no script at all."""
    context = browser.new_context(java_script_enabled=False)
    yield Visit(context)
    context.close()


def _facts(site: Site, status: Status = Status.AWAITING_CUSTOMER) -> PageFacts:
    """Everything that a page of that status may show."""
    base = f"{site.url}/api/customer/requests/abc"
    offered = {
        Status.AWAITING_CUSTOMER: (CustomerAct.DECLINE, CustomerAct.NOT_ME),
        Status.UNDER_REVIEW: (CustomerAct.DECLINE,),
        Status.DECLINED: (CustomerAct.UNDO,),
        Status.OFFICIAL: (CustomerAct.END,),
    }
    held = HeldAssociation(
        association_id="other-1",
        partner_name="Adatum",
        engagement_name="Usage Recognition – Biz Apps",
        items=("Dynamics 365 Sales",),
        since=datetime(2026, 1, 1, tzinfo=UTC),
        form=ActForm(f"{base}/end", "nonce-of-other"),
    )
    receipt = Receipt(
        at=datetime(2026, 12, 4, 9, 30, tzinfo=UTC),
        organisation="aaaaaaaa-0000-4000-8000-000000000001",
        partner_id="1234567",
        object_id="8a7f6c1b-0000-4000-8000-00000000c0de",
        kind="user",
        association_id="abc",
        items=("Microsoft Teams", "Exchange Online"),
        months=("2026-11", "2026-12"),
    )
    return PageFacts(
        status=status,
        partner_name="Fabrikam Consulting",
        customer_name="Contoso",
        customer_domain="contoso.fr",
        engagement_name="Modern Work and Security Usage",
        items=("Microsoft Teams", "Exchange Online"),
        page_url=f"{base}?t=x.y-z",
        token="x.y-z",
        acts={act: ActForm(f"{base}/{act.value}", f"nonce-of-{act.value}") for act in offered.get(status, ())},
        time_zone="Europe/Paris",
        last_day=date(2026, 11, 27),
        skipped_days=(SkippedDay(date=date(2026, 11, 21), name="samedi", kind="weekend"),),
        incumbents=("Adatum",),
        refused_before=date(2026, 5, 4),
        since=datetime(2026, 11, 27, 23, tzinfo=UTC) if status in {Status.OFFICIAL, Status.ENDED} else None,
        happened_at=datetime(2026, 11, 20, 13, 35, tzinfo=UTC),
        closing=Closing.CUSTOMER_OPTED_OUT,
        receipts=(receipt,) * 3,
        more_receipts=True,
        others=(held,),
        just_done={Status.DECLINED: CustomerAct.DECLINE, Status.ENDED: CustomerAct.END}.get(status),
        chosen_language="fr",
    )


@pytest.mark.parametrize("status", STATUSES)
def test_the_page_is_accessible_and_keeps_its_policy(site: Site, texts: Texts, visit: Visit, status: Status) -> None:
    """By axe-core in every view: names, headings, contrast, language; nothing refused, nothing loaded, no sideways."""
    site.pages["/page"] = texts.page("fr", _facts(site, status))

    visit.page.goto(f"{site.url}/page")

    assert visit.faults() == []
    assert visit.complaints == []
    assert visit.requests == [f"{site.url}/page"]
    assert not visit.overflows()


@pytest.mark.parametrize("kind", [MessageKind.NOT_FOUND, MessageKind.STALE_FORM, MessageKind.ALREADY_DECLINED])
def test_the_pages_that_refuse_are_accessible_too(site: Site, texts: Texts, visit: Visit, kind: MessageKind) -> None:
    """Whoever followed a broken link can at least read why."""
    site.pages["/page"] = texts.message_page(
        "cs", kind, MessageFacts(back=f"{site.url}/page?t=x", happened_at=datetime(2026, 11, 20, 13, 35, tzinfo=UTC))
    )

    visit.page.goto(f"{site.url}/page")

    assert visit.faults() == []
    assert visit.complaints == []
    assert not visit.overflows()


def test_the_page_of_all_claims_is_accessible_and_keeps_its_policy(site: Site, texts: Texts, visit: Visit) -> None:
    """Its charts have whole titles, its tables can be read, and the names that partners choose are only text."""
    site.pages["/page"] = insight_page(texts, partial(_many_groups().answer, shows_small=True))

    visit.page.goto(f"{site.url}/page")

    assert visit.faults() == []
    assert visit.complaints == []
    assert visit.requests == [f"{site.url}/page"]
    assert not visit.overflows()
    assert visit.page.locator("h3").count() == 2 + 4 + 3 + 3 + 6
    assert visit.page.locator("script").count() == 0


def _many_groups() -> Sums:
    """Return sums with 30 groups of each grouping, and with names that nobody should choose."""
    counts = {
        "claims": 40,
        "associations": 9,
        "told": 30,
        "declined": 3,
        "counted": 8,
        "baseline": 100,
        "now": 90,
        "claimable": 50,
        "held": 20,
        "customers": 7,
        "decline|none": 3,
        "rejection|lostArbitration": 2,
        "end|superseded": 1,
        **{f"reached|{stage}": 40 for stage in Stage},
        **{f"took|{step}|90": 5 for step in Step},
    }
    keys = {grouping: [f"key-{number}" for number in range(30)] for grouping in Grouping} | {
        Grouping.STATUS: [status.value for status in Status if status is not Status.DELETED],
        Grouping.MONTH: [f"2025-{month:02d}" for month in range(1, 13)] + ["2026-01"],
        Grouping.COUNTRY: ["FR", "CZ", "unknown"],
    }
    groups = {f"{grouping}|{key}": counts for grouping, of_grouping in keys.items() for key in of_grouping}
    names = {
        (grouping, key): f"<script>alert({key!r})</script> & Söhne, Consulting und Schulungen für den Mittelstand"
        for grouping, of_grouping in keys.items()
        for key in of_grouping
    }
    instant = datetime(2026, 11, 20, 13, tzinfo=UTC)
    return Sums({"total": counts, **groups}, names, instant, instant)


@pytest.mark.parametrize("kind", [MailKind.NOTICE, MailKind.CLOSING])
def test_the_mails_can_be_read_by_day_and_by_night(site: Site, texts: Texts, visit: Visit, kind: MailKind) -> None:
    """A mail sets no colours, so the reader's own make the contrast."""
    mail = MailFacts(
        partner_name="Fabrikam Consulting",
        customer_name="Contoso",
        engagement_name="Modern Work and Security Usage",
        items=("Microsoft Teams",),
        link=f"{site.url}/page?t=x",
        contact_name="Zoé Lefèvre",
        last_day=date(2026, 11, 27),
        since=datetime(2026, 11, 27, 23, tzinfo=UTC),
        happened_at=datetime(2026, 11, 20, 13, 35, tzinfo=UTC),
        closing=Closing.WITHDRAWN,
        incumbents=("Adatum",),
    )
    site.policy = None
    site.pages["/mail"] = texts.mail(kind, "fr", mail).html

    visit.page.goto(f"{site.url}/mail")
    # What the browser paints by itself at night; said, because axe-core takes an unpainted page for white.
    visit.page.evaluate("document.documentElement.style.background = 'Canvas'")

    # A mail is no page: it has no place for a main heading or landmarks.
    page_only = ("page-has-heading-one", "landmark-one-main", "region", "heading-order")
    assert [fault for fault in visit.faults() if not fault.startswith(page_only)] == []
    assert not visit.overflows()


def test_a_language_from_right_to_left_turns_the_page(site: Site, visit: Visit, tmp_path: Path) -> None:
    """Arabic: the coloured edge and the text change sides, and nothing is cut off."""
    po = tmp_path / "ar" / "LC_MESSAGES" / "cpor.po"
    po.parent.mkdir(parents=True)
    po.write_text(ARABIC, encoding="utf-8")
    site.pages["/page"] = Texts(locale_folder=tmp_path).page("ar", _facts(site))

    visit.page.goto(f"{site.url}/page")

    edges = "getComputedStyle(document.querySelector('.state'))"
    assert visit.faults() == []
    assert not visit.overflows()
    right, left = (visit.page.evaluate(f"parseFloat({edges}.border{side}Width)") for side in ("Right", "Left"))
    assert right > left


def test_a_no_can_be_said_without_script(site: Site, texts: Texts, visit_without_script: Visit) -> None:
    """The button posts token, nonce and reason, and the browser follows to the page that confirms it."""
    site.pages["/page"] = texts.page("fr", _facts(site))
    site.pages["/after"] = texts.page("fr", _facts(site, Status.DECLINED))
    page = visit_without_script.page

    page.goto(f"{site.url}/page")
    page.get_by_label("Motif (facultatif)").fill("Nous avons un autre partenaire.")
    page.get_by_role("button", name="Refuser la demande").click()
    page.wait_for_url("**/after?t=*")

    assert site.posted == [
        (
            "/api/customer/requests/abc/decline",
            {
                "t": "x.y-z",
                "nonce": "nonce-of-decline",
                "lang": "fr",
                "reason": "Nous avons un autre partenaire.",
            },
        )
    ]
    assert page.get_by_role("status").inner_text().startswith("Votre décision a été enregistrée")
    assert visit_without_script.complaints == []


@pytest.mark.parametrize(
    ("status", "button", "act"),
    [
        (Status.AWAITING_CUSTOMER, "I am not the right person", "not-me"),
        (Status.DECLINED, "Undo the decision", "undo"),
        (Status.OFFICIAL, "End the association", "end"),
    ],
)
def test_every_act_is_one_press_without_script(
    site: Site, texts: Texts, visit_without_script: Visit, status: Status, button: str, act: str
) -> None:
    """Each form posts to its own act, with its own nonce."""
    site.pages["/page"] = texts.page("en", replace(_facts(site, status), others=()))
    site.pages["/after"] = texts.page("en", _facts(site))
    page = visit_without_script.page

    page.goto(f"{site.url}/page")
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/after?t=*")

    ((path, fields),) = site.posted
    assert path == f"/api/customer/requests/abc/{act}"
    assert fields["nonce"] == f"nonce-of-{act}"


def test_looking_and_changing_the_language_post_nothing(site: Site, texts: Texts, visit_without_script: Visit) -> None:
    """The language links keep the token; only a button acts."""
    facts = _facts(site)
    site.pages["/api/customer/requests/abc"] = texts.page("cs", facts)
    page = visit_without_script.page

    page.goto(facts.page_url)
    page.get_by_role("link", name="Français").click()

    assert page.url == f"{facts.page_url}&lang=fr"
    assert site.posted == []


def test_how_the_last_day_is_counted_opens_without_script(
    site: Site, texts: Texts, visit_without_script: Visit
) -> None:
    """The skipped days are one press away."""
    site.pages["/page"] = texts.page("en", _facts(site))
    page = visit_without_script.page

    page.goto(f"{site.url}/page")
    page.get_by_text("How the last day is counted").click()

    assert page.get_by_text("Saturday, November 21, 2026: weekend").is_visible()


def test_every_control_can_be_reached_and_seen_with_the_keyboard(site: Site, texts: Texts, visit: Visit) -> None:
    """Tab goes through languages, details, reason and buttons, each with a visible frame."""
    site.pages["/page"] = texts.page("en", replace(_facts(site), others=()))
    visit.page.goto(f"{site.url}/page")

    reached = []
    for _ in range(20):
        visit.page.keyboard.press("Tab")
        tag, outline = visit.page.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if tag == "BODY":
            break
        reached.append(tag)
        assert outline != "none", tag

    assert reached == ["A", "A", "A", "SUMMARY", "TEXTAREA", "BUTTON", "BUTTON"]


@pytest.mark.parametrize(
    "smuggled",
    [
        "<script>document.title = 'taken'</script>",
        "<style>h1 { display: none }</style>",
        '<p style="color: red">x</p>',
        '<img src="/picture" alt="">',
    ],
)
def test_the_policy_refuses_what_is_smuggled_in(site: Site, texts: Texts, browser: Browser, smuggled: str) -> None:
    """Should a name ever slip through unescaped, the browser still does nothing with it, and this file would notice."""
    site.pages["/page"] = texts.page("en", _facts(site)).replace("</main>", f"{smuggled}</main>")
    context = browser.new_context()
    visit = Visit(context)

    visit.page.goto(f"{site.url}/page")

    assert visit.complaints != []
    assert visit.page.title() != "taken"
    assert visit.page.get_by_role("heading", level=1).is_visible()
    context.close()


def test_a_form_that_leads_elsewhere_is_not_sent(site: Site, texts: Texts, browser: Browser) -> None:
    """The policy lets forms go only to where the page came from."""
    html = texts.page("en", replace(_facts(site), others=()))
    site.pages["/page"] = html.replace(f'action="{site.url}', 'action="http://elsewhere.invalid')
    context = browser.new_context()
    visit = Visit(context)

    visit.page.goto(f"{site.url}/page")
    with visit.page.expect_console_message():
        visit.page.evaluate("document.forms[0].requestSubmit()")

    assert any("form-action" in complaint for complaint in visit.complaints)
    assert visit.requests == [f"{site.url}/page"]
    context.close()
