"""
The demo: it leads a claim from draft to usage figures and to its end, and prints each step.

The demo uses the stack that runs on `CPOR_HTTP_PORT`. If no stack runs there, the demo starts its own stack, and
deletes that stack's data at the end. Each run registers a new customer, so the demo can be repeated.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from devhost.demo.forms import form_of
from devhost.demo.mailbox import Mail, Mailbox
from devhost.host.cannot_start import CannotStart
from devhost.stack.api_client import ApiClient, UnexpectedAnswer, answers
from devhost.stack.functions_settings import mail_url, public_url, state_directory
from devhost.stack.issuer import IssuerBroken, LocalIssuer
from devhost.stack.processes import ProcessEnded, Stopped, StopSignals
from devhost.stack.run import running_stack, say
from devhost.stack.sample_registry import ADATUM, ADATUM_TENANT, OPERATOR, PRODUCT, NewCustomer
from devhost.stack.tcp_ports import StackPorts

PARTNER_ADMIN = "Incentives.Admin"
ENGAGEMENT = "usage-recognition-bizapps"
# The shortest content that counts as a PDF.
CONTRACT = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
SIGNED_DAYS_AGO = 30
_PATIENCE_SECONDS = 30
_ACKNOWLEDGED = {"acknowledgements": {"accurate": True, "customerAware": True}}
_INTERRUPTED = 130

Json = Mapping[str, Any]


class Walk:
    """Leads one claim through its life, step by step."""

    def __init__(self, caller: ApiClient, ports: StackPorts, signals: StopSignals) -> None:
        """Use the stack at *ports*, until a stop is requested."""
        self._caller = caller
        self._signals = signals
        self._host = public_url(ports).removesuffix("/api")
        self._mails = Mailbox(caller, mail_url(ports))
        self._customer = NewCustomer.new()
        self._steps = 0
        self._short = {self._customer.tenant: "<tenant>", self._host: ""}

    def walk(self) -> None:
        """Do every step. Raises UnexpectedAnswer at the first step that does not give the expected result."""
        self._register()
        claim = self._draft()
        self._submit(claim["id"])
        notified, mail = self._notice(claim["id"])
        self._look(notified, mail)
        self._silence(notified)
        self._figures(notified)
        confirmation = self._timer(claim["id"])
        self._end(claim["id"], confirmation)

    def _register(self) -> None:
        self._step(
            "The operator registers a customer",
            "a French customer with a Dynamics subscription that it bought directly.",
        )
        self._ask(
            "PUT",
            f"/customers/{self._customer.tenant}",
            role=OPERATOR,
            expect=(201,),
            json=self._customer.entry,
        )

    def _draft(self) -> Json:
        self._step("A partner drafts a claim", f"partner {ADATUM} of the samples, for that subscription.")
        claim = self._partner(
            "POST",
            "/claims",
            expect=(201,),
            json={
                "name": "Contoso Sales adoption",
                "partnerId": ADATUM,
                "engagement": ENGAGEMENT,
                "customer": {"tenantId": self._customer.tenant, "domain": self._customer.domain},
                "items": [{"product": PRODUCT, "subscriptionId": self._customer.subscription}],
                "contacts": {
                    "customer": {"name": "Anne Durand", "title": "DSI", "email": self._customer.contact},
                    "partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"},
                },
            },
        )
        self._show(f"Claim <id> = {claim['id']}")
        self._short[claim["id"]] = "<id>"
        self._verify_status(claim, "draft")

        self._step("The partner asks what is missing", "a dry run, with the same checks as the submission.")
        dry_run = self._partner("POST", f"/claims/{claim['id']}/submit?validate=true", json=_ACKNOWLEDGED)
        missing = [detail["code"] for detail in dry_run["details"]]
        self._show(f"valid: {str(dry_run['valid']).lower()}, because of {', '.join(missing)}")
        _verify(missing == ["EvidenceMissing"], f"evidence should be missing, and only that: {missing}")

        self._step("The partner adds evidence", "a statement of work that the customer signed a month ago.")
        signed_on = self._now().date() - timedelta(days=SIGNED_DAYS_AGO)
        path = f"/claims/{claim['id']}/evidence/statement-of-work.pdf?signedOn={signed_on}"
        return self._partner("PUT", path, expect=(201,), content=CONTRACT)

    def _submit(self, claim_id: str) -> None:
        self._step(
            "The partner submits it",
            "all checks pass, and nobody else holds or claims the item. No reviewer is needed; the customer is next.",
        )
        claim = self._partner("POST", f"/claims/{claim_id}/submit", json=_ACKNOWLEDGED)
        self._verify_status(claim, "awaitingCustomer")
        _verify(claim["window"] is None, "no window should be open before the customer is notified")

    def _notice(self, claim_id: str) -> tuple[Json, Mail]:
        self._step("The customer is notified by mail", "in the customer's language. Five business days begin.")
        mail = self._mail(1)
        self._show(f"To       {mail.to}")
        self._show(f"Subject  {mail.subject}")
        self._show(f"Link     {mail.link}")
        self._short = {mail.link: "<link>", **self._short}
        claim = self._wait_for_window(claim_id)
        window = claim["window"]
        skipped = ", ".join(f"{day['date']} ({day['name']})" for day in window["skippedDays"]) or "none"
        self._show(
            f"Last day to decline: {window['lastDay']} in {window['timeZone']}; days that do not count: {skipped}"
        )
        return claim, mail

    def _look(self, notified: Json, mail: Mail) -> None:
        self._step("The customer opens the page", "opening it changes nothing. Only its buttons do.")
        page = self._ask("GET", mail.link).text
        _verify(form_of(page, "decline") is not None, "the page should offer to decline")
        self._show("The page offers to decline. (&lang=en at the end of the link shows it in English.)")
        self._show("This customer is content and does nothing.")
        after = self._claim(notified["id"])
        _verify(after["historyHash"] == notified["historyHash"], "a look has changed the claim")

    def _silence(self, notified: Json) -> None:
        ends_at = notified["window"]["endsAt"]
        self._step(
            "Until the window ends, the partner sees no figures", "the answer is 404, whether or not there are figures."
        )
        self._partner("GET", f"/associations/{notified['id']}/usage", expect=(404,))

        self._step("The days pass", f"the sandbox's clock is moved to the end of the window, {ends_at}.")
        self._ask("POST", "/sandbox/clock", role=OPERATOR, json={"now": ends_at})
        claim = self._claim(notified["id"])
        self._verify_status(claim, "official")
        _verify(claim["association"]["since"] == ends_at, "it should be official as of the end of the window")
        self._show(f"The claim is official since {ends_at}, whether or not the timer has run.")
        self._ask("POST", "/sandbox/clock", role=OPERATOR, json={"advance": "PT1M"})
        self._show("A minute later its figures are shown. Until then a no that arrived in time can still be recorded.")

    def _figures(self, notified: Json) -> None:
        first = datetime.fromisoformat(notified["window"]["endsAt"]).date().replace(day=1)
        before = (first - timedelta(days=1)).replace(day=1)
        self._step("The operator feeds usage figures", "one JSON line for each month and item, here two months.")
        lines = [
            {"month": f"{month:%Y-%m}", "item": self._customer.subscription, **figures}
            for month, figures in (
                (before, {"activeUsers": 12, "availableSeats": 50, "assignedSeats": 30}),
                (first, {"activeUsers": 31, "availableSeats": 50, "assignedSeats": 44}),
            )
        ]
        loaded = self._ask(
            "POST",
            f"/usage/reports?tenantId={self._customer.tenant}&format=jsonl",
            role=OPERATOR,
            content="".join(json.dumps(line) + "\n" for line in lines),
            headers={"Content-Type": "application/x-ndjson"},
        ).json()
        _verify(loaded["accepted"] == len(lines), f"both lines should be accepted: {loaded}")

        self._step(
            "The partner reads the figures",
            "only of the associated item, only from the association's first month on; each read leaves a receipt.",
        )
        rows = self._partner("GET", f"/associations/{notified['id']}/usage")["value"]
        for row in rows:
            seats = f"{row['assignedSeats']} of {row['availableSeats']} seats assigned"
            self._show(f"{row['month']}: {row['activeUsers']} active users, {seats}, active share {row['activeShare']}")
        _verify(
            [row["month"] for row in rows] == [f"{first:%Y-%m}"], "only the association's own month should be shown"
        )

    def _timer(self, claim_id: str) -> Mail:
        self._step(
            "The timer stores that the claim is official",
            "it runs each minute. Here the demo runs it. The customer gets a confirmation.",
        )
        self._ask("POST", f"{self._host}/admin/functions/finalise_uncontested", expect=(202,), json={"input": ""})
        mail = self._mail(2)
        self._show(f"Subject  {mail.subject}")
        self._verify_status(self._claim(claim_id), "official")
        return mail

    def _end(self, claim_id: str, confirmation: Mail) -> None:
        self._step(
            "Later the customer ends the association",
            "the link in that mail opens a page with a button for this. The page also shows who has read the figures.",
        )
        form = form_of(self._ask("GET", confirmation.link).text, "end")
        if form is None:
            raise UnexpectedAnswer("the page should offer to end the association")
        self._ask("POST", form.action, expect=(303,), data={**form.fields, "reason": "We have changed our plans."})
        ended = self._claim(claim_id)
        self._verify_status(ended, "ended")
        self._partner("GET", f"/associations/{claim_id}/usage", expect=(404,))
        self._show(f"Reason {ended['association']['endReason']}. From now on the partner cannot read the figures.")

    def _claim(self, claim_id: str) -> Json:
        return self._partner("GET", f"/claims/{claim_id}")

    def _wait_for_window(self, claim_id: str) -> Json:
        """Wait until the claim's window is open, and return the claim. The service opens it just after the mail."""

        def look() -> Json | None:
            path = f"/claims/{claim_id}"
            claim: Json = self._caller.ask("GET", path, role=PARTNER_ADMIN, tenant=ADATUM_TENANT).json()
            return claim if claim["window"] is not None else None

        claim = self._signals.wait_for(look, _PATIENCE_SECONDS)
        if claim is None:
            raise UnexpectedAnswer(f"no window was opened within {_PATIENCE_SECONDS} s of the mail")
        return claim

    def _mail(self, number: int) -> Mail:
        """Wait for the mail number *number* to the contact, and return it."""

        def look() -> Mail | None:
            mails = self._mails.mails(self._customer.contact)
            return mails[number - 1] if len(mails) >= number else None

        mail = self._signals.wait_for(look, _PATIENCE_SECONDS)
        if mail is None:
            raise UnexpectedAnswer(
                f"there is no mail number {number} to {self._customer.contact} after {_PATIENCE_SECONDS} s"
            )
        return mail

    def _now(self) -> datetime:
        now: str = self._ask("GET", "/sandbox/clock", role=OPERATOR).json()["now"]
        return datetime.fromisoformat(now)

    def _partner(self, method: str, path: str, **more: Any) -> Json:
        answered: Json = self._ask(method, path, role=PARTNER_ADMIN, tenant=ADATUM_TENANT, **more).json()
        return answered

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._caller.ask(method, path, **more)
        shown = path
        for long, short in self._short.items():
            shown = shown.replace(long, short)
        self._show(f"{method} {shown} → {answer.status_code}")
        return answer

    def _verify_status(self, claim: Json, status: str) -> None:
        _verify(claim["status"] == status, f"the claim should be {status} and is {claim['status']}")
        step = claim["nextStep"]
        due = f", until {step['due']}" if step["due"] else ""
        self._show(f"Status {status}; next: {step['owner']}, {step['action']}{due}")

    def _step(self, title: str, sentence: str) -> None:
        if self._signals.stop_asked():
            raise Stopped
        self._steps += 1
        say(f"\n{self._steps}. {title}: {sentence}")

    @staticmethod
    def _show(text: str) -> None:
        say(f"   {text}")


