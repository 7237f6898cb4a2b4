"""
`python -m devhost.demo`: walks a claim from draft to usage figures and to its end, and says what happens at each step.

On the stack that runs on `CPOR_HTTP_PORT`, else on one of its own, which leaves nothing behind. Each run has a customer
of its own, so that it works however often it is run.
"""

import json
import os
import secrets
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx

from devhost.caller import Caller, Unexpected
from devhost.forms import form_of
from devhost.issuer import IssuerBroken, LocalIssuer
from devhost.mailbox import Mail, Mailbox
from devhost.ports import Ports
from devhost.processes import Ended, Orders
from devhost.refusal import CannotStart
from devhost.samples import ADATUM, ADATUM_TENANT, OPERATOR
from devhost.sandbox import mail_url, public_url, state_directory
from devhost.stack import ToldToEnd, running_stack, say

PARTNER_ADMIN = "Incentives.Admin"
ENGAGEMENT, PRODUCT = "usage-recognition-bizapps", "dynamics-365-sales"
# The least that is a PDF by its content.
CONTRACT = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
SIGNED_DAYS_AGO = 30
_PROBE_SECONDS = 2

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: a customer whom nobody else has, and the subscription that is claimed."""

    tenant: str
    domain: str
    subscription: str

    @classmethod
    def new(cls) -> "Cast":
        """Return a new customer."""
        return cls(str(uuid.uuid4()), f"contoso-{secrets.token_hex(3)}.example", str(uuid.uuid4()))

    @property
    def contact(self) -> str:
        """The person at the customer's who decides."""
        return f"anne.durand@{self.domain}"


