"""The partner's contact hears by mail of everything that others, or time, have done to their claim."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_core.errors import MailDelayed
from cpor_core.rules.grace import GRACE
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, PARTNER_ID, PUBLIC_URL, Service

USAGE: dict[str, Any] = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}]}
PAUL, FIONA = "paul@adatum.example", "fiona@adatum.example"
THEIRS = {
    "customer": {"name": "Anne Durand", "email": "anne.durand@contoso.fr"},
    "partner": {"name": "Fiona Falk", "email": FIONA},
}
"""The contacts of the other partner's claims."""


def news(service: Service, address: str = PAUL) -> list[str]:
    """Return the subjects of the mails to a partner's contact, oldest first."""
    return [mail.subject for mail in service.mailbox.to_partners if mail.to_address == address]


def newest(service: Service, address: str = PAUL) -> OutgoingMail:
    """Return the newest mail to a partner's contact."""
    return [mail for mail in service.mailbox.to_partners if mail.to_address == address][-1]


async def reviewed(service: Service, claim_id: str, *steps: tuple[str, dict[str, Any]]) -> None:
    """Let a reviewer take a claim up and take these steps; then deliver what is owed."""
    for act, given in (("start", {}), *steps):
        answer = await service.review("POST", f"/reviews/{claim_id}/{act}", json=given)
        assert answer.status_code == 200, answer.text
    await service.deliver()


async def said(service: Service, act: str, **given: str) -> None:
    """Let the customer press a button of the page that the newest mail links to."""
    link = list(service.mailbox.links())[-1].removeprefix(PUBLIC_URL)
    page = (await service.request("GET", link, role=None, headers={"Accept": "application/json"})).json()
    nonce = next(one["nonce"] for one in page["acts"] if one["act"] == act)
    form = {"t": link.partition("?t=")[2], "nonce": nonce, **given}
    answer = await service.request("POST", f"{link.partition('?')[0]}/{act}", role=None, data=form)
    assert answer.status_code == 303, answer.text
    await service.deliver()


async def test_who_is_asked_for_more_reads_what_until_when_and_how(service: Service) -> None:
    """One mail for all reasons; the reviewer's own words stay in the comments."""
    claim = await service.submitted(**USAGE)
    asked = {"reasons": ["productsMissing", "datesMissingOrOld"], "comment": "The invoice of May is missing."}

    await reviewed(service, claim["id"], ("request-information", asked))

    [mail] = service.mailbox.to_partners
    assert (mail.to_address, mail.to_name, mail.language) == (PAUL, "Paul Petit", "en")
    assert mail.subject == (
        "Claim “Contoso Sales adoption” was sent back to you. Last day to answer: Monday, November 9, 2026"
    )
    for words in (
        "The evidence does not name every product and service of the claim.",
        "Dates are missing in the evidence, or lie too far back.",
        f"GET /claims/{claim['id']}/comments",
        f"POST /claims/{claim['id']}/resubmit",
    ):
        assert words in mail.text
    assert "invoice of May" not in mail.text
    assert "://" not in mail.text + mail.html


async def test_once_the_customer_was_told_the_partner_reads_the_last_day(service: Service) -> None:
    """And nothing before: neither the submission nor the automatic review is news to them."""
    claim = await service.submitted()
    assert news(service) == []

    await service.deliver()
    await service.sweep()

    last_day = (await service.request("GET", f"/claims/{claim['id']}")).json()["window"]["lastDay"]
    assert last_day == "2026-11-09"
    assert news(service) == [
        "The customer was told: claim “Contoso Sales adoption”. Last day to decline: Monday, November 9, 2026"
    ]
    assert "until the end of that day (Central European Time, Europe/Paris)" in newest(service).text