def _verify(right: bool, wanted: str) -> None:  # noqa: FBT001 - like an assertion, but python -O keeps it
    if not right:
        raise UnexpectedAnswer(wanted)


@contextmanager
def _some_stack(environ: Mapping[str, str], signals: StopSignals) -> Iterator[tuple[StackPorts, LocalIssuer, bool]]:
    """
    Yield the running stack. Without one, start a stack and stop it when the context ends.

    The third value says whether the demo has started the stack. Raises the exceptions of `running_stack`, and
    CannotStart if the running stack uses another state directory.
    """
    ports = StackPorts.from_environment(environ)
    if answers(public_url(ports)):
        say(f"A stack answers on {public_url(ports)}: the demo runs there, and moves its clock on by about a week.")
        state_dir = state_directory(environ)
        issuer = LocalIssuer.open(state_dir)
        with ApiClient(public_url(ports), issuer) as caller:
            caller.verify_known(state_dir)
        yield ports, issuer, False
        return
    say(f"Nothing answers on {public_url(ports)}: starting a stack for this demo alone …")
    with tempfile.TemporaryDirectory(prefix="cpor-demo-") as directory:
        free = StackPorts.free()
        with running_stack(free, Path(directory).resolve(), environ, signals, lambda _: None) as stack:
            yield free, stack.issuer, True


def _addresses(ports: StackPorts, *, our_own: bool) -> str:
    if our_own:
        return "To open mails and pages yourself: make run, and make demo in another terminal. See docs/running.md."
    return f"""The mails, as the customer got them: {mail_url(ports)}
What can be claimed:                 {public_url(ports)}/engagements
How to do these steps by hand:       docs/running.md"""


def main() -> int:
    """Run the demo once. Return the exit status: 0 if each step gave the expected result, else 1 with a message."""
    signals = StopSignals(os.environ)
    try:
        with _some_stack(os.environ, signals) as (ports, issuer, our_own):
            with ApiClient(public_url(ports), issuer) as caller:
                Walk(caller, ports, signals).walk()
            say(f"\nThat was a claim's whole life.\n{_addresses(ports, our_own=our_own)}")
    except Stopped:
        return _INTERRUPTED
    except (CannotStart, ProcessEnded, IssuerBroken, OSError, UnexpectedAnswer) as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    return 0
