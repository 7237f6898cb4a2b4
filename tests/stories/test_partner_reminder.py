"""A partner who was asked for more gets one reminder by mail, on the business day before the last."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_core.errors import MailDelayed
from tests.support.service import PARTNER, PARTNER_ID, Service

MICROSECOND = timedelta(microseconds=1)
REMINDER_AT = datetime(2026, 11, 6, 8, 0, tzinfo=UTC)
"""09:00 in Paris on the Friday before the last day, a Monday."""
ENDS_AT = datetime(2026, 11, 9, 23, 0, tzinfo=UTC)
PAUL = "paul@adatum.example"


async def asked(service: Service, *reasons: str) -> dict[str, Any]:
    """Start the review of a claim, and ask its partner for more on Monday morning."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    return await asked_again(service, claim["id"], *reasons)


async def asked_again(service: Service, claim_id: str, *reasons: str) -> dict[str, Any]:
    """Start the review of a submitted claim, and ask its partner for more."""
    await service.review("POST", f"/reviews/{claim_id}/start")
    answer = await service.review(
        "POST", f"/reviews/{claim_id}/request-information", json={"reasons": reasons or ["evidenceMissing"]}
    )
    assert answer.status_code == 200, answer.text
    claim: dict[str, Any] = answer.json()
    return claim


def reminders(service: Service) -> list[OutgoingMail]:
    """Return the reminders to the partner."""
    return [mail for mail in service.mailbox.to_partners if mail.subject.startswith(("Reminder", "Rappel", "Připom"))]


