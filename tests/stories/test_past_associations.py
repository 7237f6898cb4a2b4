"""Past associations: the operator imports them, and from then on they are like all other associations."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cpor_core.rules.grace import GRACE
from tests.support.service import (
    CUSTOMER,
    MONDAY,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PUBLIC_URL,
    SUBSCRIPTION,
    Service,
)

TEAMS = {
    "engagement": "osu-m365",
    "partnerId": PARTNER_ID,
    "tenantId": CUSTOMER,
    "item": "teams",
    "since": "2024-03-01",
}
WORKLOADS = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}]}
ANNES = {"name": "Anne Durand", "email": "anne.durand@contoso.fr"}
UNTOLD = "/operations/untold-associations"
JSON_LINES = {"Content-Type": "application/x-ndjson"}


async def sent(service: Service, *rows: Mapping[str, object] | str) -> dict[str, Any]:
    """Send an import, and return its answer."""
    lines = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    answer = await service.programme("POST", "/associations/import", content=lines, headers=JSON_LINES)
    assert answer.status_code == 200, answer.text
    answered: dict[str, Any] = answer.json()
    return answered


async def entered(service: Service, **changes: object) -> dict[str, Any]:
    """Import the association for Teams, and return it as its partner reads it."""
    assert await sent(service, {**TEAMS, **changes}) == {"accepted": 1, "unchanged": 0, "rejected": []}
    listed = (await service.request("GET", "/associations")).json()["value"]
    association: dict[str, Any] = listed[0]
    return association


async def feed(service: Service, *months: str) -> None:
    """Load one figure for Teams in each month."""
    lines = "".join(json.dumps({"month": month, "item": "teams", "activeUsers": 7}) + "\n" for month in months)
    path = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    answer = await service.programme("POST", path, content=lines, headers=JSON_LINES)
    assert answer.status_code == 200, answer.text


async def test_a_past_association_is_official_from_its_begin_under_its_successor(service: Service) -> None:
    """It is read and listed like other associations and keeps the older name. Its history has one entry."""
    association = await entered(service)

    claim = (await service.request("GET", f"/claims/{association['id']}")).json()
    history = (await service.request("GET", f"/claims/{association['id']}/history")).json()["value"]
    assert association == {
        "id": claim["id"],
        "claimId": claim["id"],
        "partnerId": PARTNER_ID,
        "partnerName": "Adatum Conseil",
        "engagement": "modern-work-security-usage",
        "customer": {"tenantId": CUSTOMER, "domain": "contoso.fr"},
        "items": [{"workload": "teams", "since": "2024-03-01T00:00:00Z", "endedAt": None, "endReason": None}],
        "since": "2024-03-01T00:00:00Z",
        "endedAt": None,
        "endReason": None,
    }
    assert (claim["status"], claim["filedAs"], claim["contacts"], claim["window"]) == (
        "official",
        "osu-m365",
        None,
        None,
    )
    assert claim["nextStep"] == {"owner": "nobody", "action": "none", "due": None}
    assert [(one["act"], one["from"], one["to"], one["actor"]["id"]) for one in history] == [
        ("imported", None, "official", "programme")
    ]
    assert claim["historyHash"] == history[0]["hash"]
    assert (await service.request("GET", f"/claims/{claim['id']}", tenant=OTHER_PARTNER)).status_code == 404
    assert (await service.review("GET", f"/reviews/{claim['id']}")).status_code == 200
    edit = await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"name": "Mine"}, headers={"If-Match": claim["etag"]}
    )
    assert (edit.status_code, edit.json()["error"]["code"]) == (409, "InvalidState")


async def test_the_figures_begin_with_the_month_of_since(service: Service) -> None:
    """Earlier months are not shown. A line can name a subscription in the form of a claim."""
    association = await entered(service, since="2026-08-15T10:00:00+02:00", customerContact=ANNES)
    await service.deliver()
    await feed(service, "2026-07", "2026-08", "2026-10")
    item = {"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION.upper()}
    subscription = {**TEAMS, "engagement": "osu-bizapps", "item": item}

    rows = (await service.request("GET", f"/associations/{association['id']}/usage")).json()["value"]
    taken = await sent(service, subscription)

    assert association["since"] == "2026-08-15T08:00:00Z"
    assert [row["month"] for row in rows] == ["2026-08", "2026-10"]
    assert taken["accepted"] == 1
    listed = (await service.request("GET", "/associations?engagement=osu-bizapps")).json()["value"]
    assert [one["items"][0]["subscriptionId"] for one in listed] == [SUBSCRIPTION]


async def test_the_same_lines_twice_change_nothing(service: Service) -> None:
    """This holds for the second time, an hour later, and after the association has ended."""
    first = await sent(service, TEAMS, {**TEAMS, "item": "exchange"})
    association = (await service.request("GET", "/associations")).json()["value"][0]
    service.clock.advance(timedelta(hours=1))
    second = await sent(service, {**TEAMS, "item": "exchange"}, TEAMS, TEAMS)
    await service.request("POST", f"/associations/{association['id']}/end", json={"reason": "The project is over."})
    third = await sent(service, TEAMS, {**TEAMS, "item": "exchange"}, {**TEAMS, "since": "2025-01-01"})

    assert first == {"accepted": 2, "unchanged": 0, "rejected": []}
    assert second == {"accepted": 0, "unchanged": 3, "rejected": []}
    assert (third["accepted"], third["unchanged"]) == (0, 2)
    assert [(row["row"], row["code"]) for row in third["rejected"]] == [(3, "AlreadyImported")]
    assert len((await service.request("GET", "/associations?includeEnded=true")).json()["value"]) == 2
    assert len((await service.request("GET", "/associations")).json()["value"]) == 1


async def test_each_bad_row_is_reported_and_the_good_ones_are_imported(service: Service) -> None:
    """Rows have unknown names, items of the wrong kind, impossible days, or a wrong form."""
    nobody = "bbbbbbbb-0000-4000-8000-00000000000f"
    answer = await sent(
        service,
        {**TEAMS, "engagement": "osu-everything"},
        {**TEAMS, "partnerId": "9999999"},
        {**TEAMS, "tenantId": nobody},
        {**TEAMS, "item": SUBSCRIPTION},
        {**TEAMS, "item": "intune"},
        {**TEAMS, "engagement": "osu-bizapps"},
        {**TEAMS, "since": "2026-11-03"},
        {**TEAMS, "since": "1999-01-01"},
        {**TEAMS, "since": "2024-02-31"},
        {**TEAMS, "extra": 1},
        "not a line",
        "",
        TEAMS,
    )

    assert [(row["row"], row["code"]) for row in answer["rejected"]] == [
        (1, "EngagementUnknown"),
        (2, "PartnerUnknown"),
        (3, "TenantUnknown"),
        (4, "ItemNotClaimable"),
        (5, "ItemNotClaimable"),
        (6, "ItemNotClaimable"),
        (7, "SinceInvalid"),
        (8, "SinceInvalid"),
        (9, "InvalidRow"),
        (10, "InvalidRow"),
        (11, "InvalidRow"),
    ]
    assert all(row["message"] for row in answer["rejected"])
    assert (answer["accepted"], answer["unchanged"]) == (1, 0)


async def test_a_held_slot_is_a_bad_row(service: Service) -> None:
    """A current claim or an earlier line holds the slot. An older programme holds its successor's slot."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    association = await entered(service)
    other = {**TEAMS, "partnerId": OTHER_PARTNER_ID}
    held = await sent(service, other, {**TEAMS, "engagement": "modern-work-security-usage"})
    service.clock.advance(timedelta(minutes=1))
    await service.request("POST", f"/associations/{association['id']}/end", json={"reason": "The project is over."})
    freed = await sent(service, other, {**TEAMS, "engagement": "modern-work-security-usage"})
    official = await service.official()
    late = await sent(service, {**other, "engagement": "osu-bizapps", "item": SUBSCRIPTION})

    assert [(row["row"], row["code"]) for row in held["rejected"]] == [(1, "SlotHeld"), (2, "SlotHeld")]
    assert [(row["row"], row["code"]) for row in freed["rejected"]] == [(2, "SlotHeld")]
    assert freed["accepted"] == 1
    assert official["status"] == "official"  # by time alone, and not stored
    assert [row["code"] for row in late["rejected"]] == ["SlotHeld"]


