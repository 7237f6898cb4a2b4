"""The sample registry: two fictional partners, two fictional customers, and new customers for `make customer`."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from devhost.stack.api_client import ApiClient

OPERATOR = "Program.Operator"

Entry = Mapping[str, Any]

ADATUM, FABRIKAM = "7610452", "7610453"
ADATUM_TENANT = "ada70000-0000-4000-8000-000000000001"
FABRIKAM_TENANT = "fab00000-0000-4000-8000-000000000002"
ALPINE, TAILSPIN = "a1b10000-0000-4000-8000-0000000000f1", "7a115000-0000-4000-8000-0000000000c2"

PARTNERS: Mapping[str, Entry] = {
    ADATUM: {
        "name": "Adatum Conseil",
        "entraTenantId": ADATUM_TENANT,
        "country": "FR",
        "timeZone": "Europe/Paris",
        "language": "fr",
    },
    FABRIKAM: {
        "name": "Fabrikam Služby",
        "entraTenantId": FABRIKAM_TENANT,
        "country": "CZ",
        "timeZone": "Europe/Prague",
        "language": "cs",
    },
}


def _subscription(number: int, product: str, channel: str, state: str, seats: int) -> Entry:
    identity = f"5ab5c000-0000-4000-8000-{number:012d}"
    return {"subscriptionId": identity, "product": product, "channel": channel, "state": state, "seats": seats}


CUSTOMERS: Mapping[str, Entry] = {
    ALPINE: {
        "name": "Alpine Ski House",
        "domains": ["alpineskihouse.fr"],
        "country": "FR",
        "subdivision": None,
        "timeZone": "Europe/Paris",
        "language": "fr",
        "noticeAddresses": ["informatique@alpineskihouse.fr"],
        "workloads": ["exchange", "sharepoint", "teams", "microsoft-365-apps", "intune", "defender-for-endpoint"],
        "subscriptions": [
            _subscription(101, "dynamics-365-sales", "EA", "active", 120),
            _subscription(102, "dynamics-365-customer-service", "EA", "grace", 40),
            _subscription(103, "business-central", "WebDirect", "active", 25),
            _subscription(104, "dynamics-365-finance", "CSP", "active", 60),
            _subscription(105, "dynamics-365-field-service", "WebDirect", "notProvisioned", 15),
            _subscription(106, "power-bi", "EA", "disabled", 80),
        ],
    },
    TAILSPIN: {
        "name": "Tailspin Hračky",
        "domains": ["tailspinhracky.cz", "tailspin-eshop.cz"],
        "country": "CZ",
        "subdivision": None,
        "timeZone": "Europe/Prague",
        "language": "cs",
        "noticeAddresses": [],
        "workloads": ["exchange", "teams", "teams-phone", "viva-insights", "entra-id-p1"],
        "subscriptions": [
            _subscription(201, "business-central", "WebDirect", "active", 35),
            _subscription(202, "dynamics-365-sales", "EA", "active", 18),
            _subscription(203, "power-apps", "EA", "grace", 200),
            _subscription(204, "dynamics-365-commerce", "CSP", "active", 12),
        ],
    },
}


PRODUCT = "dynamics-365-sales"


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A French customer without claims, with one subscription that can be claimed."""

    tenant: str
    domain: str
    subscription: str

    @classmethod
    def new(cls) -> Self:
        """Return a new customer."""
        return cls(str(uuid.uuid4()), f"contoso-{secrets.token_hex(3)}.example", str(uuid.uuid4()))

    @property
    def contact(self) -> str:
        """The mail address of the customer's contact."""
        return f"anne.durand@{self.domain}"

    @property
    def entry(self) -> Entry:
        """The entry that the operator registers."""
        return {
            "name": "Contoso France",
            "domains": [self.domain],
            "country": "FR",
            "timeZone": "Europe/Paris",
            "language": "fr",
            "subscriptions": [
                {
                    "subscriptionId": self.subscription,
                    "product": PRODUCT,
                    "channel": "WebDirect",
                    "state": "active",
                    "seats": 50,
                }
            ],
        }


def register_missing(caller: ApiClient) -> int:
    """
    Register the missing entries, and return their number. Each partner is enrolled for every engagement in use.

    Existing entries do not change, because the developer may have changed them. Raises UnexpectedAnswer.
    """
    engagements = caller.ask("GET", "/engagements").json()["value"]
    everything = [engagement["id"] for engagement in engagements if not engagement["retired"]]
    wanted = {
        **{f"/partners/{key}": {**entry, "enrolledEngagements": everything} for key, entry in PARTNERS.items()},
        **{f"/customers/{key}": entry for key, entry in CUSTOMERS.items()},
    }
    missing = [path for path in wanted if caller.ask("GET", path, role=OPERATOR, expect=(200, 404)).is_error]
    for path in missing:
        caller.ask("PUT", path, role=OPERATOR, json=wanted[path], expect=(200, 201))
    return len(missing)
