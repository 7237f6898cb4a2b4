"""The caller of the API, with the roles that count (decision 1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The app roles. The values are those of the claim `roles` in a token."""

    INCENTIVES_ADMIN = "Incentives.Admin"
    INCENTIVES_USER = "Incentives.User"
    PROGRAM_READER = "Program.Reader"
    PROGRAM_REVIEWER = "Program.Reviewer"
    PROGRAM_OPERATOR = "Program.Operator"
    MAIL_EVENTS = "Mail.Events"
    CUSTOMER_ADMIN = "Customer.Admin"


_COUNT_ONLY_IN_THE_PROGRAMME = frozenset(
    {Role.PROGRAM_READER, Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR, Role.MAIL_EVENTS}
)


class CallerKind(StrEnum):
    """The kind of a caller: a person who has signed in, or a program with its own identity."""

    PERSON = "person"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    A person or program with a valid token.

    `tenant_id` is the organisation (a lower-case GUID). `object_id` is the person or the program in this tenant.
    `roles` has only the roles that count. Whether the caller may see a claim is checked later, when the claim is known.
    """

    tenant_id: str
    object_id: str
    kind: CallerKind
    roles: frozenset[Role]


class Unauthenticated(Exception):
    """The token is missing or not valid. `reason_code` and `description` contain no part of the token."""

    def __init__(self, reason_code: str, description: str) -> None:
        """Store the code for metrics and alerts, and the description for the caller."""
        super().__init__(reason_code)
        self.reason_code = reason_code
        self.description = description


def roles_that_count(named: Iterable[str], tenant_id: str, programme_tenant: str) -> frozenset[Role]:
    """
    Return the roles among *named* that count in a token of *tenant_id*.

    In a multi-tenant app, the administrator of each tenant can give all roles to people of this tenant. So the roles of
    the programme count only in the programme's tenant. Unknown roles are ignored.
    """
    known = frozenset(role for role in Role if role.value in set(named))
    if tenant_id.lower() == programme_tenant.lower():
        return known
    return known - _COUNT_ONLY_IN_THE_PROGRAMME
