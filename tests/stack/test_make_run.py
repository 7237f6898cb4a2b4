"""What `make run` gives, seen from outside: HTTP, mails and pages only."""

import itertools
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from devhost.demo.forms import form_of
from devhost.stack.issuer import PROGRAMME_TENANT
from devhost.stack.sample_registry import ADATUM, ADATUM_TENANT, CUSTOMERS, OPERATOR, PARTNERS
from tests.stack.stack_process import (
    MAKE,
    MAKE_RUN,
    NEVER_NOTIFIED,
    ROOT,
    SHELL,
    STACK,
    Place,
    RunningStack,
    running_stack,
    until,
)
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.xdist_group("stack")

PARTNER = "Incentives.Admin"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
ACKNOWLEDGED = {"acknowledgements": {"accurate": True, "customerAware": True}}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Submitted:
    """A claim that awaits its customer, who may not know it yet."""

    id: str
    tenant: str
    contact: str
    subscription: str


@dataclass(frozen=True)
class Told:
    """A claim after its customer was notified."""

    claim: Mapping[str, Any]
    contact: str
    link: str
    subject: str
    subscription: str


def ask(stack: RunningStack, method: str, path: str, role: str | None = PARTNER, **more: Any) -> httpx.Response:
    """Send a request as the sample partner, or as the programme for its roles; whatever the answer is, return it."""
    tenant = PROGRAMME_TENANT if role == OPERATOR else ADATUM_TENANT
    with stack.caller as caller:
        return caller.ask(method, path, role=role, tenant=tenant, expect=range(600), **more)


def claim_of(stack: RunningStack, told: Told) -> dict[str, Any]:
    """Return the claim as it stands now."""
    claim: dict[str, Any] = ask(stack, "GET", f"/claims/{told.claim['id']}").json()
    return claim


def submitted(stack: RunningStack) -> Submitted:
    """Submit a claim for a new customer; it is reviewed automatically."""
    number = next(_numbers)
    tenant, subscription = (f"{kind}-0000-4000-8000-{number:012d}" for kind in ("cccccccc", "dddddddd"))
    domain = f"customer{number}.example"
    contact = f"anne.durand@{domain}"
    customer = {
        "name": f"Customer {number}",
        "domains": [domain],
        "country": "FR",
        "timeZone": "Europe/Paris",
        "language": "fr",
        "subscriptions": [
            {
                "subscriptionId": subscription,
                "product": "business-central",
                "channel": "EA",
                "state": "active",
                "seats": 10,
            }
        ],
    }
    assert ask(stack, "PUT", f"/customers/{tenant}", OPERATOR, json=customer).status_code == 201
    draft = {
        "name": "Adoption",
        "partnerId": ADATUM,
        "engagement": "usage-recognition-bizapps",
        "customer": {"tenantId": tenant, "domain": domain},
        "items": [{"product": "business-central", "subscriptionId": subscription}],
        "contacts": {
            "customer": {"name": "Anne Durand", "email": contact},
            "partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"},
        },
    }
    created = ask(stack, "POST", "/claims", json=draft)
    assert created.status_code == 201, created.text
    path = f"/claims/{created.json()['id']}"
    signed_on = ask(stack, "GET", "/sandbox/clock", OPERATOR).json()["now"][:10]
    evidence = ask(stack, "PUT", f"{path}/evidence/sow.pdf?signedOn={signed_on}", content=PDF)
    assert evidence.status_code == 201, evidence.text
    sent = ask(stack, "POST", f"{path}/submit", json=ACKNOWLEDGED)
    assert sent.json()["status"] == "awaitingCustomer", sent.text
    return Submitted(sent.json()["id"], tenant, contact, subscription)


def told(stack: RunningStack) -> Told:
    """Make a claim for a new customer, and wait until this customer is notified."""
    begun = submitted(stack)
    mail = stack.mail(begun.contact)
    path = f"/claims/{begun.id}"
    claim = until(lambda: claim if (claim := ask(stack, "GET", path).json())["window"] else None)
    return Told(claim, begun.contact, mail.link, mail.subject, begun.subscription)