async def test_a_no_and_its_undoing_are_told_without_the_customers_words(service: Service) -> None:
    """The reason is read in the claim, where it can be erased."""
    await service.told()

    await said(service, "decline", reason="Paul never called back.")
    declined = newest(service)
    await said(service, "undo")

    assert declined.subject == "Declined by the customer: claim “Contoso Sales adoption”"
    assert "can take this back: Monday, November 9, 2026" in declined.text
    assert "never called back" not in declined.text + declined.html
    assert newest(service).subject.startswith("The customer takes the refusal back: claim “Contoso Sales adoption”.")


async def test_an_association_is_told_from_its_beginning_to_its_end(service: Service) -> None:
    """Made official by time, ended by the customer; the partner's own end is no news."""
    claim = await service.official()
    await service.sweep()
    await service.deliver()
    assert news(service)[-1] == "Official: association “Contoso Sales adoption”"
    assert f"GET /associations/{claim['id']}/usage" in newest(service).text

    await said(service, "end")

    assert news(service)[-1] == "Ended: association “Contoso Sales adoption”"
    assert "The customer has ended the association." in newest(service).text


async def test_what_the_partner_does_is_not_told_to_them(service: Service) -> None:
    """Withdrawing a claim, and ending an association."""
    claim = await service.submitted(**USAGE)
    await service.request("POST", f"/claims/{claim['id']}/withdraw", json={})
    held = await service.official()
    await service.sweep()
    await service.deliver()
    before = news(service)
    await service.request("POST", f"/associations/{held['id']}/end", json={"reason": "We leave"})

    await service.deliver()

    assert news(service) == before


async def test_a_rejection_says_why_and_until_when_it_can_be_disputed(service: Service) -> None:
    """And once that time is over, that it is final."""
    claim = await service.submitted(**USAGE)

    await reviewed(service, claim["id"], ("reject", {"reason": "insufficientEvidence"}))
    rejected = newest(service)
    service.clock.advance(timedelta(days=30))
    await service.sweep()
    await service.deliver()

    assert rejected.subject == "Rejected: claim “Contoso Sales adoption”"
    assert "The evidence does not suffice." in rejected.text
    assert "It can be disputed until: December 2, 2026, 10:00" in rejected.text
    assert f"POST /claims/{claim['id']}/dispute" in rejected.text
    assert newest(service).subject == "Rejected for good: claim “Contoso Sales adoption”"


async def test_an_upheld_dispute_is_told_with_the_customers_window(service: Service) -> None:
    """The same mail says both."""
    claim = await service.submitted(**USAGE)
    await reviewed(service, claim["id"], ("reject", {"reason": "insufficientEvidence"}))
    await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "Look again"})

    await service.review("POST", f"/reviews/{claim['id']}/approve", json={})
    await service.deliver()

    assert "Your dispute was upheld, and the customer was told of this claim:" in newest(service).text


async def test_both_sides_of_a_competition_are_told_and_neither_who_the_other_is(service: Service) -> None:
    """Which rule decides, and what is missing; the incumbent keeps its association, and may defend it."""
    held = await service.official()
    await service.sweep()
    await service.deliver()

    rival = await service.submitted(tenant=OTHER_PARTNER, contacts=THEIRS)
    await service.deliver()
    await service.sweep()

    incumbents, challengers = newest(service), newest(service, FIONA)
    assert incumbents.subject == challengers.subject == "Another partner claims the same: “Contoso Sales adoption”"
    for mail in (incumbents, challengers):
        assert "the most recent evidence of work decides" in mail.text
        assert "Nothing is asked of you now." in mail.text
    assert held["id"] in incumbents.text
    assert rival["id"] in challengers.text
    assert "Your association stays official" in incumbents.text
    for foreign in ("Fabrikam", "Fiona", rival["id"]):
        assert foreign not in incumbents.text + incumbents.html
    for foreign in ("Adatum Conseil", "Paul", held["id"]):
        assert foreign not in challengers.text + challengers.html
    assert len(news(service, FIONA)) == 1
    assert news(service).count(incumbents.subject) == 1


