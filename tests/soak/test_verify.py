"""The verifier finds each fault that is planted in made-up tables, and nothing where there is none."""

import ast
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.soak.sample_tables import (
    ASKED,
    ASKED_AT,
    CHALLENGER,
    DELETED,
    ENGAGEMENT,
    FORMER,
    HOLDER,
    NOW,
    OTHER,
    PARTNER,
    REFUSED,
    STORED,
    TENANT,
    WINDOW_ENDS,
    MadeUp,
    made_up,
)
from tests.soak.verify import (
    STATEMENTS,
    Statement,
    answered_writes_are_there,
    answers_were_fit_to_give,
    claims_are_listed,
    claims_have_their_places,
    claims_stand_where_their_histories_end,
    digest,
    feeds_tell_the_histories,
    figures_left_receipts,
    histories_are_whole,
    mails_seldom_came_twice,
    mails_were_sent,
    message_id,
    nothing_failed_for_good,
    nothing_is_overdue,
    nothing_is_owed,
    one_partner_holds_an_item,
    people_are_named_only_where_they_may_be,
    queues_are_empty,
    receipts_are_of_associations,
    slots_name_only_who_stands_there,
    the_erased_are_gone,
    the_programme_sees_the_histories,
    the_register_has_the_associations,
    violations,
    windows_are_whole,
    words_lead_to_claims,
)
from tests.support.azurite import ROOT

Plant = Callable[[MadeUp], object]


def _entry(made: MadeUp, name: str, number: int) -> dict[str, object]:
    found: dict[str, object] = made.row("claims", f"history|{name}|{number:06d}")["document"]
    return found


def _earlier_official(made: MadeUp) -> None:
    """The window ends a day early, everywhere alike."""
    ends_at = "2026-11-08T23:00:00Z"
    claim, entry = made.claim(HOLDER), _entry(made, HOLDER, 5)
    entry["at"] = claim["promise"]["endsAt"] = claim["officialSince"] = ends_at
    made.slot("teams")["holder"]["since"] = ends_at
    entry["hash"] = claim["historyHash"] = digest({"reason": None, **entry})
    next(row for row in made.tables["changes"] if row.get("document", {}).get("type") == "claim.madeOfficial")[
        "document"
    ]["at"] = ends_at


def _nobody_was_told(made: MadeUp) -> None:
    """The entry of the hand-over says something else."""
    _entry(made, HOLDER, 4)["act"] = "commented"


def _forgotten_change(made: MadeUp) -> None:
    """The newest change is missing, and the head does not know it either."""
    made.tables["changes"] = [
        row for row in made.tables["changes"] if row.get("document", {}).get("type") != "claim.madeOfficial"
    ]


def _receipt(made: MadeUp, **changes: object) -> None:
    made.row("receipts", "1|x")["document"].update(changes)


def _read_after_the_end(made: MadeUp) -> None:
    """Somebody's receipt is of an association that had ended a while ago."""
    receipt = made.row("receipts", "1|x")
    receipt["document"] |= {"organisation": OTHER, "partnerId": OTHER[-7:], "associationId": FORMER}
    receipt["Timestamp"] = STORED + timedelta(minutes=3)


