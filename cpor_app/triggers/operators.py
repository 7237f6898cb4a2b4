"""The operator's calls: failed messages, dry runs, the erasure of a person, and the sandbox's clock."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import OPERATOR, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Refused
from cpor_core.model.base import Email, Guid, Instant, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.erasure import Erasure, ErasureStatus, Found
from cpor_core.rules.identifiers import is_erasure_id
from cpor_core.use_cases.privacy.erase_person import begin_erasure


class FailedMessage(Value):
    """A message that could not be processed. Its body has ids only."""

    id: str
    queue: str
    body: str
    at: Instant


class ListedFailures(Value):
    """A page of failed messages, newest first."""

    value: tuple[FailedMessage, ...]
    next_link: str | None = LEFT_OUT


class Redriven(Value):
    """The number of messages that were put back."""

    redriven: int


@operation(
    summary="Messages that could not be processed",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ListedFailures},
    paged=True,
)
async def list_failed_messages(call: Call) -> Answer:
    """These messages hold ids, never personal data."""
    after, limit = call.page()
    failures = await call.ports.failures.page(after=after, limit=limit)
    views = [FailedMessage(id=f.id, queue=f.queue, body=f.body, at=f.at) for f in failures]
    return call.listed(views, call.ports.failures.position(failures[-1]) if len(failures) == limit else None)


@operation(
    summary="Put failed messages back into their queues",
    tag="Operations",
    roles=OPERATOR,
    answers={200: Redriven},
)
async def redrive_failed_messages(call: Call) -> Answer:
    """One call puts back at most 1,000 messages. Each is processed as a new message."""
    call.verify_no_fields()
    failures = await call.ports.failures.page(after="", limit=1000)
    for failure in failures:
        await call.ports.failures.redrive(failure)
    return Answer(200, Redriven(redriven=len(failures)))


class DryRunsView(Value):
    """The number of dry runs of an organisation in this hour."""

    organisation: Guid
    hour: Instant
    count: int


class ListedDryRuns(Value):
    """Organisations with their dry runs, the largest number first."""

    value: tuple[DryRunsView, ...]


@operation(
    summary="Dry runs of this hour, by organisation",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ListedDryRuns},
)
async def list_dry_runs(call: Call) -> Answer:
    """An organisation that uses all its dry runs of an hour is perhaps trying to find out who is a customer."""
    counts = sorted(await call.ports.dry_runs.of_hour(await call.now()), key=lambda one: -one.count)
    views = tuple(DryRunsView(organisation=one.organisation, hour=one.hour, count=one.count) for one in counts)
    return Answer(200, ListedDryRuns(value=views))


class ErasureRequest(Value):
    """The person to be erased."""

    email: Email


class ErasureView(Value):
    """An erasure and its progress. The answer never names the person."""

    id: str
    status: ErasureStatus
    requested_at: Instant
    finished_at: Instant | None
    found: Found
    evidence_to_look_at: tuple[str, ...]
    evidence_not_listed: int


class ListedErasures(Value):
    """A page of the erasures, newest first."""

    value: tuple[ErasureView, ...]
    next_link: str | None = LEFT_OUT


@operation(
    summary="Erase a person, by their mail address, from everything that is stored",
    tag="Operations",
    roles=OPERATOR,
    body=ErasureRequest,
    answers={202: ErasureView},
)
async def erase_person(call: Call) -> Answer:
    """
    The answer comes before the work. `Operation-Location` shows the progress.

    If a claim awaits this person's answer and nobody else was notified, the claim goes back to its partner
    (`customerUnreachable`). A second erasure of the same address finds nothing more.
    """
    erasure = await begin_erasure(call.ports, call.body(ErasureRequest).email, await call.now())
    headers = {"Operation-Location": call.url(f"operations/erasures/{erasure.id}")}
    return Answer(202, _erasure_view(erasure), headers=headers)


@operation(
    summary="The erasures, newest first",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ListedErasures},
    paged=True,
)
async def list_erasures(call: Call) -> Answer:
    """Each erasure is shown as `GET /operations/erasures/{erasureId}` shows it. No address is shown."""
    after, limit = call.page()
    erasures = await call.ports.erasures.page(after=after, limit=limit)
    views = [_erasure_view(erasure) for erasure in erasures]
    return call.listed(views, erasures[-1].id if len(erasures) == limit else None)


@operation(
    summary="The progress of an erasure",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ErasureView},
    refusals=("NotFound",),
)
async def get_erasure(call: Call) -> Answer:
    """
    `evidenceToLookAt` lists open and official claims that named the person. Look at their files: the service cannot
    search them. `evidenceNotListed` counts the claims for which the list has no room.
    """
    name = call.path("erasureId").lower()
    stored = await call.ports.erasures.find(name) if is_erasure_id(name) else None
    if stored is None:
        raise not_found("erasure")
    return Answer(200, _erasure_view(stored.value))


def _erasure_view(erasure: Erasure) -> ErasureView:
    return ErasureView(
        id=erasure.id,
        status=erasure.status,
        requested_at=erasure.requested_at,
        finished_at=erasure.finished_at,
        found=erasure.found,
        evidence_to_look_at=erasure.evidence_to_look_at,
        evidence_not_listed=erasure.evidence_not_listed,
    )


class ClockView(Value):
    """The service's time."""

    now: Instant


def _in_iso_8601(sent: object) -> object:
    if not isinstance(sent, str) or re.match(r"-?P", sent) is None:
        raise ValueError("must be an ISO 8601 duration, such as P1D")
    return sent


Duration = Annotated[timedelta, BeforeValidator(_in_iso_8601)]


class ClockChange(Value):
    """The time by which the clock is moved forward, or the instant to which it is moved."""

    advance: Duration | None = Field(default=None, description="An ISO 8601 duration such as P1D.")
    now: Instant | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ClockChange":
        if (self.advance is None) is (self.now is None):
            msg = "must have either `advance` or `now`"
            raise ValueError(msg)
        return self


@operation(
    summary="The sandbox's time",
    tag="Sandbox",
    roles=OPERATOR,
    answers={200: ClockView},
    refusals=("NotFound",),
)
async def get_clock(call: Call) -> Answer:
    """Outside the sandbox this address does not exist."""
    _verify_sandbox(call)
    return Answer(200, ClockView(now=await call.now()))


@operation(
    summary="Move the sandbox's time forward",
    tag="Sandbox",
    roles=OPERATOR,
    body=ClockChange,
    answers={200: ClockView},
    refusals=("NotFound", "ClockBackwards"),
)
async def move_clock(call: Call) -> Answer:
    """The clock cannot be moved back. It runs on from the new time."""
    _verify_sandbox(call)
    change = call.body(ClockChange)
    now: datetime
    if change.advance is not None:
        now = await call.services.move_clock(by=change.advance)
    else:
        now = await call.services.move_clock(to=change.now)
    return Answer(200, ClockView(now=now))


def _verify_sandbox(call: Call) -> None:
    if not call.services.settings.sandbox:
        raise Refused("NotFound", "There is no such address.", resolution="GET /openapi.json describes what there is.")