async def test_a_competition_that_is_over_before_its_mail_is_not_told(service: Service) -> None:
    """The challenger withdrew while the mail system was down."""
    await service.official()
    await service.sweep()
    await service.deliver()
    before = news(service)
    service.mailbox.down = True
    rival = await service.submitted(tenant=OTHER_PARTNER, contacts=THEIRS)
    await service.deliver()
    await service.request("POST", f"/claims/{rival['id']}/withdraw", tenant=OTHER_PARTNER, json={})
    service.mailbox.down = False

    service.clock.advance(timedelta(minutes=10))
    await service.sweep()

    assert (news(service), news(service, FIONA)) == (before, [])


async def test_a_superseded_partner_is_told_that_the_association_has_ended(service: Service) -> None:
    """And the winner that theirs is official; in between, the incumbent was asked for evidence."""
    held = await service.official()
    await service.sweep()
    await service.deliver()
    rival = await service.submitted(tenant=OTHER_PARTNER, contacts=THEIRS)
    await service.deliver()
    asked = await service.review(
        "POST", f"/reviews/{held['id']}/request-information", json={"reasons": ["evidenceMissing"]}
    )
    assert asked.status_code == 200, asked.text
    await service.deliver()
    defence = newest(service)

    await reviewed(service, rival["id"], ("approve", {}))
    window = (await service.request("GET", f"/claims/{rival['id']}", tenant=OTHER_PARTNER)).json()["window"]
    service.clock.set(datetime.fromisoformat(window["endsAt"]) + GRACE)
    await service.sweep()
    await service.deliver()

    assert defence.subject.startswith("Evidence is asked for: association “Contoso Sales adoption”. Last day: ")
    assert f"PUT /claims/{held['id']}/evidence/" in defence.text
    assert news(service)[-1] == "Ended: association “Contoso Sales adoption”"
    assert "Another partner has become official for the same products or services." in newest(service).text
    assert "Fabrikam" not in newest(service).text
    assert news(service, FIONA)[-1] == "Official: association “Contoso Sales adoption”"


async def test_who_loses_an_arbitration_or_an_item_is_told(service: Service) -> None:
    """The loser is rejected with that reason, and may dispute it."""
    winner = await service.submitted(**USAGE)
    await service.submitted(tenant=OTHER_PARTNER, contacts=THEIRS, **USAGE)
    await service.deliver()

    await reviewed(service, winner["id"], ("approve", {}))

    assert news(service, FIONA)[-1] == "Rejected: claim “Contoso Sales adoption”"
    assert "Preference was given to another partner’s claim" in newest(service, FIONA).text
    assert "/dispute" in newest(service, FIONA).text


async def test_items_that_are_struck_are_named_in_one_mail(service: Service) -> None:
    """With what the claim goes on for."""
    items = [{"workload": name} for name in ("teams", "exchange", "sharepoint")]
    claim = await service.submitted(**{**USAGE, "items": items})

    await reviewed(service, claim["id"], ("strike-items", {"items": items[:2]}))

    [mail] = service.mailbox.to_partners
    assert mail.subject == "Products or services were taken out: claim “Contoso Sales adoption”"
    taken_out, _, goes_on = mail.text.partition("It goes on for")
    assert "Teams" in taken_out
    assert "Exchange" in taken_out
    assert "SharePoint" in goes_on


async def test_an_unreachable_customer_is_told_with_the_day_to_name_another_contact(service: Service) -> None:
    """The window does not run meanwhile."""
    service.mailbox.refused.add("anne.durand@contoso.fr")
    await service.submitted()

    await service.deliver()

    [mail] = service.mailbox.to_partners
    assert "needs another contact at the customer. Last day to answer: Monday, November 9, 2026" in mail.subject
    assert "Please name another one." in mail.text


