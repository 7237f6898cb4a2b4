"""The caller: organisation, person or client, and the roles that count (decision 1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The app roles of the registration, as a token's `roles` names them."""

    INCENTIVES_ADMIN = "Incentives.Admin"
    INCENTIVES_USER = "Incentives.User"
    PROGRAM_REVIEWER = "Program.Reviewer"
    PROGRAM_OPERATOR = "Program.Operator"
    MAIL_EVENTS = "Mail.Events"
    CUSTOMER_ADMIN = "Customer.Admin"


_COUNT_ONLY_IN_THE_PROGRAMME = frozenset({Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR, Role.MAIL_EVENTS})


class CallerKind(StrEnum):
    """Whether a person signed in, or a client calls in its own name."""

    PERSON = "person"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    A person or client with a valid token.

    `tenant_id` is the organisation (a lower-case GUID), `object_id` the person or the client in it. `roles` holds only
    roles that count; whether `Incentives.*` and `Customer.Admin` reach the thing asked for is judged where it is known.
    """

    tenant_id: str
    object_id: str
    kind: CallerKind
    roles: frozenset[Role]


class Unauthenticated(Exception):
    """The caller is unknown. `reason_code` and `description` are fixed texts, without any part of the token."""

    def __init__(self, reason_code: str, description: str) -> None:
        """Store both: the code is for metrics and alerts, the description is for the caller."""
        super().__init__(reason_code)
        self.reason_code = reason_code
        self.description = description


def roles_that_count(named: Iterable[str], tenant_id: str, programme_tenant: str) -> frozenset[Role]:
    """
    Return the roles among *named* that mean something in a token of *tenant_id*.

    In a multi-tenant app every tenant's administrator can hand out all roles to his own people, so the programme's
    own roles count in the programme's tenant alone. Roles that we do not know are as if absent.
    """
    known = frozenset(role for role in Role if role.value in set(named))
    if tenant_id.lower() == programme_tenant.lower():
        return known
    return known - _COUNT_ONLY_IN_THE_PROGRAMME
