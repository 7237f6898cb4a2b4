"""A request to erase somebody from everything that is stored, and how far it has come."""

from enum import StrEnum

from cpor_core.model.base import Email, Instant, Value


class ErasureStatus(StrEnum):
    """How far an erasure has come."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"


class Place(StrEnum):
    """Where somebody may be named, in the order in which it is searched: what makes claims comes before the claims."""

    BATCHES = "batches"
    CUSTOMERS = "customers"
    CLAIMS = "claims"
    REQUESTS = "requests"


class Found(Value):
    """In how many claims, batches, customers and kept answers somebody was found; an unfinished round counts too."""

    claims: int = 0
    batches: int = 0
    customers: int = 0
    answers: int = 0


class Erasure(Value):
    """
    A request to erase somebody.

    It is worked on place by place, in the order of their keys, so that it can stop and go on anywhere. The address is
    kept until the work is done.
    """

    id: str
    requested_at: Instant
    email: Email | None = None
    round: int = 1
    place: Place = Place.BATCHES
    after: str = ""
    """Everything up to this key is done, in this place."""
    counted: str = ""
    """The step whose finds are counted already: one that was not ended is taken again, and not counted twice."""
    found: Found = Found()
    found_in_round: int = 0
    missed_in_round: int = 0
    """What could not be erased yet."""
    evidence_to_look_at: tuple[str, ...] = ()
    """Claims that are still alive and have named the person: their files can't be searched."""
    evidence_not_listed: int = 0
    run: str = ""
    """The run of the timer that wrote this, to know our own write by."""
    started: bool = False
    finished_at: Instant | None = None

    @property
    def status(self) -> ErasureStatus:
        """How far it has come."""
        if self.finished_at is not None:
            return ErasureStatus.SUCCEEDED
        return ErasureStatus.RUNNING if self.started else ErasureStatus.NOT_STARTED