async def test_what_is_no_longer_true_when_the_mail_system_is_back_is_not_told(service: Service) -> None:
    """Only the last of several states is; the customer's confirmation comes all the same."""
    claim = await service.told()
    service.mailbox.to_partners.clear()
    decline = f"/customers/{CUSTOMER}/requests/{claim['id']}"
    administrator: dict[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
    service.mailbox.down = True
    for act in ("decline", "undo", "decline"):
        answer = await service.request("POST", f"{decline}/{act}", json={}, **administrator)
        assert answer.status_code == 200, answer.text
    await service.deliver()
    service.mailbox.down = False

    service.clock.advance(timedelta(minutes=3))
    await service.sweep()
    service.clock.advance(timedelta(hours=2))
    await service.sweep()

    assert news(service) == ["Declined by the customer: claim “Contoso Sales adoption”"]


async def test_the_timer_tells_what_a_lost_message_did_not(service: Service) -> None:
    """Once, under the same Message-ID on every try."""
    taken: list[OutgoingMail] = []

    def lose_the_answer(mail: OutgoingMail) -> None:
        if mail.to_address == PAUL:
            taken.append(mail)
            raise MailDelayed("no answer")

    claim = await service.submitted(**USAGE)
    await service.review("POST", f"/reviews/{claim['id']}/start", json={})
    await service.review("POST", f"/reviews/{claim['id']}/reject", json={"reason": "insufficientEvidence"})
    service.mailbox.on_send = lose_the_answer
    await service.deliver()
    service.mailbox.on_send = None

    service.clock.advance(timedelta(minutes=3))
    await service.sweep()
    service.clock.advance(timedelta(hours=1))
    await service.sweep()

    assert [mail.message_id for mail in taken] == [mail.message_id for mail in service.mailbox.to_partners]


async def test_a_contact_who_refuses_the_mail_gets_the_next_one_all_the_same(service: Service) -> None:
    """What could not be told is dropped; the claim goes on."""
    claim = await service.submitted(**USAGE)
    service.mailbox.refused.add(PAUL)
    await reviewed(service, claim["id"], ("request-information", {"reasons": ["evidenceMissing"]}))
    service.mailbox.refused.clear()
    await service.request("POST", f"/claims/{claim['id']}/resubmit", json={})

    await reviewed(service, claim["id"], ("reject", {"reason": "insufficientEvidence"}))
    service.clock.advance(timedelta(hours=1))
    await service.sweep()

    assert news(service) == ["Rejected: claim “Contoso Sales adoption”"]


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("fr", "Rejetée\u00a0: demande «\u00a0Contoso Sales adoption\u00a0»"),
        ("cs", "Zamítnuto: žádost „Contoso Sales adoption“"),
    ],
)
async def test_each_partner_reads_it_in_their_language(service: Service, language: str, subject: str) -> None:
    """The one that is registered for their location."""
    operator: dict[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
    partner = (await service.request("GET", f"/partners/{PARTNER_ID}", **operator)).json()
    given = {
        "name": "Adatum Conseil",
        "entraTenantId": PARTNER,
        "country": "FR",
        "timeZone": "Europe/Paris",
        "enrolledEngagements": partner["enrolledEngagements"],
        "language": language,
    }
    changed = await service.request("PUT", f"/partners/{PARTNER_ID}", json=given, **operator)
    assert changed.status_code == 200, changed.text
    claim = await service.submitted(**USAGE)

    await reviewed(service, claim["id"], ("reject", {"reason": "insufficientEvidence"}))

    assert news(service) == [subject]
    assert newest(service).language == language


async def test_a_failed_message_of_the_partners_queue_is_kept_and_put_back(service: Service) -> None:
    """Ids only."""
    claim = await service.submitted(**USAGE)
    await service.run("record_failed_partner_notice", f'{{"claimId": "{claim["id"]}", "email": "a@b.example"}}')

    [failure] = (await service.programme("GET", "/operations/failed-messages")).json()["value"]

    assert failure["queue"] == "partner-notices"
    assert "a@b.example" not in str(failure)
    put_back = await service.programme("POST", "/operations/failed-messages/redrive")
    assert put_back.status_code == 200, put_back.text
    assert await service.deliver() == 1
