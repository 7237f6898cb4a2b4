"""
Who calls the service in a soak, and what they do: people of a few partners, the programme, and a few customers.

Each caller draws from the run's seed. There are few tenants with few items, so that callers meet at the same slots. A
request that gets no answer is sent again, with the same idempotency key, to any host; what is answered with success is
written into the journal before the caller goes on.
"""

import asyncio
import hashlib
import json
import random
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import httpx

from devhost.demo.forms import forms
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from tests.soak.journal import Journal
from tests.support.smtp import SmtpServer

ADMIN, USER = "Incentives.Admin", "Incentives.User"
OPERATOR, REVIEWER, CUSTOMER_ADMIN = "Program.Operator", "Program.Reviewer", "Customer.Admin"
AUTOMATIC, REVENUE, WORKLOADS = "usage-recognition-bizapps", "bizapps-revenue", "modern-work-security-usage"
PAST = {AUTOMATIC: "osu-bizapps", WORKLOADS: "osu-m365"}
"""Older programmes, by the engagement under which theirs are filed today."""
PRODUCTS = ("dynamics-365-sales", "business-central", "dynamics-365-customer-service")
TEAMWORK = ("teams", "exchange")
ACKNOWLEDGED = {"acknowledgements": {"accurate": True, "customerAware": True}}
JSON_LINES = {"Content-Type": "application/x-ndjson"}
NOBODY = "nobody"
"""The local part of an address that the mail server refuses."""

MOST_DAYS = 120
"""So far the operator moves the clock while callers call; the feed keeps 400 days, claims of a no count for a year."""
PATIENCE_SECONDS = 90
"""A request is sent again for so long; who stops earlier has no answer, and notes none."""
TRY_SECONDS = 30
MOST_ERASED = 2
"""People in a run: the timer works at one erasure at a time, and goes through everything twice for each."""
AT_ONCE = 503, 429
_LINK = re.compile(r"https?://\S+/customer/requests/\S+")

Step: TypeAlias = Callable[["Caller"], Awaitable[None]]


@dataclass(frozen=True)
class Organisation:
    """A partner."""

    tenant: str
    partner_id: str
    name: str
    country: str
    time_zone: str


@dataclass
class Customer:
    """A tenant, and what the operator has registered of it last."""

    tenant: str
    domain: str
    entry: dict[str, Any]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Its entry is changed by one operator at a time, so that the last one is known."""


@dataclass
class Known:
    """A claim that somebody has made."""

    id: str
    organisation: Organisation
    customer: Customer
    contact: str


@dataclass
class World:
    """What all callers share."""

    hosts: Sequence[str]
    """Addresses of the API, one for each host."""
    public_url: str
    issuer: LocalIssuer
    smtp: SmtpServer
    journal: Journal
    organisations: Sequence[Organisation]
    customers: Sequence[Customer]
    seconds: float
    began: float = 0
    """By the loop's clock."""
    claims: list[Known] = field(default_factory=list)
    numbers: int = 0
    moved: timedelta = timedelta()
    erased: int = 0
    is_over: bool = False

    def number(self) -> int:
        """Return a number that nothing else in this run has."""
        self.numbers += 1
        return self.numbers


def organisations() -> Sequence[Organisation]:
    """Return three partners."""
    places = (("Adatum", "FR", "Europe/Paris"), ("Fabrikam", "CZ", "Europe/Prague"), ("Litware", "PT", "Europe/Lisbon"))
    return [
        Organisation(f"0a000000-0000-4000-8000-{number:012d}", f"990000{number}", name, country, zone)
        for number, (name, country, zone) in enumerate(places, start=1)
    ]


def customers() -> Sequence[Customer]:
    """Return four customers in three countries, each with three subscriptions and two workloads."""
    places = (("FR", "Europe/Paris", "fr"), ("CZ", "Europe/Prague", "cs"), ("PT", "Atlantic/Azores", "en"))
    return [_customer(number, *places[number % len(places)]) for number in range(4)]


