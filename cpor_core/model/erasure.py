"""A request to erase a person from everything that is stored, and its progress."""

from enum import StrEnum

from cpor_core.model.base import Email, Instant, Value


class ErasureStatus(StrEnum):
    """The progress of an erasure."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"


class Place(StrEnum):
    """Where a person may be named, in the order of the search. Batches make claims, so they come before the claims."""

    BATCHES = "batches"
    CUSTOMERS = "customers"
    CLAIMS = "claims"
    REQUESTS = "requests"


class Found(Value):
    """How many claims, batches, customers and stored replies named the person. An unfinished round counts too."""

    claims: int = 0
    batches: int = 0
    customers: int = 0
    answers: int = 0


class Erasure(Value):
    """
    A request to erase a person.

    It is worked on place by place, in the order of their keys, so that it can stop and go on anywhere. The address is
    kept until the work is done.
    """

    id: str
    requested_at: Instant
    email: Email | None = None
    round: int = 1
    place: Place = Place.BATCHES
    after: str = ""
    """The last key of this place that is done."""
    counted: str = ""
    """The last step whose finds are counted. A step that did not end is repeated, and not counted twice."""
    found: Found = Found()
    found_in_round: int = 0
    missed_in_round: int = 0
    """What could not be erased yet."""
    evidence_to_look_at: tuple[str, ...] = ()
    """Claims that are not closed and have named the person. Their files cannot be searched."""
    evidence_not_listed: int = 0
    run: str = ""
    """The run of the timer that wrote this row; it recognises its own write by it."""
    started: bool = False
    finished_at: Instant | None = None

    @property
    def status(self) -> ErasureStatus:
        """The progress."""
        if self.finished_at is not None:
            return ErasureStatus.SUCCEEDED
        return ErasureStatus.RUNNING if self.started else ErasureStatus.NOT_STARTED
