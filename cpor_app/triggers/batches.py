"""Many claims sent at once, and how far they have come."""

from typing import Any

import azure.functions as func
from pydantic import BaseModel, Field

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Value
from cpor_core.model.batch import BatchStatus, Outcome, Progress, RowOutcome
from cpor_core.model.claim import LEFT_OUT, NewClaim
from cpor_core.use_cases.claims import batches

blueprint = func.Blueprint()
JSON_LINES = "application/x-ndjson"
BATCH_BYTES = 16 * 2**20


class RowFilter(BaseModel):
    """Which rows are listed."""

    outcome: Outcome | None = None


class BatchView(Value):
    """A batch as it stands now."""

    id: str
    status: BatchStatus
    total: int = Field(description="Rows; blank lines are none.")
    done: int = Field(description="Rows that were dealt with, the failed ones among them.")
    failed: int = Field(description="Rows that were refused. The others of `done` are drafts.")
    rows: tuple[RowOutcome, ...] = Field(
        description="A page of the rows that were dealt with. `row` counts lines from 1, blank ones too."
    )
    next_link: str | None = LEFT_OUT


@operation(
    blueprint,
    method="POST",
    route="claim-batches",
    summary="Make drafts of up to 10,000 claims, one JSON line each",
    tag="Bulk",
    roles=PARTNER,
    body=NewClaim,
    body_types=(JSON_LINES,),
    max_bytes=BATCH_BYTES,
    answers={202: BatchView},
)
async def create_claim_batch(call: Call) -> Answer:
    """
    Each row is judged like the body of `POST /claims`; a bad one is reported, the others become drafts.

    The answer comes before the work: `Operation-Location` shows it. The same batch again changes nothing, with or
    without a key: a batch is known by its key if it has one, else by what was sent. It is kept for 30 days.
    """
    body, now = call.bytes(), await call.now()
    progress = await batches.take_in(call.ports, call.organisation, call.actor(), body, call.idempotency_key(), now)
    headers = {"Operation-Location": call.url(f"claim-batches/{progress.batch.id}")}
    return Answer(202, _view(progress, rows=()), headers=headers)


@operation(
    blueprint,
    method="GET",
    route="claim-batches/{batchId}",
    summary="How far a batch has come, and what became of its rows",
    tag="Bulk",
    roles=PARTNER,
    query=RowFilter,
    answers={200: BatchView},
    paged=True,
    refusals=("NotFound",),
)
async def get_claim_batch(call: Call) -> Answer:
    """
    A batch with bad rows still `Succeeded`; `Failed` is one that we cannot go on with: send it again under another key.

    Rows are listed in their order, as far as they were dealt with: read them once `status` says that it has ended.
    """
    progress = await batches.own(call.ports, call.organisation, call.path("batchId").lower())
    if progress is None:
        raise not_found("batch")
    wanted = call.query(RowFilter)
    kept = wanted.model_dump(mode="json")
    after, limit = call.page(kept)
    outcomes, position = await batches.rows(
        call.ports, progress, after=int(after or 0), limit=limit, outcome=wanted.outcome
    )
    more = {"next_link": call.next_link(str(position), kept)} if position is not None else {}
    return Answer(200, _view(progress, rows=tuple(outcomes), **more))


def _view(progress: Progress, **more: Any) -> BatchView:
    return BatchView(
        id=progress.batch.id,
        status=progress.status,
        total=progress.batch.total,
        done=progress.done,
        failed=progress.failed,
        **more,
    )