def test_ready_means_that_everything_answers_and_the_samples_are_there(stack: RunningStack) -> None:
    """Exactly one line says so; storage, mail and functions answer, and a claim could begin at once."""
    url = stack.place.url
    ports = stack.place.ports

    answers = [httpx.get(f"http://127.0.0.1:{ports.azurite + offset}/").headers["server"] for offset in range(3)]

    assert [line for line in stack.said if line.startswith("ready")] == [f"ready {url}\n"]
    assert all("Azurite" in server for server in answers)
    assert isinstance(httpx.get(f"http://127.0.0.1:{ports.mail}/email").json(), list)
    assert "text/html" in httpx.get(f"http://127.0.0.1:{ports.mail}/").headers["content-type"]
    assert httpx.get(f"{url}/health").json()["status"] == "healthy"
    partners = [ask(stack, "GET", f"/partners/{key}", OPERATOR).json() for key in PARTNERS]
    assert len(partners) == 2
    assert all(len(partner["enrolledEngagements"]) == 4 for partner in partners)
    assert [ask(stack, "GET", f"/customers/{key}", OPERATOR).json()["country"] for key in CUSTOMERS] == ["FR", "CZ"]


def test_silence_makes_a_claim_official_though_the_timer_never_fires(stack: RunningStack) -> None:
    """From the end of the window on it reads as official, as of that instant; a minute later its figures are shown."""
    begun = told(stack)
    path, ends_at = f"/claims/{begun.claim['id']}", begun.claim["window"]["endsAt"]
    usage = f"/associations/{begun.claim['id']}/usage"
    for method in ("GET", "HEAD"):
        assert httpx.request(method, begun.link).status_code == 200
    assert ask(stack, "GET", path).json()["historyHash"] == begun.claim["historyHash"]
    assert ask(stack, "GET", usage).status_code == 404

    moved = ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"now": ends_at})
    official = ask(stack, "GET", path).json()
    month = ends_at[:7]
    fed = ask(
        stack,
        "POST",
        f"/usage/reports?tenantId={begun.claim['customer']['tenantId']}&format=jsonl",
        OPERATOR,
        content=f'{{"month": "{month}", "item": "{begun.subscription}", "activeUsers": 4, "availableSeats": 10}}\n',
        headers={"Content-Type": "application/x-ndjson"},
    )
    early = ask(stack, "GET", usage)
    ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"advance": "PT1M"})
    shown = ask(stack, "GET", usage)

    assert (early.status_code, early.json()["error"]["code"]) == (409, "FiguresNotYet")
    assert moved.status_code == 200
    assert (official["status"], official["association"]["since"]) == ("official", ends_at)
    assert fed.json() == {"accepted": 1, "unchanged": 0, "rejected": []}
    assert [(row["month"], row["activeUsers"], row["activeShare"]) for row in shown.json()["value"]] == [
        (month, 4, 0.4)
    ]


def test_customer_declines_with_the_mailed_link_and_takes_it_back(stack: RunningStack) -> None:
    """A press of the page's button is a no; the mail that confirms it leads to a page that undoes it."""
    begun = told(stack)

    declined = _press(begun.link, "decline")
    after_no = claim_of(stack, begun)
    confirmation = stack.mail(begun.contact, 2)
    undone = _press(confirmation.link, "undo")
    after_all = claim_of(stack, begun)

    assert begun.subject.startswith("Adatum Conseil demande à être enregistré comme votre partenaire")
    assert (declined.status_code, after_no["status"]) == (303, "declined")
    assert httpx.get(declined.headers["Location"]).status_code == 200
    assert (undone.status_code, after_all["status"]) == (303, "awaitingCustomer")
    assert after_all["window"] == begun.claim["window"]