FAULTS: list[tuple[str, Statement, Plant]] = [
    (
        "an ended claim keeps its slot",
        slots_name_only_who_stands_there,
        lambda made: made.slot("teams").update(holder={"claim": FORMER, "since": "2024-03-01T00:00:00Z"}),
    ),
    (
        "the slot has another beginning",
        slots_name_only_who_stands_there,
        lambda made: made.slot("teams")["holder"].update(since="2026-11-01T00:00:00Z"),
    ),
    (
        "a declined claim awaits the customer",
        slots_name_only_who_stands_there,
        lambda made: made.slot("exchange")["awaiting"].update(claim=REFUSED),
    ),
    (
        "a takeover at another instant",
        slots_name_only_who_stands_there,
        lambda made: made.slot("exchange")["awaiting"].update(takesOverAt=ASKED_AT),
    ),
    (
        "a claimant that is ended",
        slots_name_only_who_stands_there,
        lambda made: made.slot("teams")["claimants"].append({"claim": FORMER}),
    ),
    (
        "a claimant that is gone",
        slots_name_only_who_stands_there,
        lambda made: made.slot("teams")["claimants"].append({"claim": DELETED}),
    ),
    (
        "a no that never lapses",
        slots_name_only_who_stands_there,
        lambda made: made.slot("exchange")["claimants"][0].update(until="2027-01-01T00:00:00Z", declined=False),
    ),
    ("an association without a slot", claims_have_their_places, lambda made: made.slot("teams").pop("holder")),
    ("nobody awaits", claims_have_their_places, lambda made: made.slot("exchange").pop("awaiting")),
    ("a claimant is forgotten", claims_have_their_places, lambda made: made.slot("teams").pop("claimants")),
    (
        "a slot has no row",
        claims_have_their_places,
        lambda made: made.drop("claims", f"slot|{ENGAGEMENT}|teams"),
    ),
    (
        "two hold an item at once",
        one_partner_holds_an_item,
        lambda made: made.claim(FORMER)["endedItems"][0].update(at="2026-11-15T00:00:00Z"),
    ),
    ("one never ended", one_partner_holds_an_item, lambda made: made.claim(FORMER).pop("endedItems")),
    (
        "a change that the programme does not see",
        the_programme_sees_the_histories,
        lambda made: made.drop("programme", "entry|0000000000000073"),
    ),
    (
        "a change that the programme sees otherwise",
        the_programme_sees_the_histories,
        lambda made: made.row("programme", "entry|0000000000000073")["document"].update(status="rejected"),
    ),
    ("an association in no register", the_register_has_the_associations, lambda made: made.drop("programme", "row|")),
    (
        "a row that has not ended",
        the_register_has_the_associations,
        lambda made: made.row("programme", f"row|{FORMER}")["document"].pop("until"),
    ),
    (
        "a row that time changes at another instant",
        the_register_has_the_associations,
        lambda made: made.row("programme", f"row|{ASKED}")["document"].update(openFrom=ASKED_AT),
    ),
    (
        "a row of nobody",
        the_register_has_the_associations,
        lambda made: made.register(REFUSED, "exchange", WINDOW_ENDS),
    ),
    ("an entry was changed", histories_are_whole, lambda made: _entry(made, HOLDER, 2).update(at=ASKED_AT)),
    ("an entry is missing", histories_are_whole, lambda made: made.drop("claims", f"history|{HOLDER}|000003")),
    (
        "an entry has another before it",
        histories_are_whole,
        lambda made: _entry(made, HOLDER, 3).update({"from": "draft"}),
    ),
    (
        "a state without an entry",
        claims_stand_where_their_histories_end,
        lambda made: made.claim(REFUSED).update(status="awaitingCustomer"),
    ),
    (
        "the last entry is missing",
        claims_stand_where_their_histories_end,
        lambda made: made.drop("claims", f"history|{HOLDER}|000005"),
    ),
    (
        "a history without a claim",
        claims_stand_where_their_histories_end,
        lambda made: made.drop("claims", f"claim|{REFUSED}"),
    ),
    (
        "row and document differ",
        claims_stand_where_their_histories_end,
        lambda made: made.row("claims", f"claim|{REFUSED}").update(version=4),
    ),
    ("a claim in no list", claims_are_listed, lambda made: made.drop("partnerclaims", f"1|{HOLDER}")),
    (
        "a word without its row",
        words_lead_to_claims,
        lambda made: made.drop("partnerclaims", f"word|{b'rollout'.hex()}|1|{HOLDER}"),
    ),
    ("words that no row names", words_lead_to_claims, lambda made: made.drop("partnerclaims", f"words|{HOLDER}")),
    ("words of a claim that is gone", words_lead_to_claims, lambda made: made.drop("claims", f"claim|{REFUSED}")),
    ("a claim with another name", words_lead_to_claims, lambda made: made.claim(HOLDER).update(name="Adoption")),
    ("a claim that no reviewer sees", claims_are_listed, lambda made: made.drop("reviews", "1|")),
    ("a short window", windows_are_whole, _earlier_official),
    (
        "a promise that is no five days",
        windows_are_whole,
        lambda made: made.claim(ASKED)["promise"].update(endsAt="2026-12-27T23:00:00Z"),
    ),
    ("nobody was told", windows_are_whole, _nobody_was_told),
    (
        "an answered act is lost",
        answered_writes_are_there,
        lambda made: made.journal.append({"what": "act", "did": "x", "at": "", "claim": HOLDER, "hash": "none"}),
    ),
    (
        "an answered claim is lost",
        answered_writes_are_there,
        lambda made: made.journal.append({"what": "act", "did": "draft", "at": "", "claim": "lost", "hash": "none"}),
    ),
    ("answered words are lost", answered_writes_are_there, lambda made: made.drop("claims", "remark|")),
    ("an answered file is lost", answered_writes_are_there, lambda made: made.claim(CHALLENGER).pop("evidence")),
    (
        "a deleted draft is there",
        answered_writes_are_there,
        lambda made: made.journal.append({"what": "deleted", "did": "delete", "at": "", "claim": CHALLENGER}),
    ),
    (
        "an answered no is lost",
        answered_writes_are_there,
        lambda made: made.journal.append({"what": "press", "did": "decline", "at": "", "claim": HOLDER}),
    ),
    (
        "the registry is older",
        answered_writes_are_there,
        lambda made: made.row("registry", "registered")["document"].update(workloads=[]),
    ),
    ("answered figures are lost", answered_writes_are_there, lambda made: made.drop("usage", "2026-11")),
    (
        "an entered association is lost",
        answered_writes_are_there,
        lambda made: made.journal.append(
            {"what": "imported", "did": "import", "at": "", "tenant": TENANT, "partnerId": "1", "item": "teams"}
        ),
    ),
    (
        "a fault was answered",
        answers_were_fit_to_give,
        lambda made: made.journal.append({"what": "unfit", "did": "GET /claims", "at": "", "answer": "500"}),
    ),
    ("a number is missing", feeds_tell_the_histories, lambda made: made.drop("changes", "entry|000000000002")),
    ("a change is missing", feeds_tell_the_histories, _forgotten_change),
    (
        "a change is told twice",
        feeds_tell_the_histories,
        lambda made: made.tell(PARTNER, HOLDER, "claim.madeOfficial", "official", ASKED_AT),
    ),
    (
        "another's change",
        feeds_tell_the_histories,
        lambda made: made.tell(OTHER, HOLDER, "claim.commented", "official", ASKED_AT),
    ),
    (
        "a claim vanished",
        feeds_tell_the_histories,
        lambda made: made.tell(OTHER, "lost", "claim.created", "draft", ASKED_AT),
    ),
    ("figures without a receipt", figures_left_receipts, lambda made: made.drop("receipts", "1|x")),
    (
        "another's receipt",
        receipts_are_of_associations,
        lambda made: _receipt(made, organisation=OTHER),
    ),
    ("a receipt of no association", receipts_are_of_associations, lambda made: _receipt(made, associationId=REFUSED)),
    ("another item's receipt", receipts_are_of_associations, lambda made: _receipt(made, items=["exchange"])),
    (
        "a receipt before it was official",
        receipts_are_of_associations,
        lambda made: _receipt(made, at="2026-11-09T22:00:00Z"),
    ),
    ("a receipt after its end", receipts_are_of_associations, _read_after_the_end),
    (
        "an overdue row",
        nothing_is_overdue,
        lambda made: made.add(
            "duework", "01", "20261220T110000.000000Z|holder|sendMail", subject=HOLDER, debt="sendMail"
        ),
    ),
    ("a message", queues_are_empty, lambda made: made.waiting.update({"customer-notices": 1})),
    ("a poisoned message", nothing_failed_for_good, lambda made: made.waiting.update({"customer-notices-poison": 1})),
    (
        "a recorded failure",
        nothing_failed_for_good,
        lambda made: made.add("failures", "failed", "1|x", queue="mail-events", body="{}"),
    ),
    (
        "an owed mail",
        nothing_is_owed,
        lambda made: made.claim(HOLDER).update(mails=[{"kind": "closing", "since": ASKED_AT}]),
    ),
    ("an owed notice", nothing_is_owed, lambda made: made.claim(ASKED).pop("openedAt")),
    ("an unwritten end", nothing_is_owed, lambda made: made.claim(ASKED)["promise"].update(endsAt=ASKED_AT)),
    (
        "a rejection past its time",
        nothing_is_owed,
        lambda made: made.claim(CHALLENGER).update(status="rejected", due="2026-12-01T00:00:00Z"),
    ),
    ("a deleted claim", nothing_is_owed, lambda made: made.claim(CHALLENGER).update(status="deleted")),
    (
        "an unfinished erasure",
        nothing_is_owed,
        lambda made: made.row("settings", "erasure")["document"].update(email="anne@contoso.example"),
    ),
    ("a notice that never came", mails_were_sent, lambda made: made.mails.remove(message_id(ASKED, "notice", 1, 1))),
    (
        "a confirmation that never came",
        mails_were_sent,
        lambda made: made.mails.remove(message_id(HOLDER, "officialConfirmation", 1, 1)),
    ),
    (
        "a partner who was not told",
        mails_were_sent,
        lambda made: made.mails.remove(message_id(REFUSED, "declined", 5, 0)),
    ),
    ("many doubled mails", mails_seldom_came_twice, lambda made: made.mails.extend(made.mails[:3])),
    ("one mail many times", mails_seldom_came_twice, lambda made: made.mails.extend([made.mails[0]] * 4)),
    (
        "an address in a queue",
        people_are_named_only_where_they_may_be,
        lambda made: made.overheard.append('{"to": "anne@contoso.example"}'),
    ),
    (
        "a link in a log",
        people_are_named_only_where_they_may_be,
        lambda made: made.logs.update(x="GET /api/customer/requests/1?t=c2VjcmV0LXNlY3JldA 200"),
    ),
    (
        "an address in a history",
        people_are_named_only_where_they_may_be,
        lambda made: _entry(made, HOLDER, 1).update(actor={"kind": "person", "id": "anne@contoso.example"}),
    ),
    (
        "an address in a due row",
        people_are_named_only_where_they_may_be,
        lambda made: made.row("duework", "2027").update(subject="anne@contoso.example"),
    ),
    (
        "an erased address",
        the_erased_are_gone,
        lambda made: made.row("claims", "remark|").update(text="Ask Bob@Contoso.example"),
    ),
]


