"""The entries of the change feed: all changes of an organisation's claims, numbered without gaps (decision 38)."""

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import Status


class Change(Value):
    """One change of a claim or its association, as the partner's software reads it."""

    sequence: int = Field(description="The number of the change within the organisation: from 1, without gaps.")
    type: str = Field(
        description="`claim.` and the act of the history entry, `claim.competing` or `claim.noteChanged`."
    )
    claim_id: str
    association_id: str | None = None
    status: Status
    at: Instant
    etag: str