def test_declined_claim_never_becomes_official(stack: RunningStack) -> None:
    """Neither time nor timer makes a no undone."""
    begun = told(stack)
    assert _press(begun.link, "decline").status_code == 303

    ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"now": begun.claim["window"]["endsAt"]})
    fired = _fire(stack.place)

    assert fired.status_code == 202
    assert claim_of(stack, begun)["status"] == "declined"


def test_timer_run_by_hand_confirms_what_has_become_official(stack: RunningStack) -> None:
    """The administrator's call has no prefix, is answered at once, and the customer gets a link to end it."""
    begun = told(stack)
    ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"now": begun.claim["window"]["endsAt"]})
    ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"advance": "PT1M"})

    fired = _fire(stack.place)
    confirmation = stack.mail(begun.contact, 2)
    ended = _press(confirmation.link, "end")

    assert fired.status_code == 202
    assert ended.status_code == 303
    assert claim_of(stack, begun)["association"]["endReason"] == "customerOptedOut"


def test_mail_server_that_is_down_past_the_end_binds_nobody(place: Place) -> None:
    """The stack goes on without; whoever could not be told is told when it is back, with all the days before them."""
    with running_stack(place) as stack:
        os.kill(place.part("mail"), signal.SIGKILL)
        begun = submitted(stack)
        path = f"/claims/{begun.id}"
        until(lambda: any("mail was ended" in line for line in stack.warned) or None)
        submitted_at = datetime.fromisoformat(ask(stack, "GET", path).json()["submittedAt"])
        morning = (submitted_at + timedelta(days=20)).replace(hour=9)  # no midnight falls between the two runs
        ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"now": morning.isoformat()})
        _fire(place)
        untold = ask(stack, "GET", path).json()

        back = SmtpServer()
        back.port = place.ports.smtp
        back.start()
        try:
            ask(stack, "POST", "/sandbox/clock", OPERATOR, json={"advance": "PT2H"})
            _fire(place)
            claim = until(lambda: claim if (claim := ask(stack, "GET", path).json())["window"] else None)
        finally:
            back.stop()

    assert (untold["status"], untold["window"], untold["association"]) == ("awaitingCustomer", None, None)
    assert [mail.recipients for mail in back.received if begun.contact in mail.recipients] == [(begun.contact,)]
    window = {name: datetime.fromisoformat(claim["window"][name]) for name in ("openedAt", "endsAt")}
    assert claim["status"] == "awaitingCustomer"
    assert window["endsAt"] - window["openedAt"] > timedelta(days=5)


@pytest.mark.parametrize("app", [(), ("APP=1",)])
def test_make_token_prints_a_token_that_the_service_takes_and_nothing_else(
    stack: RunningStack, app: tuple[str, ...]
) -> None:
    """One line on standard output, for a person and for a client alike; another role opens nothing."""
    made = stack.place.run([*MAKE, "token", f"ROLE={OPERATOR}", f"TENANT={PROGRAMME_TENANT}", *app])
    token = made.stdout.removesuffix("\n")

    taken, refused = (
        httpx.get(f"{stack.place.url}/{path}", headers={"Authorization": f"Bearer {token}"})
        for path in (f"partners/{ADATUM}", "claims")
    )

    assert (made.returncode, len(made.stdout.splitlines()), token.count(".")) == (0, 1, 2)
    assert taken.status_code == 200
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "RoleRequired")


def test_demo_walks_on_the_stack_that_runs(stack: RunningStack) -> None:
    """From draft to figures; the mails are there to be read afterwards."""
    demo = stack.place.run([*MAKE, "demo"])

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert f"A stack answers on {stack.place.url}" in demo.stdout
    assert "Subject  Adatum Conseil demande" in demo.stdout
    assert "31 active users" in demo.stdout
    assert f"http://127.0.0.1:{stack.place.ports.mail}" in demo.stdout


