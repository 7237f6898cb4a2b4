"""Mails that come back: the window stops when nobody is left who was told."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.service import Service


def plain(service: Service, number: int = 0, event: str = "bounced") -> dict[str, str]:
    """Return a report about the mail of that number, in the plain form."""
    mail = service.mailbox.sent[number]
    return {"messageId": mail.message_id, "recipient": mail.to_address, "event": event, "reason": "550 no such user"}


def event_grid(service: Service, status: str, number: int = 0) -> dict[str, Any]:
    """Return a report about the mail of that number as Azure Communication Services sends it."""
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


async def test_bounce_on_day_four_stops_the_window_and_frees_nobody_to_silence(service: Service) -> None:
    """The claim goes back to the partner; past the promised end it is not official."""
    claim = await service.told()
    service.clock.advance(timedelta(days=4))

    taken = await service.programme("POST", "/mail-events", json=plain(service))

    assert taken.json() == {"accepted": 1, "unknown": 0}
    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))
    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_bounce_of_one_of_two_changes_nothing_yet(service: Service) -> None:
    """The window goes on while somebody is left who was told; it stops with the last."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    claim = await service.told()

    await service.programme("POST", "/mail-events", json=[plain(service, 0), plain(service, 0)])
    assert await status(service, claim) == ("awaitingCustomer", None)
    await service.programme("POST", "/mail-events", json=plain(service, 1))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


@pytest.mark.parametrize("outcome", ["Bounced", "Failed", "Suppressed", "FilteredSpam", "Quarantined"])
async def test_report_of_event_grid_is_taken_from_the_queue(service: Service, outcome: str) -> None:
    """Each status that is a recipient's failure stops the window."""
    claim = await service.told()

    await service.run("record_mail_event", json.dumps(event_grid(service, outcome)))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_report_that_event_grid_kept_aside_is_sent_as_it_is(service: Service) -> None:
    """The file in the container is an array whose events also say why they were given up (docs/operating.md)."""
    claim = await service.told()
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
async def test_no_failure_no_change(service: Service, outcome: str) -> None:
    """A list that was resolved, or a delivery, leaves the window as it is."""
    claim = await service.told()

    await service.run("record_mail_event", json.dumps([event_grid(service, outcome)]))

    assert await status(service, claim) == ("awaitingCustomer", None)


async def test_bounce_after_official_is_for_a_reviewer_to_look_at(service: Service) -> None:
    """It changes nothing, and stands on the review list until a reviewer has commented."""
    claim = await service.official()
    await service.programme("POST", "/mail-events", json=plain(service))

    assert await status(service, claim) == ("official", None)
    listed = (await service.review("GET", "/reviews")).json()["value"]
    assert [entry["id"] for entry in listed] == [claim["id"]]
    await service.review("POST", f"/reviews/{claim['id']}/comments", json={"text": "Called them: all is well."})
    assert (await service.review("GET", "/reviews")).json()["value"] == []


async def test_strangers_and_handshakes(service: Service) -> None:
    """An unknown mail is counted, a handshake answered, nonsense refused, and only the programme may report."""
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
