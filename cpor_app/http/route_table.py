"""The table of operations. A line has the route, the roles, the bodies, the answers and the refusals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, JsonValue

from cpor_app.functions import ROUTES, handler
from cpor_core.model.caller import Role

API_VERSION = "2026-11-01"
ONE_KIB, ONE_MIB = 2**10, 2**20
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
JSON = "application/json"
JSON_TYPES = (JSON,)
PATCH_TYPES = ("application/merge-patch+json", JSON)
ANY_TOKEN: frozenset[Role] = frozenset()
"""For an operation that needs a token but no role."""
PARTNER = frozenset({Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER})
PARTNER_ADMIN = frozenset({Role.INCENTIVES_ADMIN})
REVIEWER = frozenset({Role.PROGRAM_REVIEWER})
PROGRAMME = frozenset({Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR})
OPERATOR = frozenset({Role.PROGRAM_OPERATOR})
PROGRAMME_AND_READER = PROGRAMME | {Role.PROGRAM_READER}
"""For answers without personal data (decision 52)."""
CUSTOMER_ADMIN = frozenset({Role.CUSTOMER_ADMIN})
MAIL_REPORTERS = frozenset({Role.PROGRAM_OPERATOR, Role.MAIL_EVENTS})
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a handler."""

    status: int = 200
    body: BaseModel | JsonValue | bytes = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    A line of the table of operations.

    `answers` gives the model of each status; the first status means success. None means no body, a tuple means one of
    several models, and a mapping gives a model for each media type. `body` is the model of the body, or a mapping from
    media type to model. For a PATCH it is the model of the patched result. For JSON lines it is the model of one line.
    """

    name: str
    method: str
    route: str
    summary: str
    description: str
    tag: str
    roles: frozenset[Role] | None
    """The caller needs one of these roles. `ANY_TOKEN`: a token is enough. None: no token is needed."""
    answers: Mapping[int, Any]
    query: type[BaseModel] | None
    body: Any
    body_types: tuple[str, ...]
    body_needed: bool
    max_bytes: int
    key_kept_by_handler: bool
    """
    Whether the use case stores the reply to an idempotency key, in the transaction of the act.

    For every other POST with a token `server` stores the reply.
    """
    if_match: str | None
    etag: bool
    location: bool
    paged: bool
    refusals: tuple[str, ...]
    in_words: bool
    """Whether a refusal is answered with a page. A caller who asks for JSON gets JSON."""

    @property
    def is_throttled(self) -> bool:
        """Whether calls count against the partner's rate limit: every write by a partner does (decision 4)."""
        return self.roles is not None and self.method != "GET" and bool(self.roles & PARTNER)

    @property
    def keyed(self) -> bool:
        """Whether the operation takes an idempotency key: every POST with a token does (decision 39)."""
        return self.method == "POST" and self.roles is not None

    def taken(self, media_type: str) -> Any:
        """Return the model of a body with that media type."""
        return self.body[media_type] if isinstance(self.body, Mapping) else self.body

    @property
    def size_in_words(self) -> str:
        """The largest size of the body as text, in MiB or KiB."""
        whole, unit = (ONE_MIB, "MiB") if self.max_bytes >= ONE_MIB else (ONE_KIB, "KiB")
        return f"{self.max_bytes // whole} {unit}"

    @property
    def takes_json(self) -> bool:
        """Whether the body can be one JSON document."""
        return bool({JSON, *PATCH_TYPES} & set(self.body_types))

    @property
    def takes_nothing(self) -> bool:
        """Whether this is a POST without fields. The body of such a POST is empty, or an empty JSON object."""
        return self.method == "POST" and self.body is None

    @property
    def codes(self) -> tuple[str, ...]:
        """Every error code of the operation: `refusals`, and the codes that follow from the other fields."""
        follow = {
            ("UnsupportedApiVersionValue", "InternalError", "ServerBusy"): True,
            ("Unauthenticated", "QueryUnknown"): self.roles is not None,
            ("RoleRequired",): bool(self.roles),
            ("TooManyRequests",): self.is_throttled,
            ("PreconditionFailed",): self.if_match is not None,
            ("PreconditionRequired",): self.if_match == "required",
            ("LengthRequired", "PayloadTooLarge"): self.body is not None or self.takes_nothing,
            ("UnsupportedMediaType",): bool(self.body_types),
            ("InvalidJson", "ValidationFailed"): self.takes_json or self.takes_nothing,
            ("ValidationFailed",): self.query is not None or self.paged or self.keyed,
            ("InvalidCursor",): self.paged,
            ("IdempotencyKeyReused", "RequestInProgress"): self.keyed,
        }
        return tuple(
            dict.fromkeys([*self.refusals, *(code for codes, does in follow.items() if does for code in codes)])
        )


OPERATIONS: dict[str, Operation] = {}
"""The operations of the modules that are loaded, by name."""


def operations() -> Sequence[Operation]:
    """Return every operation, in the order of `cpor_app.functions`. This loads every module of `cpor_app.triggers`."""
    for name in ROUTES:
        handler(name)
    return [OPERATIONS[name] for name in ROUTES if name in OPERATIONS]
