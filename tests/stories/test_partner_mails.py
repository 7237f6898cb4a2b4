"""The partner's contact gets mails about all changes that other people or time make to the claim."""

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
    """Return the subjects of the mails to a partner's contact, the oldest first."""
    return [mail.subject for mail in service.mailbox.to_partners if mail.to_address == address]


def newest(service: Service, address: str = PAUL) -> OutgoingMail:
    """Return the newest mail to a partner's contact."""
    return [mail for mail in service.mailbox.to_partners if mail.to_address == address][-1]


async def reviewed(service: Service, claim_id: str, *steps: tuple[str, dict[str, Any]]) -> None:
    """Let a reviewer start a claim's review and do these acts, and deliver the due mails."""
    for act, given in (("start", {}), *steps):
        answer = await service.review("POST", f"/reviews/{claim_id}/{act}", json=given)
        assert answer.status_code == 200, answer.text
    await service.deliver()


async def said(service: Service, act: str, **given: str) -> None:
    """Let the customer press a button of the page behind the newest link."""
    link = list(service.mailbox.links())[-1].removeprefix(PUBLIC_URL)
    page = (await service.request("GET", link, role=None, headers={"Accept": "application/json"})).json()
    nonce = next(one["nonce"] for one in page["acts"] if one["act"] == act)
    form = {"t": link.partition("?t=")[2], "nonce": nonce, **given}
    answer = await service.request("POST", f"{link.partition('?')[0]}/{act}", role=None, data=form)
    assert answer.status_code == 303, answer.text
    await service.deliver()


async def test_a_partner_who_is_asked_for_more_reads_the_questions_and_the_time_limit(service: Service) -> None:
    """One mail has all reasons. The reviewer's own text stays in the comments."""
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


async def test_after_the_notice_the_partner_reads_the_windows_last_day(service: Service) -> None:
    """No mail comes before. The submission and the automatic review are no news to the partner."""
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


async def test_the_mails_about_a_no_and_its_undo_have_no_text_of_the_customer(service: Service) -> None:
    """The claim shows the reason, where it can be erased."""
    await service.notified()

    await said(service, "decline", reason="Paul never called back.")
    declined = newest(service)
    await said(service, "undo")

    assert declined.subject == "Declined by the customer: claim “Contoso Sales adoption”"
    assert "can take this back: Monday, November 9, 2026" in declined.text
    assert "never called back" not in declined.text + declined.html
    assert newest(service).subject.startswith("The customer takes the refusal back: claim “Contoso Sales adoption”.")


async def test_the_partner_gets_mails_about_the_begin_and_end_of_an_association(service: Service) -> None:
    """Time makes it official, and the customer ends it. An end by the partner sends no mail."""
    claim = await service.official()
    await service.sweep()
    await service.deliver()
    assert news(service)[-1] == "Official: association “Contoso Sales adoption”"
    assert f"GET /associations/{claim['id']}/usage" in newest(service).text

    await said(service, "end")

    assert news(service)[-1] == "Ended: association “Contoso Sales adoption”"
    assert "The customer has ended the association." in newest(service).text


async def test_a_partner_gets_no_mail_about_their_own_act(service: Service) -> None:
    """The acts are a withdrawal and the end of an association."""
    claim = await service.submitted(**USAGE)
    await service.request("POST", f"/claims/{claim['id']}/withdraw", json={})
    held = await service.official()
    await service.sweep()
    await service.deliver()
    before = news(service)
    await service.request("POST", f"/associations/{held['id']}/end", json={"reason": "We leave"})

    await service.deliver()

    assert news(service) == before


async def test_the_mail_about_a_rejection_has_its_reason_and_the_time_to_dispute(service: Service) -> None:
    """Another mail says that the rejection is final."""
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


