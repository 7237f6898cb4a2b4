"""The mail log of a claim, field by field: for reviewer, operator, reader and partner."""

from typing import Any

from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import OTHER_PARTNER, Service
from tests.triggers.refusals import refused

AT, ARRIVED = "2026-11-02T09:00:00Z", "2026-11-02T08:59:00Z"
FIELDS = {"kind", "handedOverAt", "outcome", "at"}
TOLD = {"kind": "customerTold", "handedOverAt": AT, "outcome": "handedOver", "at": AT}


async def mails(service: Service, path: str, role: str, **more: Any) -> Any:
    """Return a log, sorted by kind."""
    answer = await service.request("GET", f"{path}/mails", role=role, **more)
    assert answer.status_code == 200, answer.text
    return sorted(answer.json()["value"], key=lambda mail: str(mail["kind"]))


async def notified_and_delivered(service: Service) -> Any:
    """Return a claim that awaits its customer, whose mail system has reported the notice as delivered."""
    claim = await service.notified()
    report = {"messageId": service.mailbox.sent[0].message_id, "event": "delivered", "at": ARRIVED}
    assert (await service.programme("POST", "/mail-events", json=report)).json() == {"accepted": 1, "unknown": 0}
    return claim


async def test_the_programme_sees_each_mail_with_its_recipient(service: Service) -> None:
    """Reviewer and operator see the same. A reader sees it without the recipients."""
    claim = await notified_and_delivered(service)
    path = f"/reviews/{claim['id']}"
    contacts = claim["contacts"]

    seen = await mails(service, path, "Program.Reviewer", tenant=PROGRAMME_TENANT)

    notice = {"kind": "notice", "handedOverAt": AT, "outcome": "delivered", "at": ARRIVED}
    assert seen == [
        {**TOLD, "recipient": contacts["partner"]["email"]},
        {**notice, "recipient": contacts["customer"]["email"]},
    ]
    assert await mails(service, path, "Program.Operator", tenant=PROGRAMME_TENANT) == seen
    assert await mails(service, path, "Program.Reader", tenant=PROGRAMME_TENANT) == [TOLD, notice]


async def test_the_partner_sees_its_own_mails_and_no_address(service: Service) -> None:
    """Of the two notices it sees that one was handed over, and not to how many people, and not whether it arrived."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    claim = await notified_and_delivered(service)
    path = f"/claims/{claim['id']}"

    for role in ("Incentives.Admin", "Incentives.User"):
        seen = await mails(service, path, role)

        assert seen == [TOLD, {"kind": "notice", "handedOverAt": AT, "outcome": "handedOver", "at": AT}]
        assert all(set(mail) == FIELDS for mail in seen)
    assert len(await mails(service, f"/reviews/{claim['id']}", "Program.Reader", tenant=PROGRAMME_TENANT)) == 3
    refused(await service.request("GET", f"{path}/mails", tenant=OTHER_PARTNER), 404, "NotFound")
    refused(await service.review("GET", f"/reviews/{'0' * 52}/mails"), 404, "NotFound")


async def test_a_claim_without_mails_has_an_empty_log(service: Service) -> None:
    """Nobody was notified of a draft."""
    claim = await service.draft()

    assert await mails(service, f"/claims/{claim['id']}", "Incentives.Admin") == []


async def test_a_report_in_event_grids_schema_states_its_instant(service: Service) -> None:
    """If the instant has an unknown form, the instant of the arrival counts."""
    claim = await service.notified()
    name = service.mailbox.sent[0].message_id
    for status, tried_at in (("Delivered", "2026-11-02T08:30:00.1234567+00:00"), ("Bounced", "yesterday")):
        data = {"messageId": name, "status": status, "deliveryAttemptTimeStamp": tried_at}
        event = {"eventType": "Microsoft.Communication.EmailDeliveryReportReceived", "data": data}
        assert (await service.programme("POST", "/mail-events", json=[event])).json()["accepted"] == 1

        _, notice = (await mails(service, f"/reviews/{claim['id']}", "Program.Reader", tenant=PROGRAMME_TENANT))[-2:]
        expected = ("delivered", "2026-11-02T08:30:00.123456Z") if status == "Delivered" else ("failed", AT)
        assert (notice["outcome"], notice["at"]) == expected
