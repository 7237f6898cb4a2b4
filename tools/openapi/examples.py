"""An example body for each operation with a body. Tests validate the examples against the schemas."""

from collections.abc import Mapping
from typing import Any, Final

TENANT: Final = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"
SUBSCRIPTION: Final = "9a1f0c2e-3b4d-4e5f-8a6b-7c8d9e0f1a2b"
EXAMPLES: Final[Mapping[str, Any]] = {
    "create_claim": {
        "name": "Contoso Teams adoption",
        "partnerId": "4782913",
        "engagement": "modern-work-security-usage",
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [{"workload": "teams"}, {"workload": "exchange"}],
        "contacts": {
            "customer": {"name": "Anne Durand", "title": "DSI", "email": "anne.durand@contoso.fr"},
            "customerTechnical": {"name": "Luc Martin", "email": "luc.martin@contoso.fr"},
            "partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"},
        },
        "comment": "The statement of work is attached.",
    },
    "patch_claim": {"name": "Contoso Teams and Exchange adoption", "comment": None},
    "submit_claim": {"acknowledgements": {"accurate": True, "customerAware": True}},
    "resubmit_claim": {"comment": "The acknowledgement is signed now."},
    "dispute_claim": {"justification": "The statement of work names the workload on page 3."},
    "withdraw_claim": {"comment": "The customer goes another way."},
    "add_comment": {"text": "The signed acknowledgement follows tomorrow."},
    "end_association": {"reason": "The project is over."},
    "start_review": {},
    "release_review": {"comment": "I know this partner."},
    "approve_claim": {"comment": "The evidence is clear."},
    "request_information": {"reasons": ["evidenceMissing"], "comment": "The statement of work has no signature."},
    "strike_items": {"items": [{"workload": "exchange"}], "comment": "The evidence is about Teams only."},
    "reject_claim": {"reason": "insufficientEvidence", "comment": "The statement of work names no workload."},
    "revoke_claim": {"reason": "Filed by mistake", "comment": "The customer's contact has never heard of it."},
    "add_review_comment": {"text": "Which workloads does the statement of work cover?"},
    "decline_as_customer": {"reason": "We do not know this partner."},
    "undo_as_customer": {},
    "end_as_customer": {"reason": "The project is over."},
    "take_mail_events": {
        "messageId": "2b0d3c1e-5f5b-5a53-9c39-6a7f8f6d2f11@cpor.example",
        "recipient": "anne.durand@contoso.fr",
        "event": "bounced",
        "reason": "550 5.1.1 no such user",
        "at": "2026-11-03T08:15:00Z",
    },
    "put_partner": {
        "name": "Adatum Conseil",
        "entraTenantId": "1d2c3b4a-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
        "country": "FR",
        "timeZone": "Europe/Paris",
        "language": "fr",
        "enrolledEngagements": ["modern-work-security-usage"],
    },
    "put_closed_day": {"name": "A royal funeral"},
    "put_customer": {
        "name": "Contoso France",
        "domains": ["contoso.fr"],
        "country": "FR",
        "subdivision": None,
        "timeZone": "Europe/Paris",
        "language": "fr",
        "noticeAddresses": [],
        "workloads": ["teams", "exchange"],
        "subscriptions": [
            {
                "subscriptionId": SUBSCRIPTION,
                "product": "dynamics-365-sales",
                "channel": "EA",
                "state": "active",
                "seats": 50,
            }
        ],
    },
    "put_webhook": {"url": "https://adatum.example/hooks/cpor", "events": ["claim.submitted", "claim.madeOfficial"]},
    "replay_changes": {"from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"},
    "erase_person": {"email": "anne.durand@contoso.fr"},
    "create_claim_batch": (
        f'{{"name": "Contoso Teams adoption", "partnerId": "4782913", "engagement": "modern-work-security-usage", '
        f'"customer": {{"tenantId": "{TENANT}", "domain": "contoso.fr"}}, "items": [{{"workload": "teams"}}], '
        '"contacts": {"customer": {"name": "Anne Durand", "email": "anne.durand@contoso.fr"}, '
        '"partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"}}}\n'
    ),
    "import_associations": (
        f'{{"engagement": "osu-m365", "partnerId": "4782913", "tenantId": "{TENANT}", "item": "teams", '
        '"since": "2024-03-01"}\n'
    ),
    "load_usage": {
        "value": [
            {
                "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
                "skuPartNumber": "SPE_E5",
                "appliesTo": "User",
                "capabilityStatus": "Enabled",
                "consumedUnits": 40,
                "prepaidUnits": {"enabled": 50, "suspended": 0, "warning": 0, "lockedOut": 0},
                "servicePlans": [
                    {
                        "servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929",
                        "servicePlanName": "TEAMS1",
                        "provisioningStatus": "Success",
                        "appliesTo": "User",
                    }
                ],
                "subscriptionIds": ["660c5f8c-0f5c-4e5f-8d3a-1c9f0a1b2c3d"],
            }
        ]
    },
    "move_clock": {"advance": "P1D"},
}
OF_OTHER_TYPES: Final[Mapping[tuple[str, str], Any]] = {
    ("load_usage", "application/x-ndjson"): (
        '{"month": "2026-11", "item": "teams", "activeUsers": 30, "availableSeats": 50}\n'
    ),
    ("load_usage", "text/csv"): (
        "Report Refresh Date,Exchange Active,Exchange Inactive,Teams Active,Teams Inactive,Report Period\n"
        "2026-11-18,41,9,30,20,30\n"
    ),
}


def example(name: str, media_type: str) -> Any:
    """Return the example of an operation's body in that media type; None without one."""
    return OF_OTHER_TYPES.get((name, media_type), EXAMPLES.get(name))