def test_nothing_is_found_where_there_is_nothing() -> None:
    """The made-up tables are as they should be."""
    assert violations(made_up().seen()) == {}


@pytest.mark.parametrize(("statement", "plant"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_planted_fault_is_found(statement: Statement, plant: Plant) -> None:
    """By the statement that is about it, whatever others it violates too."""
    made = made_up()
    plant(made)

    assert list(statement(made.seen())) != []


def test_every_statement_has_a_fault_that_it_finds() -> None:
    """A statement that can't be violated says nothing."""
    assert {statement for _, statement, _ in FAULTS} == set(STATEMENTS)


def test_a_stale_slot_is_told_with_slot_claim_and_state() -> None:
    """The line leads to the rows."""
    made = made_up()
    made.slot("teams")["holder"] = {"claim": FORMER, "since": "2024-03-01T00:00:00Z"}

    assert list(slots_name_only_who_stands_there(made.seen())) == [f"{ENGAGEMENT} teams: its holder former is ended"]


def test_what_has_lapsed_by_itself_is_no_fault() -> None:
    """A claimant whose time is over stays in the slot's row until somebody writes it; nobody counts it any more."""
    made = made_up()
    made.slot("teams")["claimants"].append({"claim": FORMER, "until": NOW.isoformat()})

    assert violations(made.seen()) == {}


def test_the_reader_does_not_use_what_it_reads_about() -> None:
    """The product is not asked whether the product is right."""
    for name in ("verify", "seen", "calendars"):
        tree = ast.parse((ROOT / "tests" / "soak" / f"{name}.py").read_text("utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert [module for module in modules if module.startswith(("cpor", "devhost", "holidays"))] == []