async def test_two_imports_at_once_make_one_holder(service: Service) -> None:
    """The loser of the race is judged again and hears that the slot is held."""
    lines = [{**TEAMS, "partnerId": partner} for partner in (PARTNER_ID, OTHER_PARTNER_ID)]

    answers = await asyncio.gather(*(sent(service, line) for line in lines))

    assert sum(answer["accepted"] for answer in answers) == 1
    assert [row["code"] for answer in answers for row in answer["rejected"]] == ["SlotHeld"]


async def test_the_same_import_twice_at_once_imports_it_once(service: Service) -> None:
    """One of the two answers says that nothing has changed."""
    answers = await asyncio.gather(sent(service, TEAMS), sent(service, TEAMS))

    assert sorted((answer["accepted"], answer["unchanged"]) for answer in answers) == [(0, 1), (1, 0)]
    assert len((await service.request("GET", "/associations")).json()["value"]) == 1


async def test_registered_addresses_are_notified_and_can_end_the_association(service: Service) -> None:
    """The mail has the customer's language and date. The end stops the figures at once."""
    await service.register(noticeAddresses=["it@contoso.fr", "dsi@contoso.fr"], timeZone="Europe/Paris")
    association = await entered(service, since="2024-02-29T23:30:00Z")
    await sent(service, TEAMS | {"since": "2024-02-29T23:30:00Z"})
    await service.deliver()
    mails = service.mailbox.sent

    assert [mail.to_address for mail in mails] == ["it@contoso.fr", "dsi@contoso.fr"]
    assert {mail.language for mail in mails} == {"fr"}
    assert "1 mars 2024" in mails[0].text
    assert "Contoso France" in mails[0].text
    assert "Adatum Conseil" in mails[0].subject

    path = next(service.mailbox.links()).removeprefix(PUBLIC_URL)
    page = await service.request("GET", path, role=None)
    shown = (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
    assert page.status_code == 200
    assert [act["act"] for act in shown["acts"]] == ["end"]
    form = {"t": path.partition("?t=")[2], "nonce": shown["acts"][0]["nonce"]}
    ended = await service.request("POST", f"/customer/requests/{association['id']}/end", role=None, data=form)

    assert ended.status_code == 303
    read = (await service.request("GET", f"/associations/{association['id']}")).json()
    assert (read["endReason"], read["endedAt"]) == ("customerOptedOut", "2026-11-02T09:00:00Z")
    assert (await service.request("GET", f"/associations/{association['id']}/usage")).status_code == 404
    assert (await service.request("GET", path, role=None)).status_code == 200


async def test_without_a_registered_address_the_association_exists_without_a_mail(service: Service) -> None:
    """No mail is sent at its end either."""
    association = await entered(service)
    await service.request("POST", f"/associations/{association['id']}/end", json={"reason": "The project is over."})
    service.clock.advance(timedelta(minutes=5))
    await service.deliver()
    await service.sweep()

    assert service.mailbox.sent == []


async def test_the_contact_in_the_line_is_notified_and_can_end_the_association(service: Service) -> None:
    """
    The mail has the contact's name and the customer's language.

    Figures begin with the mail and stop with the end.
    """
    now = {**TEAMS, "engagement": "modern-work-security-usage", "customerContact": ANNES}
    refused = await sent(service, {**now, "since": "2026-11-01"}, {**now, "customerContact": None})
    association = await entered(service, **now)
    await feed(service, "2026-10")
    figures = f"/associations/{association['id']}/usage"
    early = await service.request("GET", figures)
    [waiting] = (await service.programme("GET", UNTOLD)).json()["value"]

    await service.deliver()
    [mail] = service.mailbox.sent
    path = next(service.mailbox.links()).removeprefix(PUBLIC_URL)
    shown = (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
    rows = (await service.request("GET", figures)).json()["value"]
    form = {"t": path.partition("?t=")[2], "nonce": shown["acts"][0]["nonce"]}
    ended = await service.request("POST", f"/customer/requests/{association['id']}/end", role=None, data=form)

    assert [row["code"] for row in refused["rejected"]] == ["SinceTooLate", "NobodyToTell"]
    assert (early.status_code, early.json()["error"]["code"]) == (409, "CustomerNotTold")
    assert early.headers["Retry-After"] == "60"
    assert waiting == {
        "associationId": association["id"],
        "because": "onItsWay",
        "tenantId": CUSTOMER,
        "customerName": "Contoso France",
        "partnerId": PARTNER_ID,
        "partnerName": "Adatum Conseil",
        "engagement": "modern-work-security-usage",
        "filedAs": None,
        "item": {"workload": "teams"},
        "since": "2024-03-01T00:00:00Z",
        "importedAt": "2026-11-02T09:00:00Z",
    }
    assert (mail.to_address, mail.language) == (ANNES["email"], "fr")
    assert "Anne Durand" in mail.text
    assert [row["month"] for row in rows] == ["2026-10"]
    assert ended.status_code == 303
    assert (await service.request("GET", figures)).status_code == 404


async def test_figures_pause_until_another_recipient_is_notified(service: Service) -> None:
    """
    Usage and advice both pause.

    The operator's list has the reason, and a newly registered address ends the pause.
    """
    association = await entered(service, customerContact=ANNES)
    await service.deliver()
    [mail] = service.mailbox.sent
    report = {"messageId": mail.message_id, "event": "bounced", "reason": "no such user", "at": MONDAY.isoformat()}
    await service.programme("POST", "/mail-events", json={**report, "recipient": ANNES["email"]})
    await service.deliver()

    for what in ("usage", "advice"):
        paused = await service.request("GET", f"/associations/{association['id']}/{what}")
        assert (paused.status_code, paused.json()["error"]["code"]) == (409, "CustomerNotTold")
        assert "Retry-After" not in paused.headers
    [failed] = (await service.programme("GET", UNTOLD)).json()["value"]
    await service.register(noticeAddresses=["it@contoso.fr"])
    await service.deliver()

    assert (failed["associationId"], failed["because"]) == (association["id"], "everybodyFailed")
    assert [one.to_address for one in service.mailbox.sent] == [ANNES["email"], "it@contoso.fr"]
    assert (await service.request("GET", f"/associations/{association['id']}/usage")).status_code == 200
    assert (await service.programme("GET", UNTOLD)).json() == {"value": []}


async def test_only_the_programme_sees_associations_without_a_notified_customer(service: Service) -> None:
    """The list has pages, with the oldest import first. It names no person, so a reader sees it too (decision 52)."""
    for item in ("teams", "exchange"):
        await sent(service, {**TEAMS, "item": item})
        service.clock.advance(timedelta(minutes=1))

    page = (await service.programme("GET", f"{UNTOLD}?maxpagesize=1")).json()
    rest = (await service.programme("GET", page["nextLink"].removeprefix(PUBLIC_URL))).json()
    read = await service.programme("GET", UNTOLD, role="Program.Reader")
    refused = await service.request("GET", UNTOLD)

    assert read.json()["value"] == [*page["value"], *rest["value"]]
    assert [row["item"]["workload"] for row in (*page["value"], *rest["value"])] == ["teams", "exchange"]
    assert {row["because"] for row in (*page["value"], *rest["value"])} == {"nobodyToTell"}
    assert refused.status_code == 403


async def test_the_timer_notifies_the_customer_after_a_lost_hint(service: Service) -> None:
    """The due row was written before the association."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    await entered(service)

    service.clock.advance(timedelta(minutes=5))
    await service.sweep()
    await service.deliver()

    assert [mail.to_address for mail in service.mailbox.sent] == ["it@contoso.fr"]


async def test_an_association_that_ended_before_its_mail_sends_none(service: Service) -> None:
    """Nobody is asked to end an ended association, or gets a mail about an end without a notice."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    association = await entered(service)
    await service.request("POST", f"/associations/{association['id']}/end", json={"reason": "The project is over."})

    await service.deliver()

    closed = (await service.request("GET", f"/claims/{association['id']}")).json()
    assert closed["status"] == "ended"
    assert service.mailbox.sent == []


async def test_a_new_claim_competes_with_it_and_takes_over(service: Service) -> None:
    """It is superseded at the instant at which the winner's window ends."""
    association = await entered(service)
    claim = await service.submitted(tenant=OTHER_PARTNER, **WORKLOADS)
    assert claim["competing"] is True
    assert (await service.request("GET", f"/claims/{association['id']}")).json()["competing"] is True
    await service.review("POST", f"/reviews/{claim['id']}/start")
    await service.review("POST", f"/reviews/{claim['id']}/approve")
    await service.deliver()
    told = (await service.request("GET", f"/claims/{claim['id']}", tenant=OTHER_PARTNER)).json()
    assert "Adatum Conseil" in service.mailbox.sent[0].text

    service.clock.set(datetime.fromisoformat(told["window"]["endsAt"]))

    ended = (await service.request("GET", f"/associations/{association['id']}")).json()
    assert (ended["endReason"], ended["endedAt"]) == ("superseded", told["window"]["endsAt"])
    service.clock.advance(GRACE)
    await service.sweep()
    await service.sweep()
    written = (await service.request("GET", f"/associations/{association['id']}")).json()
    assert written == ended


async def test_the_programme_can_revoke_it(service: Service) -> None:
    """The customer gets a mail about the end."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    association = await entered(service)
    await service.deliver()

    revoked = await service.review(
        "POST", f"/reviews/{association['id']}/revoke", json={"reason": "Entered by mistake", "comment": "Sorry."}
    )
    await service.deliver()

    assert revoked.status_code == 200, revoked.text
    read = (await service.request("GET", f"/associations/{association['id']}")).json()
    assert read["endReason"] == "revokedByProgramme"
    assert len(service.mailbox.sent) == 2


async def test_only_the_operator_imports_and_the_number_of_lines_is_limited(service: Service) -> None:
    """Other callers, another media type and one line too many are refused."""
    line = json.dumps(TEAMS)
    for role, tenant in (("Incentives.Admin", PARTNER), ("Customer.Admin", CUSTOMER)):
        refused = await service.request(
            "POST", "/associations/import", role=role, tenant=tenant, content=line, headers=JSON_LINES
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "RoleRequired")
    assert (await service.review("POST", "/associations/import", content=line, headers=JSON_LINES)).status_code == 403
    assert (await service.programme("POST", "/associations/import", json=TEAMS)).status_code == 415
    many = await service.programme("POST", "/associations/import", content="{}\n" * 10_001, headers=JSON_LINES)
    assert (many.status_code, many.json()["error"]["code"]) == (413, "PayloadTooLarge")


@pytest.mark.parametrize("since", [MONDAY.isoformat(), "2026-11-02"])
def test_since_is_an_instant_or_a_day(since: str) -> None:
    """A day means its first instant in UTC, because months are counted in UTC."""
    from cpor_core.use_cases.register.import_official import PastAssociation

    line = PastAssociation.model_validate({**TEAMS, "since": since})

    assert line.since in (MONDAY, datetime(2026, 11, 2, tzinfo=UTC))


async def test_past_association_is_not_superseded_without_a_review(service: Service) -> None:
    """The item is imported while another claim awaits the customer. A person decides between the two."""
    claim = await service.notified()
    past = {**TEAMS, "engagement": "osu-bizapps", "partnerId": OTHER_PARTNER_ID, "item": SUBSCRIPTION}

    taken = await sent(service, past)
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))

    assert taken["accepted"] == 0 or (await service.reread(claim))["status"] != "official"