class Walk:
    """A claim's life, step by step."""

    def __init__(self, caller: Caller, ports: Ports) -> None:
        """Walk on the stack at *ports*."""
        self._caller = caller
        self._host = public_url(ports).removesuffix("/api")
        self._mails = Mailbox(caller, mail_url(ports))
        self._cast = Cast.new()
        self._steps = 0

    def walk(self) -> None:
        """Walk all of it. Raises Unexpected at the first step that does not give what it should."""
        self._register()
        claim = self._draft()
        self._submit(claim["id"])
        told, mail = self._notice(claim["id"])
        self._look(told, mail)
        self._silence(told)
        self._figures(told)
        confirmation = self._timer(claim["id"])
        self._end(claim["id"], confirmation)

    def _register(self) -> None:
        self._step("The operator registers a customer", "a French one, with a Dynamics subscription bought directly.")
        self._ask(
            "PUT",
            f"/customers/{self._cast.tenant}",
            role=OPERATOR,
            expect=(201,),
            json={
                "name": "Contoso France",
                "domains": [self._cast.domain],
                "country": "FR",
                "timeZone": "Europe/Paris",
                "language": "fr",
                "subscriptions": [
                    {
                        "subscriptionId": self._cast.subscription,
                        "product": PRODUCT,
                        "channel": "WebDirect",
                        "state": "active",
                        "seats": 50,
                    }
                ],
            },
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
                "customer": {"tenantId": self._cast.tenant, "domain": self._cast.domain},
                "items": [{"product": PRODUCT, "subscriptionId": self._cast.subscription}],
                "contacts": {
                    "customer": {"name": "Anne Durand", "title": "DSI", "email": self._cast.contact},
                    "partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"},
                },
            },
        )
        self._verify_status(claim, "draft")

        self._step("The partner asks what is missing", "a dry run, by the very checks of the submission.")
        dry_run = self._partner("POST", f"/claims/{claim['id']}/submit?validate=true", json=_ACKNOWLEDGED)
        missing = [detail["code"] for detail in dry_run["details"]]
        self._tell(f"valid: {str(dry_run['valid']).lower()}, because of {', '.join(missing)}")
        _verify(missing == ["EvidenceMissing"], f"evidence should be missing, and only that: {missing}")

        self._step("The partner adds evidence", "a statement of work that the customer signed a month ago.")
        signed_on = self._now().date() - timedelta(days=SIGNED_DAYS_AGO)
        path = f"/claims/{claim['id']}/evidence/statement-of-work.pdf?signedOn={signed_on}"
        return self._partner("PUT", path, expect=(201,), content=CONTRACT)

    def _submit(self, claim_id: str) -> None:
        self._step(
            "The partner submits it",
            "all checks pass and nobody else holds or claims the item, so no reviewer is needed: the customer is next.",
        )
        claim = self._partner("POST", f"/claims/{claim_id}/submit", json=_ACKNOWLEDGED)
        self._verify_status(claim, "awaitingCustomer")
        _verify(claim["window"] is None, "no window may be open before the customer was told")

    def _notice(self, claim_id: str) -> tuple[Json, Mail]:
        self._step("The customer is told by mail", "in their language; five business days of theirs begin to run.")
        mail = self._mails.wait(self._cast.contact)
        self._tell(f"To       {mail.to}")
        self._tell(f"Subject  {mail.subject}")
        self._tell(f"Link     {mail.link}")
        claim = self._claim(claim_id, until=lambda claim: claim["window"] is not None)
        window = claim["window"]
        skipped = ", ".join(f"{day['date']} ({day['name']})" for day in window["skippedDays"]) or "none"
        self._tell(f"Last day to decline: {window['lastDay']} in {window['timeZone']}; days that do not count: {skipped}")
        return claim, mail

    def _look(self, told: Json, mail: Mail) -> None:
        self._step("The customer opens the page", "looking changes nothing, however often; only its buttons do.")
        page = self._ask("GET", mail.link).text
        _verify(form_of(page, "decline") is not None, "the page should offer to decline")
        self._tell("The page offers to decline. (&lang=en at the end of the link shows it in English.)")
        self._tell("This customer is content and does nothing.")
        after = self._claim(told["id"])
        _verify(after["historyHash"] == told["historyHash"], "a look has changed the claim")

    def _silence(self, told: Json) -> None:
        ends_at = told["window"]["endsAt"]
        self._step("Until the window ends, the partner sees nothing", "nor does anybody tell it that there is something.")
        self._partner("GET", f"/associations/{told['id']}/usage", expect=(404,))

        self._step("The days go by", f"the sandbox's clock is moved to the end of the window, {ends_at}.")
        self._ask("POST", "/sandbox/clock", role=OPERATOR, json={"now": ends_at})
        claim = self._claim(told["id"])
        self._verify_status(claim, "official")
        _verify(claim["association"]["since"] == ends_at, "it should be official as of the end of the window")
        self._tell(f"The claim reads as official since {ends_at}, whether or not the timer has run.")

    def _figures(self, told: Json) -> None:
        first = datetime.fromisoformat(told["window"]["endsAt"]).date().replace(day=1)
        before = (first - timedelta(days=1)).replace(day=1)
        self._step("The operator feeds usage figures", "one JSON line for each month and item, here two months.")
        lines = [
            {"month": f"{month:%Y-%m}", "item": self._cast.subscription, **figures}
            for month, figures in (
                (before, {"activeUsers": 12, "availableSeats": 50, "assignedSeats": 30}),
                (first, {"activeUsers": 31, "availableSeats": 50, "assignedSeats": 44}),
            )
        ]
        loaded = self._ask(
            "POST",
            f"/usage/reports?tenantId={self._cast.tenant}&format=jsonl",
            role=OPERATOR,
            content="".join(json.dumps(line) + "\n" for line in lines),
            headers={"Content-Type": "application/x-ndjson"},
        ).json()
        _verify(loaded["accepted"] == len(lines), f"both lines should be taken: {loaded}")

        self._step(
            "The partner reads the figures",
            "only of the associated item, only from the association's first month on; each read leaves a receipt.",
        )
        rows = self._partner("GET", f"/associations/{told['id']}/usage")["value"]
        for row in rows:
            self._tell(
                f"{row['month']}  {row['item']['product']}: {row['activeUsers']} active users, {row['assignedSeats']} of "
                f"{row['availableSeats']} seats assigned, active share {row['activeShare']}, most so far "
                f"{row['highWaterMark']}"
            )
        _verify([row["month"] for row in rows] == [_month(first)], "only the association's own month should be shown")

    def _timer(self, claim_id: str) -> Mail:
        self._step(
            "The timer writes down what is true already",
            "it runs each minute; here it is run by hand. The customer gets a confirmation.",
        )
        self._ask("POST", f"{self._host}/admin/functions/finalise_uncontested", expect=(202,), json={"input": ""})
        mail = self._mails.wait(self._cast.contact, number=2)
        self._tell(f"Subject  {mail.subject}")
        self._verify_status(self._claim(claim_id), "official")
        return mail

    def _end(self, claim_id: str, confirmation: Mail) -> None:
        self._step(
            "Some day the customer wants to end it",
            "the link of that mail leads to a page with a button for it, and with who has read the figures.",
        )
        form = form_of(self._ask("GET", confirmation.link).text, "end")
        if form is None:
            raise Unexpected("the page should offer to end the association")
        self._ask("POST", form.action, expect=(303,), data={**form.fields, "reason": "We have changed our plans."})
        ended = self._claim(claim_id)
        self._verify_status(ended, "ended")
        self._partner("GET", f"/associations/{claim_id}/usage", expect=(404,))
        self._tell(f"Reason {ended['association']['endReason']}; the figures are gone for the partner with that very press.")

    def _claim(self, claim_id: str) -> Json:
        return self._partner("GET", f"/claims/{claim_id}")

    def _now(self) -> datetime:
        now: str = self._ask("GET", "/sandbox/clock", role=OPERATOR).json()["now"]
        return datetime.fromisoformat(now)

    def _partner(self, method: str, path: str, **more: Any) -> Any:
        return self._ask(method, path, role=PARTNER_ADMIN, tenant=ADATUM_TENANT, **more).json()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._caller.ask(method, path, **more)
        self._tell(f"{method} {_short(path)} → {answer.status_code}")
        return answer

    def _verify_status(self, claim: Json, status: str) -> None:
        _verify(claim["status"] == status, f"the claim should be {status} and is {claim['status']}")
        step = claim["nextStep"]
        due = f", until {step['due']}" if step["due"] else ""
        self._tell(f"Status {status}; next: {step['owner']}, {step['action']}{due}")

    def _step(self, title: str, sentence: str) -> None:
        self._steps += 1
        say(f"\n{self._steps}. {title}: {sentence}")

    @staticmethod
    def _tell(text: str) -> None:
        say(f"   {text}")
