"""Mails that bounce: the window stops when no notified recipient is left."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_core.errors import MailDelayed
from tests.support.service import Service


def plain(service: Service, number: int = 0, event: str = "bounced") -> dict[str, str]:
    """Return a report about the mail with that number, in the plain form."""
    mail = service.mailbox.sent[number]
    return {"messageId": mail.message_id, "recipient": mail.to_address, "event": event, "reason": "550 no such user"}


def event_grid(service: Service, status: str, number: int = 0) -> dict[str, Any]:
    """Return a report about the mail with that number, in the form of Azure Communication Services."""
    mail = service.mailbox.sent[number]
    return {
        "id": "1",
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "data": {
            "recipient": mail.to_address,
            "internetMessageId": mail.message_id,
            "messageId": "x",
            "status": status,
        },
    }


async def status(service: Service, claim: dict[str, Any]) -> tuple[str, str | None]:
    """Return a claim's state and reason."""
    shown = (await service.request("GET", f"/claims/{claim['id']}")).json()
    return shown["status"], shown["statusReason"]


async def test_bounce_on_day_four_stops_the_window_for_good(service: Service) -> None:
    """The claim goes back to the partner. After the promised end it is not official."""
    claim = await service.notified()
    service.clock.advance(timedelta(days=4))

    taken = await service.programme("POST", "/mail-events", json=plain(service))

    assert taken.json() == {"accepted": 1, "unknown": 0}
    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))
    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_bounce_of_one_of_two_changes_nothing_yet(service: Service) -> None:
    """The window goes on while a notified recipient is left. It stops with the last."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    claim = await service.notified()

    await service.programme("POST", "/mail-events", json=[plain(service, 0), plain(service, 0)])
    assert await status(service, claim) == ("awaitingCustomer", None)
    await service.programme("POST", "/mail-events", json=plain(service, 1))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


@pytest.mark.parametrize("outcome", ["Bounced", "Failed", "Suppressed", "FilteredSpam", "Quarantined"])
async def test_report_of_event_grid_is_read_from_the_queue(service: Service, outcome: str) -> None:
    """Each status that is a failure of the recipient stops the window."""
    claim = await service.notified()

    await service.run("record_mail_event", json.dumps(event_grid(service, outcome)))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_report_that_event_grid_stored_can_be_sent_unchanged(service: Service) -> None:
    """The file in the container is an array. Its events also say why Event Grid gave up (docs/operating.md)."""
    claim = await service.notified()
    given_up = {
        "deadLetterReason": "MaxDeliveryAttemptsExceeded",
        "deliveryAttempts": 30,
        "lastDeliveryOutcome": "Unauthorized",
        "publishTime": "2026-11-02T09:00:05Z",
        "lastDeliveryAttemptTime": "2026-11-03T09:00:05Z",
    }

    taken = await service.programme("POST", "/mail-events", json=[event_grid(service, "Bounced") | given_up])

    assert taken.json() == {"accepted": 1, "unknown": 0}
    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


@pytest.mark.parametrize("outcome", ["Delivered", "Expanded", "OutForDelivery"])
async def test_report_without_a_failure_changes_nothing(service: Service, outcome: str) -> None:
    """An expanded list and a delivery leave the window as it is."""
    claim = await service.notified()

    await service.run("record_mail_event", json.dumps([event_grid(service, outcome)]))

    assert await status(service, claim) == ("awaitingCustomer", None)


async def test_bounce_after_official_is_on_the_review_list(service: Service) -> None:
    """It changes nothing else. It stays on the list until a reviewer has commented."""
    claim = await service.official()
    await service.programme("POST", "/mail-events", json=plain(service))

    assert await status(service, claim) == ("official", None)
    listed = (await service.review("GET", "/reviews")).json()["value"]
    assert [entry["id"] for entry in listed] == [claim["id"]]
    await service.review("POST", f"/reviews/{claim['id']}/comments", json={"text": "Called them: all is well."})
    assert (await service.review("GET", "/reviews")).json()["value"] == []


async def test_unknown_mails_handshakes_and_wrong_reports(service: Service) -> None:
    """
    An unknown mail is counted, a handshake is answered, and a wrong report is refused.

    Only the programme can report.
    """
    unknown = {"messageId": "<0f8fad5b-d9cb-469f-a165-70867728950e@x.example>", "event": "bounced"}
    handshake = [
        {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}
    ]

    assert (await service.programme("POST", "/mail-events", json=unknown)).json() == {"accepted": 0, "unknown": 1}
    answer = await service.programme("POST", "/mail-events", role="Mail.Events", json=handshake)
    assert answer.json() == {"validationResponse": "512d38b6"}
    assert (await service.programme("POST", "/mail-events", json={"event": "bounced"})).status_code == 400
    assert (await service.programme("POST", "/mail-events", json=[1, "x", None])).status_code == 400
    assert (await service.request("POST", "/mail-events", json=unknown)).status_code == 403


async def test_recipient_put_off_and_then_refused_counts_as_failed(service: Service) -> None:
    """
    One of two recipients is deferred (4xx) and then refused (5xx).

    When the notice to the other bounces, no recipient is left.
    """
    await service.register(noticeAddresses=["it@contoso.fr"])

    def put_off(mail: Any) -> None:
        if mail.to_address == "it@contoso.fr":
            raise MailDelayed("450 greylisted", recipient_refused_for_now=True)

    service.mailbox.on_send = put_off
    claim = await service.notified()
    assert claim["window"] is not None
    service.mailbox.on_send = None
    service.mailbox.refused.add("it@contoso.fr")
    service.clock.advance(timedelta(hours=2))
    await service.sweep()
    await service.programme("POST", "/mail-events", json=plain(service, 0))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_bounce_before_the_hand_over_is_recorded_shows_no_window(service: Service) -> None:
    """The report arrives while the mail system accepts the notice. No window is shown as running."""
    claim = await service.submitted()
    send = service.mailbox.send

    async def send_and_bounce(mail: Any) -> None:
        await send(mail)
        await service.programme("POST", "/mail-events", json=plain(service, -1))

    service.mailbox.send = send_and_bounce  # type: ignore[method-assign]
    await service.deliver()

    shown = await service.reread(claim)
    assert (shown["status"], shown["window"]) == ("partnerActionRequired", None)


async def test_delivery_report_that_failed_once_stops_the_window_later(service: Service) -> None:
    """The report failed while storage was down. The operator sends the stored report again."""
    claim = await service.notified()
    await service.run("record_failed_mail_event", json.dumps(event_grid(service, "Bounced")))
    kept = (await service.programme("GET", "/operations/failed-messages")).json()["value"][0]

    await service.run("record_mail_event", kept["body"])

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_every_report_of_a_long_array_is_read(service: Service) -> None:
    """All reports are processed, or the array is refused."""
    claim = await service.notified()
    unknown = {"messageId": "0f8fad5b-d9cb-469f-a165-70867728950e", "event": "delivered"}
    answer = await service.programme("POST", "/mail-events", json=[unknown] * 1000 + [plain(service)])
    assert answer.status_code in (400, 413) or await status(service, claim) == (
        "partnerActionRequired",
        "customerUnreachable",
    )


async def test_closing_mail_goes_only_to_notified_contacts(service: Service) -> None:
    """The second contact never got a notice and therefore gets no mail about the end."""
    claim = await service.notified()
    await service.programme("POST", "/mail-events", json=plain(service))
    shown = await service.reread(claim)
    contacts = {"customer": {"name": "Bruno", "email": "bruno@contoso.fr"}}
    await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"contacts": contacts}, headers={"If-Match": shown["etag"]}
    )
    service.mailbox.down = True
    again = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    assert again.json()["status"] == "awaitingCustomer"
    await service.deliver()
    await service.request("POST", f"/claims/{claim['id']}/withdraw")
    service.mailbox.down = False
    await service.deliver()
    service.clock.advance(timedelta(hours=2))
    await service.sweep()
    assert [mail.subject for mail in service.mailbox.sent if mail.to_address == "bruno@contoso.fr"] == []