async def test_the_mail_about_an_upheld_dispute_has_the_customers_window(service: Service) -> None:
    """One mail has both facts."""
    claim = await service.submitted(**USAGE)
    await reviewed(service, claim["id"], ("reject", {"reason": "insufficientEvidence"}))
    await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "Look again"})

    await service.review("POST", f"/reviews/{claim['id']}/approve", json={})
    await service.deliver()

    assert "Your dispute was upheld, and the customer was told of this claim:" in newest(service).text


async def test_both_sides_of_a_competition_get_a_mail_that_names_no_rival(service: Service) -> None:
    """
    The mail says which rule decides and which data is missing.

    The incumbent keeps its association and can defend it.
    """
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


async def test_a_competition_that_ended_before_its_mail_sends_none(service: Service) -> None:
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


async def test_a_superseded_partner_gets_a_mail_about_the_end(service: Service) -> None:
    """The winner gets a mail that its claim is official. Before that, the incumbent was asked for evidence."""
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


async def test_the_loser_of_an_arbitration_gets_a_mail(service: Service) -> None:
    """The losing claim is rejected with that reason and can be disputed."""
    winner = await service.submitted(**USAGE)
    await service.submitted(tenant=OTHER_PARTNER, contacts=THEIRS, **USAGE)
    await service.deliver()

    await reviewed(service, winner["id"], ("approve", {}))

    assert news(service, FIONA)[-1] == "Rejected: claim “Contoso Sales adoption”"
    assert "Preference was given to another partner’s claim" in newest(service, FIONA).text
    assert "/dispute" in newest(service, FIONA).text


async def test_one_mail_names_all_struck_items(service: Service) -> None:
    """It also names the items that remain."""
    items = [{"workload": name} for name in ("teams", "exchange", "sharepoint")]
    claim = await service.submitted(**{**USAGE, "items": items})

    await reviewed(service, claim["id"], ("strike-items", {"items": items[:2]}))

    [mail] = service.mailbox.to_partners
    assert mail.subject == "Products or services were taken out: claim “Contoso Sales adoption”"
    taken_out, _, goes_on = mail.text.partition("It goes on for")
    assert "Teams" in taken_out
    assert "Exchange" in taken_out
    assert "SharePoint" in goes_on


async def test_a_mail_about_an_unreachable_customer_has_the_last_day_for_another_contact(service: Service) -> None:
    """The window does not run during this time."""
    service.mailbox.refused.add("anne.durand@contoso.fr")
    await service.submitted()

    await service.deliver()

    [mail] = service.mailbox.to_partners
    assert "needs another contact at the customer. Last day to answer: Monday, November 9, 2026" in mail.subject
    assert "Please name another one." in mail.text


async def test_outdated_mails_are_not_sent_when_the_mail_system_is_back(service: Service) -> None:
    """The partner reads only the last of several states. The customer's confirmation is sent too."""
    claim = await service.notified()
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


async def test_the_timer_sends_the_mail_of_a_lost_message(service: Service) -> None:
    """It is sent once, with the same Message-ID in each try."""
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


async def test_a_contact_who_refuses_a_mail_gets_the_next_one(service: Service) -> None:
    """The refused mail is dropped, and the claim goes on."""
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
async def test_each_partner_gets_mails_in_their_language(service: Service, language: str, subject: str) -> None:
    """The language is registered for the location."""
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


async def test_a_failed_message_of_the_partners_queue_is_recorded_and_sent_again(service: Service) -> None:
    """The record has only ids."""
    claim = await service.submitted(**USAGE)
    await service.run("record_failed_partner_notice", f'{{"claimId": "{claim["id"]}", "email": "a@b.example"}}')

    [failure] = (await service.programme("GET", "/operations/failed-messages")).json()["value"]

    assert failure["queue"] == "partner-notices"
    assert "a@b.example" not in str(failure)
    put_back = await service.programme("POST", "/operations/failed-messages/redrive")
    assert put_back.status_code == 200, put_back.text
    assert await service.deliver() == 1
