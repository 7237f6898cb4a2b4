"""Tables that somebody made up: one customer's, in which everything is as it should be."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.soak.seen import Seen
from tests.soak.verify import digest, message_id

NOW = datetime(2026, 12, 20, 12, 0, tzinfo=UTC)
STORED = datetime(2026, 12, 1, tzinfo=UTC)
TENANT = "c0000000-0000-4000-8000-000000000001"
PARTNER, OTHER = "0a000000-0000-4000-8000-000000000001", "0a000000-0000-4000-8000-000000000002"
ENGAGEMENT = "modern-work-security-usage"
HOLDER, FORMER, CHALLENGER, REFUSED, ASKED, DELETED = "holder", "former", "challenger", "refused", "asked", "deleted"
"""Claims: official, ended, submitted beside the holder, declined, awaiting its customer, and gone."""
TOLD, WINDOW_ENDS = "2026-11-02T09:00:00Z", "2026-11-09T23:00:00Z"
"""A Monday in Paris, and the end of the fifth business day after it."""
ASKED_AT, ASKED_UNTIL = "2026-12-18T09:00:00Z", "2026-12-28T23:00:00Z"
"""A Friday; Christmas does not count."""

Step = tuple[str, str, str, str]
"""When, who (a kind of actor), what, and the state that it led to."""


@dataclass
class MadeUp:
    """The parts of a `Seen`, to be spoilt."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    overheard: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def seen(self) -> Seen:
        """Return what the verifier gets."""
        parts = deepcopy(self)
        heard = parts.overheard
        return Seen(NOW, parts.tables, parts.journal, parts.mails, parts.waiting, heard, parts.logs, kills=1)

    def add(self, table: str, partition: str, key: str, /, **cells: Any) -> None:
        """Add a row."""
        row = {"PartitionKey": partition, "RowKey": key, "Timestamp": STORED, **cells}
        self.tables.setdefault(table, []).append(row)

    def row(self, table: str, key: str) -> dict[str, Any]:
        """Return the row whose key begins so."""
        return next(row for row in self.tables[table] if row["RowKey"].startswith(key))

    def drop(self, table: str, key: str) -> None:
        """Take a row out."""
        self.tables[table].remove(self.row(table, key))

    def claim(self, name: str) -> dict[str, Any]:
        """Return a claim's document."""
        found: dict[str, Any] = self.row("claims", f"claim|{name}")["document"]
        return found

    def slot(self, key: str) -> dict[str, Any]:
        """Return a slot's document."""
        found: dict[str, Any] = self.row("claims", f"slot|{ENGAGEMENT}|{key}")["document"]
        return found

    def write(self, name: str, organisation: str, item: str, steps: Sequence[Step], **more: Any) -> None:
        """Add a claim with its history, its place in the list, and what the feed was told of it."""
        before, status = None, None
        for number, (at, actor, act, to) in enumerate(steps, start=1):
            entry: dict[str, Any] = {
                "sequence": number,
                "at": at,
                "actor": {"kind": actor, "id": actor},
                "act": act,
                "from": status,
                "to": to,
                "reason": None,
                "previousHash": before,
            }
            entry["hash"] = before = digest(entry)
            status = to
            kept = {key: value for key, value in entry.items() if value is not None}
            self.add("claims", TENANT, f"history|{name}|{number:06d}", document=kept)
            self.tell(organisation, name, f"claim.{act}", to, at)
        document = {
            "id": name,
            "tenantId": TENANT,
            "organisation": organisation,
            "partnerId": organisation[-7:],
            "engagement": ENGAGEMENT,
            "name": "Rollout",
            "domain": "contoso.example",
            "items": [{"workload": item}],
            "contacts": {"customer": {"email": "anne@contoso.example"}},
            "status": status,
            "mailCount": 0,
            "historyLength": len(steps),
            "historyHash": before,
            "version": len(steps),
            **more,
        }
        self.add("claims", TENANT, f"claim|{name}", document=document, status=status, version=len(steps))
        self.add("partnerclaims", organisation, f"1|{name}", claimId=name)
        self.add("partnerclaims", organisation, f"words|{name}|0", key=f"1|{name}", words="rollout contoso example")
        for word in ("rollout", "contoso", "example"):
            self.add("partnerclaims", organisation, f"word|{word.encode().hex()}|1|{name}", id=name)

    def tell(self, organisation: str, name: str, kind: str, status: str, at: str) -> None:
        """Tell a feed."""
        changes = self.tables.setdefault("changes", [])
        mine = (row for row in changes if (row["PartitionKey"], row["RowKey"]) == (organisation, "head"))
        if (head := next(mine, None)) is None:
            self.add("changes", organisation, "head", last=0, oldest=1)
            head = changes[-1]
        head["last"] += 1
        change = {"sequence": head["last"], "type": kind, "claimId": name, "status": status, "at": at}
        self.add("changes", organisation, f"entry|{head['last']:012d}", document=change)
        self.tell_programme(change)

    def tell_programme(self, change: Mapping[str, Any]) -> None:
        """Tell the programme's feed, which has one shard here and begins with the number 71."""
        if not self.tables.get("programme"):
            self.add("programme", "00", "a|head", last=70, oldest=71)
        head = self.row("programme", "a|head")
        head["last"] += 1
        self.add("programme", "00", f"entry|{head['last']:016d}", document={**change, "sequence": head["last"]})

    def register(self, name: str, item: str, since: str, **more: str) -> None:
        """Add a row of the register."""
        document = {"associationId": name, "item": item, "since": since, **more}
        self.add("programme", "00", f"row|{name}|{item}", document=document)


