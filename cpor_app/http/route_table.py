"""The table of operations: what is served, to whom, with which bodies, answers and refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, JsonValue

from cpor_core.model.caller import Role

API_VERSION = "2026-11-01"
ONE_KIB, ONE_MIB = 2**10, 2**20
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
JSON = "application/json"
JSON_TYPES = (JSON,)
PATCH_TYPES = ("application/merge-patch+json", JSON)
PARTNER = frozenset({Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER})
PARTNER_ADMIN = frozenset({Role.INCENTIVES_ADMIN})
REVIEWER = frozenset({Role.PROGRAM_REVIEWER})
PROGRAMME = frozenset({Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR})
OPERATOR = frozenset({Role.PROGRAM_OPERATOR})
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
    """What a handler answers: a model, JSON values, text or bytes."""

    status: int = 200
    body: BaseModel | JsonValue | bytes = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    A line of the table of operations: what is served, to whom, with which bodies, answers and refusals.

    `answers` holds a model for each status, the first of them for the act that the operation is named for; None where
    there is no body, several models in a tuple, and a mapping where the media type is not JSON alone. Of a PATCH,
    `body` is what the patch must make; of JSON lines, one line; where media types differ in form, a mapping.
    """

    name: str
    method: str
    route: str
    summary: str
    description: str
    tag: str
    roles: frozenset[Role] | None
    answers: Mapping[int, Any]
    query: type[BaseModel] | None
    body: Any
    body_types: tuple[str, ...]
    body_needed: bool
    max_bytes: int
    key_kept_by_handler: bool
    """The use case keeps the answer to a key with what it writes; of other POSTs the answer is kept here."""
    if_match: str | None
    etag: bool
    location: bool
    paged: bool
    refusals: tuple[str, ...]
    in_words: bool

    @property
    def is_throttled(self) -> bool:
        """Whether it is a partner's write (rulings 4)."""
        return self.roles is not None and self.method != "GET" and bool(self.roles & PARTNER)

    @property
    def keyed(self) -> bool:
        """Whether it takes an idempotency key: every POST with a token does (rulings 39)."""
        return self.method == "POST" and self.roles is not None

    def taken(self, media_type: str) -> Any:
        """Return the model of a body of that media type."""
        return self.body[media_type] if isinstance(self.body, Mapping) else self.body

    @property
    def size_in_words(self) -> str:
        """How large the body may be, as people say it."""
        whole, unit = (ONE_MIB, "MiB") if self.max_bytes >= ONE_MIB else (ONE_KIB, "KiB")
        return f"{self.max_bytes // whole} {unit}"

    @property
    def takes_json(self) -> bool:
        """Whether the body is, or may be, one JSON document."""
        return bool({JSON, *PATCH_TYPES} & set(self.body_types))

    @property
    def takes_nothing(self) -> bool:
        """Whether it is a POST without fields: a body, if there is one, must be an empty object."""
        return self.method == "POST" and self.body is None

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that a caller may be refused with: those of the line, and what follows from its columns."""
        follow = {
            ("UnsupportedApiVersionValue", "InternalError", "ServerBusy"): True,
            ("Unauthenticated", "QueryUnknown", "RoleRequired"): self.roles is not None,
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


OPERATIONS: list[Operation] = []
"""Every operation, in the order in which the modules of this package declare them."""