def test_demo_says_when_the_state_directory_is_not_the_stacks(stack: RunningStack, tmp_path: Path) -> None:
    """Its tokens would not be taken: one line says which setting is wrong."""
    demo = replace(stack.place, state_dir=tmp_path).run([*MAKE, "demo"])

    assert demo.returncode != 0
    assert "set CPOR_STATE_DIR to the directory with which the stack was started" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_two_stacks_need_two_state_directories(stack: RunningStack, place: Place) -> None:
    """The second says which directory is in use; side by side in two directories, both work."""
    refused = replace(place, state_dir=stack.place.state_dir).run(STACK)
    with running_stack(place) as other:
        answers = [httpx.get(f"{running.place.url}/health").status_code for running in (stack, other)]

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"stack: it runs already, at {stack.place.url}, on {stack.place.state_dir};")
    assert refused.stderr.count("\n") == 1
    assert answers == [200, 200]


def test_a_second_make_run_says_that_it_runs_already_and_where(stack: RunningStack, place: Place) -> None:
    """In one plain sentence, with the same settings as well as from another clone, whose ports are the same."""
    again = stack.place.run(MAKE_RUN)
    elsewhere = replace(stack.place, state_dir=place.state_dir).run(MAKE_RUN)

    assert again.stdout == elsewhere.stdout == ""
    assert again.stderr.startswith(f"stack: it runs already, at {stack.place.url}, on {stack.place.state_dir};")
    assert elsewhere.stderr.startswith(
        f"stack: a stack with another state directory runs already, at {stack.place.url};"
    )


def test_walk_by_hand_of_the_docs_works_word_for_word(stack: RunningStack, tmp_path: Path) -> None:
    """Pasted twice, the second time with the sandbox 13 months ahead; it ends with the figures and leaves no file."""
    for by in ("PT0S", "P400D"):
        stack.go_on(by)
        said = stack.place.paste(by_hand(), SHELL, tmp_path)

        assert '"activeUsers":70' in said


def test_walk_by_hand_does_not_wait_for_ever() -> None:
    """Nobody was notified: the commands say so, and the clock stays."""
    commands = by_hand()
    waits = commands[commands.index("tries=") : commands.index("; fi\n")] + "; fi\n"

    done = subprocess.run(
        [*SHELL, "-c", f"{NEVER_NOTIFIED}claim=a partner=b api=c operator=d json=e\n{waits}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == ""
    assert done.stderr.startswith("Nobody was notified within two minutes, so the clock stays;")


def test_make_customer_says_when_nothing_runs(place: Place) -> None:
    """In one line, with what to do."""
    made = place.run([*MAKE, "customer"])

    assert (made.stdout, made.stderr.splitlines()[0]) == (
        "",
        f"customer: nothing answers on {place.url}; `make run` starts it",
    )


@pytest.mark.parametrize("path", ["", "/api", "/api/"])
def test_a_browser_that_opens_the_address_sees_every_call(stack: RunningStack, path: str) -> None:
    """The host's own address, and that of the API."""
    shown = httpx.get(f"{stack.place.url.removesuffix('/api')}{path}", follow_redirects=True)

    assert str(shown.url) == f"{stack.place.url}/docs"
    assert shown.status_code == 200
    assert any(f"described                 {stack.place.url}/docs" in line for line in stack.said)


def by_hand() -> str:
    """Return the commands of that section of the docs."""
    section = (ROOT / "docs" / "running.md").read_text("utf-8").partition("\n## By hand\n")[2].partition("\n## ")[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ")) + "\n"


def _press(link: str, act: str) -> httpx.Response:
    form = form_of(httpx.get(link).text, act)
    assert form is not None, f"the page does not offer to {act}"
    return httpx.post(form.action, data=dict(form.fields))


def _fire(place: Place) -> httpx.Response:
    host = place.url.removesuffix("/api")
    return httpx.post(f"{host}/admin/functions/finalise_uncontested", json={"input": ""})