_ASKED: tuple[Step, ...] = (
    ("2026-11-01T09:00:00Z", "person", "created", "draft"),
    ("2026-11-01T10:00:00Z", "person", "submitted", "submitted"),
    ("2026-11-01T10:00:00Z", "programme", "validated", "awaitingCustomer"),
)


def made_up() -> MadeUp:
    """Return tables in which every statement is true."""
    made = MadeUp(waiting={"customer-notices": 0, "customer-notices-poison": 0})
    made.overheard.append('{"claimId": "holder"}')
    made.logs["host-0-00.log"] = "INFO claim holder: told\n"
    customer = {"country": "FR", "timeZone": "Europe/Paris", "workloads": ["teams", "exchange"], "subscriptions": []}
    made.add("registry", f"customer|{TENANT}", "registered", document=dict(customer))
    _claims(made)
    _slots(made)
    made.add("claims", TENANT, f"remark|{CHALLENGER}|000003", text="A word", author="partner")
    made.add("reviews", "open", f"1|{CHALLENGER}", claimId=CHALLENGER)
    made.add("duework", "00", "20270101T000000.000000Z|holder|forgetPeople", subject=HOLDER, debt="forgetPeople")
    made.add("settings", "erasures", "erasure", document={"id": "erasure"})
    made.add("usage", TENANT, "2026-11|teams", document={"activeUsers": {"value": 7}})
    receipt = {"at": "2026-11-20T10:00:00Z", "organisation": PARTNER, "partnerId": PARTNER[-7:]}
    made.add("receipts", TENANT, "1|x", document={**receipt, "associationId": HOLDER, "items": ["teams"]})
    _journal(made, customer)
    return made