def _customer(number: int, country: str, time_zone: str, language: str) -> Customer:
    domain = f"contoso-{number}.example"
    subscriptions = [
        {
            "subscriptionId": f"5b000000-0000-4000-8000-{10 * number + place:012d}",
            "product": product,
            "channel": "EA",
            "state": "active",
            "seats": 50,
        }
        for place, product in enumerate(PRODUCTS)
    ]
    entry = {
        "name": f"Contoso {number}",
        "domains": [domain],
        "country": country,
        "subdivision": None,
        "timeZone": time_zone,
        "language": language,
        "noticeAddresses": [f"it@{domain}"] if number % 2 else [],
        "workloads": list(TEAMWORK),
        "subscriptions": subscriptions,
    }
    return Customer(f"c0000000-0000-4000-8000-{number:012d}", domain, entry)


@dataclass
class Caller:
    """One of them: draws what to do from the seed, and does one thing after another."""

    world: World
    rng: random.Random
    client: httpx.AsyncClient
    steps: Mapping[Step, int]
    organisation: Organisation
    """Of a partner's people."""

    async def call(self) -> None:
        """Go on until the run is over."""
        while not self.world.is_over:
            (step,) = self.rng.choices(list(self.steps), list(self.steps.values()))
            await step(self)
            await asyncio.sleep(self.rng.uniform(0, 0.2))

    async def ask(
        self,
        role: str | None,
        tenant: str,
        method: str,
        path: str,
        *,
        keyed: bool = False,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response | None:
        """Send a request until it is answered; None when nobody answers for long."""
        key = {"Idempotency-Key": str(uuid.UUID(int=self.rng.getrandbits(128)))} if keyed else {}
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < end:
            token = {"Authorization": f"Bearer {self.world.issuer.sign([role], tenant)}"} if role else {}
            host = self.rng.choice(self.world.hosts)
            self.world.journal.requests += 1
            try:
                answer = await self.client.request(
                    method, f"{host}{path}", headers={**(headers or {}), **key, **token}, **more
                )
            except httpx.HTTPError:
                self.world.journal.lost += 1
                await asyncio.sleep(self.rng.uniform(0.1, 1))
                continue
            if answer.status_code in AT_ONCE or answer.headers.get("x-ms-error-code") == "RequestInProgress":
                self.world.journal.lost += 1
                await asyncio.sleep(self.rng.uniform(0.5, 2))
                continue
            if answer.is_server_error:
                self.unfit(f"{method} {path}", f"{answer.status_code} {answer.text}")
            return answer
        return None

    def unfit(self, did: str, answer: str) -> None:
        """Note an answer that should never be given."""
        self.world.journal.note("unfit", did, answer=answer[:2000])

    async def programme(self, role: str, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Ask as the programme."""
        return await self.ask(role, PROGRAMME_TENANT, method, path, **more)

    async def partner(self, method: str, path: str, role: str = ADMIN, **more: Any) -> httpx.Response | None:
        """Ask as this caller's organisation."""
        return await self.ask(role, self.organisation.tenant, method, path, **more)

    def acted(self, did: str, answer: httpx.Response | None) -> bool:
        """Note the claim that an act answered, where it was done."""
        if answer is None or not answer.is_success:
            return False
        claim = answer.json()
        self.world.journal.note("act", did, claim=claim["id"], hash=claim["historyHash"])
        return True

    def any_claim(self, *, own: bool = True) -> Known | None:
        """Return one of the newer claims, of one's own organisation or of another."""
        known = [one for one in self.world.claims if (one.organisation is self.organisation) is own][-25:]
        return self.rng.choice(known) if known else None

    def any_customer(self) -> Customer:
        """Return a customer."""
        return self.rng.choice(self.world.customers)


# --- partners ---------------------------------------------------------------------------------------------------------


async def file(caller: Caller) -> None:
    """Make a draft with a file and submit it; sometimes delete it, or leave it to lapse."""
    claim = await _draft(caller)
    if claim is None:
        return
    await _add_evidence(caller, claim)
    chance = caller.rng.random()
    if chance < 0.06:
        answer = await caller.partner("DELETE", f"/claims/{claim.id}")
        if answer is not None and answer.status_code == 204:
            caller.world.journal.note("deleted", "delete", claim=claim.id)
    elif chance < 0.95:
        await _submit(caller, claim)


async def _draft(caller: Caller) -> Known | None:
    customer, number = caller.any_customer(), caller.world.number()
    engagement = caller.rng.choices((AUTOMATIC, REVENUE, WORKLOADS), (5, 3, 3))[0]
    if engagement == WORKLOADS:
        items: list[dict[str, Any]] = [{"workload": one} for one in TEAMWORK]
    else:
        everything = customer.entry["subscriptions"]
        subscriptions = [one for one in everything if one["state"] == "active"] or everything
        items = [{"product": one["product"], "subscriptionId": one["subscriptionId"]} for one in subscriptions]
    name = NOBODY if caller.rng.random() < 0.08 else "person"
    contact = f"{name}-{number}@{customer.domain}"
    sent = {
        "name": f"Adoption {number}",
        "partnerId": caller.organisation.partner_id,
        "engagement": engagement,
        "customer": {"tenantId": customer.tenant, "domain": customer.domain},
        "items": caller.rng.sample(items, min(len(items), caller.rng.choice((1, 1, 2)))),
        "contacts": _contacts(caller, contact),
        **(
            {"revenue": dict.fromkeys(("solutionSeller", "customerName", "isvSolution"), "Some")}
            if engagement == REVENUE
            else {}
        ),
    }
    answer = await caller.partner("POST", "/claims", keyed=True, json=sent)
    if not caller.acted("draft", answer) or answer is None:
        return None
    known = Known(answer.json()["id"], caller.organisation, customer, contact)
    caller.world.claims.append(known)
    return known


def _contacts(caller: Caller, contact: str) -> dict[str, Any]:
    return {
        "customer": {"name": "Anne Durand", "email": contact},
        "partner": {"name": "Paul Petit", "email": f"paul@{caller.organisation.name.lower()}.example"},
    }


async def _add_evidence(caller: Caller, claim: Known) -> None:
    answer = await caller.programme(OPERATOR, "GET", "/sandbox/clock")
    if answer is None:
        return
    signed = datetime.fromisoformat(answer.json()["now"]).date() - timedelta(days=30)
    number = caller.world.number()
    pdf = b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Number %d>>endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n" % number
    path = f"/claims/{claim.id}/evidence/signed-{number}.pdf?signedOn={signed}"
    added = await caller.partner("PUT", path, content=pdf)
    if added is not None and added.is_success:
        sha256 = hashlib.sha256(pdf).hexdigest()
        caller.world.journal.note("evidence", "add evidence", claim=claim.id, sha256=sha256)


async def _submit(caller: Caller, claim: Known) -> None:
    caller.acted("submit", await caller.partner("POST", f"/claims/{claim.id}/submit", keyed=True, json=ACKNOWLEDGED))


async def follow_up(caller: Caller) -> None:
    """Look at a claim of one's own, and do what its state allows."""
    known = caller.any_claim()
    if known is None:
        return
    path = f"/claims/{known.id}"
    answer = await caller.partner("GET", path)
    if answer is None or not answer.is_success:
        return
    claim, chance = answer.json(), caller.rng.random()
    match claim["status"]:
        case "draft":
            await _submit(caller, known)
        case "partnerActionRequired":
            if claim["statusReason"] == "customerUnreachable" or chance < 0.3:
                contact = f"person-{caller.world.number()}@{known.customer.domain}"
                sent = {"contacts": _contacts(caller, contact)}
                if caller.acted("patch", await caller.partner("PATCH", path, headers={"If-Match": "*"}, json=sent)):
                    known.contact = contact  # from now on it may be erased
            else:
                await _add_evidence(caller, known)
            caller.acted("resubmit", await caller.partner("POST", f"{path}/resubmit", keyed=True, json={}))
        case "rejected":
            why = {"justification": "There is more to say."}
            caller.acted("dispute", await caller.partner("POST", f"{path}/dispute", keyed=True, json=why))
        case "official" if chance < 0.2:
            why = {"reason": "The project is over."}
            ended = await caller.partner("POST", f"/associations/{known.id}/end", keyed=True, json=why)
            if ended is not None and ended.is_success:
                caller.world.journal.note("press", "end", claim=known.id)
        case "submitted" | "underReview" | "awaitingCustomer" if chance < 0.1:
            caller.acted("withdraw", await caller.partner("POST", f"{path}/withdraw", keyed=True, json={}))
        case _:
            await comment(caller)


async def comment(caller: Caller) -> None:
    """Write a word."""
    known = caller.any_claim()
    if known is None:
        return
    text = f"Word {caller.world.number()}"
    answer = await caller.partner("POST", f"/claims/{known.id}/comments", USER, keyed=True, json={"text": text})
    if answer is not None and answer.is_success:
        caller.world.journal.note("comment", "comment", claim=known.id, text=text)


async def read_figures(caller: Caller) -> None:
    """Read figures or advice of an own association."""
    answer = await caller.partner("GET", "/associations?maxpagesize=50", USER)
    found = answer.json()["value"] if answer is not None and answer.is_success else []
    if not found:
        return
    association = caller.rng.choice(found)["id"]
    what = caller.rng.choice(("usage", "advice"))
    answer = await caller.partner("GET", f"/associations/{association}/{what}", USER)
    if answer is not None and answer.is_success:
        caller.world.journal.note("figures", f"read {what}", claim=association)


async def pry(caller: Caller) -> None:
    """Ask for what is another's: it is not found."""
    known = caller.any_claim(own=False)
    if known is None:
        return
    path = caller.rng.choice((f"/claims/{known.id}", f"/associations/{known.id}/usage", f"/claims/{known.id}/history"))
    answer = await caller.partner("GET", path, USER)
    if answer is not None and answer.status_code != 404:
        caller.unfit(f"GET {path} by another organisation", f"{answer.status_code} {answer.text}")


async def read_lists(caller: Caller) -> None:
    """Read the list of claims and the feed."""
    await caller.partner("GET", "/claims?maxpagesize=20", USER)
    await caller.partner("GET", "/changes?maxpagesize=100", USER)


# --- the programme ----------------------------------------------------------------------------------------------------


async def review(caller: Caller) -> None:
    """Take a claim that awaits a decision, and decide."""
    answer = await caller.programme(REVIEWER, "GET", "/reviews?maxpagesize=20")
    found = answer.json()["value"] if answer is not None and answer.is_success else []
    if not found:
        return
    claim = caller.rng.choice(found)
    if claim["status"] == "submitted" and not await _review(caller, claim, "start", {}):
        return
    items = claim["items"][:1]
    act, body = caller.rng.choices(
        (
            ("approve", {}),
            ("reject", {"reason": "insufficientEvidence", "comment": "Not enough."}),
            ("request-information", {"reasons": ["evidenceMissing", "datesMissingOrOld"]}),
            ("strike-items", {"items": items}),
            ("release", {}),
        ),
        (12, 3, 3, 1, 1),
    )[0]
    await _review(caller, claim, act, body)


async def _review(caller: Caller, claim: Mapping[str, Any], act: str, body: Mapping[str, Any]) -> bool:
    path = f"/reviews/{claim['id']}/{act}"
    return caller.acted(act, await caller.programme(REVIEWER, "POST", path, keyed=True, json=body))


async def look_again(caller: Caller) -> None:
    """Revoke a claim or an association, or ask the holder of a contested item for evidence."""
    if not caller.world.claims:
        return
    claim = {"id": caller.rng.choice(caller.world.claims[-40:]).id}
    if caller.rng.random() < 0.4:
        await _review(caller, claim, "revoke", {"reason": "A second look."})
    else:
        await _review(caller, claim, "request-information", {"reasons": ["evidenceMissing"]})


async def change_customer(caller: Caller) -> None:
    """End a subscription or bring it back, or a workload."""
    customer = caller.any_customer()
    async with customer.turn:
        entry = json.loads(json.dumps(customer.entry))
        if caller.rng.random() < 0.75:
            gone = [one for one in entry["subscriptions"] if one["state"] == "disabled"]
            one = caller.rng.choice(gone if gone and caller.rng.random() < 0.6 else entry["subscriptions"])
            one["state"] = "active" if one["state"] == "disabled" else "disabled"
        else:
            entry["workloads"] = caller.rng.choice((list(TEAMWORK), list(TEAMWORK), [TEAMWORK[0]]))
        await register(caller, customer, entry)


async def register(caller: Caller, customer: Customer, entry: dict[str, Any]) -> None:
    """Register a customer so, however much ends by it."""
    answer = await caller.programme(OPERATOR, "PUT", f"/customers/{customer.tenant}", json=entry)
    for ends in range(6, 31):
        if answer is None or answer.headers.get("x-ms-error-code") != "WouldEndAssociations":
            break
        path = f"/customers/{customer.tenant}?confirmEnds={ends}"
        answer = await caller.programme(OPERATOR, "PUT", path, json=entry)
    if answer is None or answer.is_success:  # unanswered it may have been done: then nobody knows what is stored
        customer.entry = entry
    if answer is not None and answer.is_success:
        caller.world.journal.note("registered", "register", tenant=customer.tenant, sent=entry)
    elif answer is None:
        caller.unfit(f"PUT /customers/{customer.tenant}", f"no answer within {PATIENCE_SECONDS} s")


async def load_figures(caller: Caller) -> None:
    """Load a month's figures of one item."""
    clock = await caller.programme(OPERATOR, "GET", "/sandbox/clock")
    if clock is None:
        return
    customer, month = caller.any_customer(), clock.json()["now"][:7]
    item = caller.rng.choice([one["subscriptionId"] for one in customer.entry["subscriptions"]] + list(TEAMWORK))
    line = {"month": month, "item": item, "activeUsers": caller.rng.randrange(50), "availableSeats": 50}
    path = f"/usage/reports?tenantId={customer.tenant}&format=jsonl"
    answer = await caller.programme(OPERATOR, "POST", path, content=json.dumps(line) + "\n", headers=JSON_LINES)
    if answer is not None and answer.is_success and not answer.json()["rejected"]:
        caller.world.journal.note("figuresLoaded", "load figures", tenant=customer.tenant, month=month, item=item)


async def enter_past(caller: Caller) -> None:
    """Enter an association of the past, for an item that is mostly held already."""
    customer, organisation = caller.any_customer(), caller.rng.choice(caller.world.organisations)
    engagement = caller.rng.choice(list(PAST))
    item = (
        caller.rng.choice(TEAMWORK) if engagement == WORKLOADS else customer.entry["subscriptions"][0]["subscriptionId"]
    )
    line = {
        "engagement": PAST[engagement],
        "partnerId": organisation.partner_id,
        "tenantId": customer.tenant,
        "item": item,
        "since": "2024-03-01",
    }
    sent = json.dumps(line) + "\n"
    answer = await caller.programme(OPERATOR, "POST", "/associations/import", content=sent, headers=JSON_LINES)
    if answer is not None and answer.is_success and answer.json()["accepted"]:
        who = organisation.partner_id
        caller.world.journal.note("imported", "import", tenant=customer.tenant, partnerId=who, item=item)


async def move_clock(caller: Caller) -> None:
    """Let hours or days pass, as evenly over the run as its length allows."""
    world = caller.world
    ahead = timedelta(hours=caller.rng.choice((7, 20, 30, 72)))
    share = (asyncio.get_running_loop().time() - world.began) / world.seconds
    if world.moved + ahead > min(share, 1) * timedelta(days=MOST_DAYS):
        return
    world.moved += ahead
    await advance(caller, ahead)


async def advance(caller: Caller, ahead: timedelta) -> None:
    """Move the clock on."""
    hours = int(ahead.total_seconds() // 3600)
    body = {"advance": f"PT{hours}H"}
    answer = await caller.programme(OPERATOR, "POST", "/sandbox/clock", keyed=True, json=body)
    if answer is not None and answer.is_success:
        caller.world.journal.note("clock", "move the clock", now=answer.json()["now"])


async def erase(caller: Caller) -> None:
    """Erase a customer's contact, whose address no later claim has."""
    world = caller.world
    known = [one for one in world.claims if one.contact]
    if not known or world.erased == MOST_ERASED:
        return
    world.erased += 1
    email = caller.rng.choice(known).contact
    for one in known:
        if one.contact == email:
            one.contact = ""
    body = {"email": email}
    answer = await caller.programme(OPERATOR, "POST", "/operations/erasures", keyed=True, json=body)
    if answer is not None and answer.is_success:
        caller.world.journal.note("erased", "erase", email=email)


# --- customers --------------------------------------------------------------------------------------------------------


async def follow_link(caller: Caller) -> None:
    """Open the link of a newer mail, look at the page, and mostly press one of its buttons."""
    mails = [mail for mail in caller.world.smtp.received[-60:] if mail.recipients[0].endswith(".example")]
    link = _LINK.search(caller.rng.choice(mails).text()) if mails else None
    if link is None:
        return
    path = link[0].removeprefix(caller.world.public_url)
    page = await caller.ask(None, "", "GET", path)
    if page is None or not page.is_success:
        return
    offered = [form for form in forms(page.text) if form.action.rpartition("/")[2] in PRESSES]
    if not offered or caller.rng.random() < 0.4:
        return
    form = caller.rng.choices(offered, [PRESSES[form.action.rpartition("/")[2]] for form in offered])[0]
    act = form.action.rpartition("/")[2]
    where = form.action.partition("/api")[2]
    claim_id = form.fields.get("associationId") or where.split("/")[3]
    answer = await caller.ask(None, "", "POST", where, data=form.fields, headers={"Accept": "application/json"})
    if answer is not None and answer.is_success:
        caller.world.journal.note("press", act, claim=claim_id)


PRESSES = {"decline": 6, "undo": 8, "end": 4, "not-me": 2}
"""What a customer presses, and how much they are drawn to it."""


async def govern(caller: Caller) -> None:
    """Say no, take it back, or end an association as the customer's administrator."""
    customer = caller.any_customer()
    mine = f"/customers/{customer.tenant}"
    answer = await caller.ask(CUSTOMER_ADMIN, customer.tenant, "GET", f"{mine}/requests?maxpagesize=100")
    found = answer.json()["value"] if answer is not None and answer.is_success else []
    wanted = {"awaitingCustomer": "decline", "declined": "undo", "official": "end"}
    found = [one for one in found if one["status"] in wanted]
    if not found:
        return
    request = caller.rng.choice(found)
    act = wanted[request["status"]]
    if act == "decline" and caller.rng.random() < 0.7:
        return
    kind = "associations" if act == "end" else "requests"
    path = f"{mine}/{kind}/{request['claimId']}/{act}"
    answer = await caller.ask(CUSTOMER_ADMIN, customer.tenant, "POST", path, keyed=True, json={"reason": "Our wish."})
    if answer is not None and answer.is_success:
        caller.world.journal.note("press", act, claim=request["claimId"])


async def read_receipts(caller: Caller) -> None:
    """See who has looked at the figures; another tenant's administrator sees nothing."""
    mine, other = caller.rng.sample(list(caller.world.customers), 2)
    await caller.ask(CUSTOMER_ADMIN, mine.tenant, "GET", f"/customers/{mine.tenant}/access-receipts")
    answer = await caller.ask(CUSTOMER_ADMIN, mine.tenant, "GET", f"/customers/{other.tenant}/access-receipts")
    if answer is not None and answer.is_success:
        caller.unfit("GET access-receipts by another tenant", answer.text)


# --- who they are -----------------------------------------------------------------------------------------------------

PARTNER: Mapping[Step, int] = {file: 7, follow_up: 5, comment: 1, read_figures: 3, pry: 1, read_lists: 1}
READER: Mapping[Step, int] = {read_figures: 4, comment: 2, pry: 1, read_lists: 2}
REVIEWERS: Mapping[Step, int] = {review: 10, look_again: 1}
CONTACT: Mapping[Step, int] = {follow_link: 1}
GOVERNOR: Mapping[Step, int] = {govern: 3, read_receipts: 1}
OPERATORS: Mapping[Step, int] = {change_customer: 5, load_figures: 1, enter_past: 2, move_clock: 4}
ERASER: Mapping[Step, int] = {change_customer: 4, load_figures: 2, move_clock: 4, erase: 1}
CAST = (PARTNER, PARTNER, REVIEWERS, CONTACT, OPERATORS, PARTNER, GOVERNOR, READER, PARTNER, ERASER, REVIEWERS, CONTACT)
"""Who calls, in this order and from the beginning again, until there are as many as wanted."""
