"""A request to erase a person from everything that is stored, and its progress."""

from enum import StrEnum

from cpor_core.model.base import Email, Instant, Value


class ErasureStatus(StrEnum):
    """The progress of an erasure."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"


class Place(StrEnum):
    """The kinds of rows that can name a person, in the order of the search. Batches come first: they make claims."""

    BATCHES = "batches"
    CUSTOMERS = "customers"
    CLAIMS = "claims"
    REQUESTS = "requests"


class Found(Value):
    """How many claims, batches, customers and stored replies named the person, in all rounds."""

    claims: int = 0
    batches: int = 0
    customers: int = 0
    answers: int = 0


class Erasure(Value):
    """
    A request to erase a person.

    The work goes place by place, and in each place in the order of the keys. So it can stop after each key and go on
    later. The address is stored until the work is done.
    """

    id: str
    requested_at: Instant
    email: Email | None = None
    round: int = 1
    place: Place = Place.BATCHES
    after: str = ""
    """The last key in `place` that was searched."""
    counted: str = ""
    """The last step with counted finds. A step that did not end is repeated, but its finds are counted once."""
    found: Found = Found.model_construct()
    found_in_round: int = 0
    missed_in_round: int = 0
    """How many of the finds in this round could not be erased yet."""
    evidence_to_look_at: tuple[str, ...] = ()
    """Open claims that named the person. A person must look at their files, because the service cannot search files."""
    evidence_not_listed: int = 0
    run: str = ""
    """The run of the timer that wrote this row. By it the run recognises its own write."""
    started: bool = False
    finished_at: Instant | None = None

    @property
    def status(self) -> ErasureStatus:
        """The progress."""
        if self.finished_at is not None:
            return ErasureStatus.SUCCEEDED
        return ErasureStatus.RUNNING if self.started else ErasureStatus.NOT_STARTED