def _claims(made: MadeUp) -> None:
    """Add the claims, and the mails that went out about them."""
    anne, window = [{"number": 1}], {"number": 1, "dayZero": "2026-11-02", "endsAt": WINDOW_ENDS}
    told = {"recipients": anne, "promise": window, "openedAt": TOLD}
    steps = (*_ASKED, (TOLD, "programme", "customerTold", "awaitingCustomer"))
    official = (*steps, (WINDOW_ENDS, "clock", "madeOfficial", "official"))
    made.write(HOLDER, PARTNER, "teams", official, **told, officialSince=WINDOW_ENDS, mailCount=1)
    declined = (*steps, ("2026-11-05T09:00:00Z", "customer", "declined", "declined"))
    made.write(REFUSED, PARTNER, "exchange", declined, **told, mailCount=1)
    made.write(
        ASKED,
        OTHER,
        "exchange",
        (*_ASKED, (ASKED_AT, "programme", "customerTold", "awaitingCustomer")),
        recipients=anne,
        promise={"number": 1, "dayZero": "2026-12-18", "endsAt": ASKED_UNTIL},
        openedAt=ASKED_AT,
    )
    made.write(
        FORMER,
        OTHER,
        "teams",
        (
            ("2026-10-01T09:00:00Z", "programme", "imported", "official"),
            ("2026-10-20T09:00:00Z", "person", "ended", "ended"),
        ),
        officialSince="2024-03-01T00:00:00Z",
        endedItems=[{"key": "teams", "at": "2026-10-20T09:00:00Z"}],
    )
    made.register(HOLDER, "teams", WINDOW_ENDS)
    made.register(ASKED, "exchange", ASKED_UNTIL, openFrom=ASKED_UNTIL)
    made.register(FORMER, "teams", "2024-03-01T00:00:00Z", until="2026-10-20T09:00:00Z")
    commented = ("2026-11-20T11:00:00Z", "person", "commented", "submitted")
    made.write(CHALLENGER, OTHER, "teams", (*_ASKED[:2], commented), evidence=[{"sha256": "5ha"}])
    made.tell(PARTNER, HOLDER, "claim.competing", "official", "2026-11-20T10:00:00Z")
    for act, status in (("created", "draft"), ("deleted", "deleted")):
        made.tell(PARTNER, DELETED, f"claim.{act}", status, "2026-11-03T09:00:00Z")
    made.mails += [message_id(name, "notice", 1, 1) for name in (HOLDER, REFUSED, ASKED)]
    made.mails += [message_id(HOLDER, "officialConfirmation", 1, 1), message_id(REFUSED, "declineConfirmation", 1, 1)]
    made.mails += [message_id(HOLDER, "madeOfficial", 5, 0), message_id(REFUSED, "declined", 5, 0)]


def _slots(made: MadeUp) -> None:
    parties: Mapping[str, Mapping[str, Any]] = {
        "teams": {
            "holder": {"claim": HOLDER, "since": WINDOW_ENDS},
            "claimants": [{"claim": CHALLENGER}],
        },
        "exchange": {
            "awaiting": {"claim": ASKED, "takesOverAt": ASKED_UNTIL},
            "claimants": [{"claim": REFUSED, "declined": True, "until": WINDOW_ENDS}, {"claim": ASKED}],
        },
    }
    for key, standing in parties.items():
        slot = {"engagement": ENGAGEMENT, "key": key, **standing}
        made.add("claims", TENANT, f"slot|{ENGAGEMENT}|{key}", document=slot)


def _journal(made: MadeUp, customer: Mapping[str, Any]) -> None:
    """Add what callers were answered."""
    submitted = made.row("claims", f"history|{CHALLENGER}|000002")["document"]["hash"]
    for what, did, more in (
        ("act", "submit", {"claim": CHALLENGER, "hash": submitted}),
        ("comment", "comment", {"claim": CHALLENGER, "text": "A word"}),
        ("evidence", "add evidence", {"claim": CHALLENGER, "sha256": "5ha"}),
        ("deleted", "delete", {"claim": DELETED}),
        ("press", "decline", {"claim": REFUSED}),
        ("registered", "register", {"tenant": TENANT, "sent": customer}),
        ("figuresLoaded", "load figures", {"tenant": TENANT, "month": "2026-11", "item": "teams"}),
        ("imported", "import", {"tenant": TENANT, "partnerId": OTHER[-7:], "item": "teams"}),
        ("figures", "read usage", {"claim": HOLDER}),
        ("erased", "erase", {"email": "bob@contoso.example"}),
    ):
        made.journal.append({"at": "2026-11-21T18:00:00+00:00", "what": what, "did": did, **more})