async def speak(service: Service, language: str) -> None:
    """Register the partner's language."""
    path = f"/partners/{PARTNER_ID}"
    partner = (await service.programme("GET", path)).json()
    given = {
        "name": "Adatum Conseil",
        "entraTenantId": PARTNER,
        "country": "FR",
        "timeZone": "Europe/Paris",
        "enrolledEngagements": partner["enrolledEngagements"],
        "language": language,
    }
    answer = await service.programme("PUT", path, json=given, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text


async def test_partner_is_reminded_once_at_nine_on_the_business_day_before_the_last(service: Service) -> None:
    """The mail has the questions, the time limit and the way to answer. It has no link."""
    claim = await asked(service, "productsMissing", "datesMissingOrOld")
    service.clock.set(REMINDER_AT - MICROSECOND)
    await service.sweep()
    before = list(reminders(service))

    service.clock.set(REMINDER_AT)
    await service.sweep()
    await service.sweep()
    service.clock.advance(timedelta(hours=2))
    await service.sweep()

    assert before == []
    [mail] = reminders(service)
    assert (mail.to_address, mail.to_name, mail.language) == (PAUL, "Paul Petit", "en")
    assert mail.subject == (
        "Reminder: claim “Contoso Sales adoption” awaits your answer. Last day: Monday, November 9, 2026"
    )
    for words in (
        "The evidence does not name every product and service of the claim.",
        "Dates are missing in the evidence, or lie too far back.",
        "until the end of that day (Central European Time, Europe/Paris)",
        "contoso.fr",
        "Modern Work and Security Usage",
        f"POST /claims/{claim['id']}/resubmit",
    ):
        assert words in mail.text
    assert "://" not in mail.text + mail.html
    shown = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert (shown["status"], shown["historyHash"]) == ("partnerActionRequired", claim["historyHash"])


async def test_a_partner_who_has_answered_gets_no_reminder(service: Service) -> None:
    """The claim is with the reviewer again."""
    claim = await asked(service)
    answer = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    assert answer.status_code == 200, answer.text

    service.clock.set(REMINDER_AT)
    await service.sweep()

    assert reminders(service) == []


async def test_each_question_has_its_own_reminder(service: Service) -> None:
    """The second mail names the new day."""
    claim = await asked(service)
    service.clock.set(REMINDER_AT)
    await service.sweep()
    await service.request("POST", f"/claims/{claim['id']}/resubmit")
    await asked_again(service, claim["id"], "productsMissing")

    service.clock.set(datetime(2026, 11, 13, 8, 0, tzinfo=UTC))
    await service.sweep()

    first, second = reminders(service)
    assert first.message_id != second.message_id
    assert "Monday, November 16, 2026" in second.subject


async def test_a_reminder_that_would_come_too_late_is_dropped(service: Service) -> None:
    """The claim is rejected then, and the timer stores that."""
    claim = await asked(service)

    service.clock.set(ENDS_AT)
    await service.sweep()
    await service.deliver()

    assert reminders(service) == []
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["statusReason"] == "noPartnerResponse"


async def test_a_reminder_waits_for_the_mail_system(service: Service) -> None:
    """It is sent a minute later."""
    await asked(service)
    service.mailbox.down = True
    service.clock.set(REMINDER_AT)
    await service.sweep()
    service.mailbox.down = False

    service.clock.advance(timedelta(minutes=1))
    await service.sweep()
    service.clock.advance(timedelta(hours=1))
    await service.sweep()

    assert [mail.to_address for mail in reminders(service)] == [PAUL]


async def test_no_reminder_is_sent_when_the_mail_system_is_down_until_the_end(service: Service) -> None:
    """Its subject is over when the mail system is back."""
    await asked(service)
    service.mailbox.down = True
    service.clock.set(REMINDER_AT)
    await service.sweep()
    service.mailbox.down = False

    service.clock.set(ENDS_AT)
    await service.sweep()
    await service.deliver()

    assert reminders(service) == []


async def test_a_reminder_sent_twice_has_one_message_id(service: Service) -> None:
    """The mail system accepted it, but its answer was lost."""
    await asked(service)
    await service.deliver()
    taken: list[OutgoingMail] = []

    def lose_the_answer(mail: OutgoingMail) -> None:
        taken.append(mail)
        raise MailDelayed("no answer")

    service.mailbox.on_send = lose_the_answer
    service.clock.set(REMINDER_AT)
    await service.sweep()
    service.mailbox.on_send = None
    service.clock.advance(timedelta(minutes=1))
    await service.sweep()

    [mail] = reminders(service)
    assert {tried.message_id for tried in taken} == {mail.message_id}


async def test_a_contact_who_refuses_the_reminder_gets_it_only_once(service: Service) -> None:
    """The claim goes on as after a delivered reminder, and `nextStep` is the same."""
    claim = await asked(service)
    service.mailbox.refused.add(PAUL)
    service.clock.set(REMINDER_AT)
    await service.sweep()
    service.mailbox.refused.clear()

    service.clock.advance(timedelta(hours=2))
    await service.sweep()

    assert reminders(service) == []
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "partnerActionRequired"


async def test_a_reminder_that_bounces_changes_nothing(service: Service) -> None:
    """Only the bounce of a notice stops a window."""
    claim = await asked(service)
    service.clock.set(REMINDER_AT)
    await service.sweep()
    event = {"messageId": reminders(service)[0].message_id, "recipient": PAUL, "event": "bounced"}

    taken = await service.programme("POST", "/mail-events", json=event)

    shown = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert taken.json() == {"accepted": 1, "unknown": 0}
    assert (shown["status"], shown["historyHash"]) == ("partnerActionRequired", claim["historyHash"])


async def test_the_reminder_goes_to_the_current_contact(service: Service) -> None:
    """The partner can change contacts while the answer is pending."""
    claim = await asked(service)
    contacts = {"partner": {"name": "Lea Blanc", "email": "lea@adatum.example"}}
    answer = await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"contacts": contacts}, headers={"If-Match": claim["etag"]}
    )
    assert answer.status_code == 200, answer.text

    service.clock.set(REMINDER_AT)
    await service.sweep()

    assert [mail.to_address for mail in reminders(service)] == ["lea@adatum.example"]


async def test_a_partner_whose_customer_cannot_be_reached_is_reminded_too(service: Service) -> None:
    """The reminder asks for another contact."""
    service.mailbox.refused.add("anne.durand@contoso.fr")
    await service.submitted()
    await service.deliver()

    service.clock.set(REMINDER_AT)
    await service.sweep()

    [mail] = reminders(service)
    assert mail.to_address == PAUL
    assert "The customer’s contact could not be reached. Please name another one." in mail.text


@pytest.mark.parametrize(
    ("registered", "language", "last_day"),
    [("fr-CA", "fr", "lundi 9 novembre 2026"), ("cs", "cs", "pondělí 9. listopadu 2026"), ("fi", "en", "November 9")],
)
async def test_a_partner_gets_the_reminder_in_the_registered_language(
    service: Service, registered: str, language: str, last_day: str
) -> None:
    """English is used for a language without a catalogue."""
    await speak(service, registered)
    await asked(service)

    service.clock.set(REMINDER_AT)
    await service.sweep()

    [mail] = reminders(service)
    assert mail.language == language
    assert last_day in mail.subject
