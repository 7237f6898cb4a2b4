"""Batches: many claims in one request, and the progress of each batch."""

from typing import Any

from pydantic import Field

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Instant, LateModel, Value
from cpor_core.model.batch import BatchStatus, Progress, RowOutcome, RowStatus
from cpor_core.model.claim import LEFT_OUT, NewClaim
from cpor_core.use_cases.claims import batches

JSON_LINES = "application/x-ndjson"
BATCH_BYTES = 16 * 2**20


class RowFilter(LateModel):
    """The filter of a batch's rows."""

    outcome: RowStatus | None = None


class BatchProgress(Value):
    """The progress of a batch."""

    id: str
    status: BatchStatus
    total: int = Field(description="The number of rows. Blank lines do not count.")
    done: int = Field(description="The number of processed rows, including the failed rows.")
    failed: int = Field(description="The number of refused rows. All other processed rows became drafts.")


class BatchInList(BatchProgress):
    """A batch in the list: its progress, and when it was accepted."""

    created_at: Instant


class ListedBatches(Value):
    """A page of an organisation's batches, newest first."""

    value: tuple[BatchInList, ...]
    next_link: str | None = LEFT_OUT


class BatchView(BatchProgress):
    """A batch and its progress."""

    rows: tuple[RowOutcome, ...] = Field(
        description="A page of the processed rows. `row` is the number of the line, from 1. Blank lines count here."
    )
    next_link: str | None = LEFT_OUT


@operation(
    summary="Make drafts of up to 10,000 claims, with one JSON line for each claim",
    tag="Bulk",
    roles=PARTNER,
    body=NewClaim,
    body_types=(JSON_LINES,),
    max_bytes=BATCH_BYTES,
    answers={202: BatchView},
)
async def create_claim_batch(call: Call) -> Answer:
    """
    Each row is validated like the body of `POST /claims`. A bad row is reported, and the other rows become drafts.

    The answer comes before the work. `Operation-Location` shows the progress. The same batch sent again changes
    nothing. The service recognises a batch by its idempotency key; without a key, by its content. A batch is kept for
    30 days.
    """
    body, now = call.bytes(), await call.now()
    progress = await batches.take_in(call.ports, call.organisation, call.actor(), body, call.idempotency_key(), now)
    headers = {"Operation-Location": call.url(f"claim-batches/{progress.batch.id}")}
    return Answer(202, _view(progress, rows=()), headers=headers)


@operation(
    summary="Your organisation's batches, newest first",
    tag="Bulk",
    roles=PARTNER,
    answers={200: ListedBatches},
    paged=True,
)
async def list_claim_batches(call: Call) -> Answer:
    """A batch is listed for 30 days. `GET /claim-batches/{batchId}` has the outcome of each row."""
    after, limit = call.page()
    found, position = await batches.own_batches(call.ports, call.organisation, after=after, limit=limit)
    return call.listed([BatchInList(**_progress(one), created_at=one.batch.at) for one in found], position)


@operation(
    summary="The progress of a batch, and the outcome of each row",
    tag="Bulk",
    roles=PARTNER,
    query=RowFilter,
    answers={200: BatchView},
    paged=True,
    refusals=("NotFound",),
)
async def get_claim_batch(call: Call) -> Answer:
    """
    A batch with bad rows is `Succeeded` too. `Failed` means that the batch could not be finished: send the batch
    again with another key.

    The processed rows are listed in the order of the batch. Read them when `status` is `Succeeded` or `Failed`.
    """
    progress = await batches.own(call.ports, call.organisation, call.path("batchId").lower())
    if progress is None:
        raise not_found("batch")
    wanted = call.query(RowFilter)
    row_filter = wanted.model_dump(mode="json")
    after, limit = call.page(row_filter)
    outcomes, position = await batches.rows(
        call.ports, progress, after=int(after or 0), limit=limit, outcome=wanted.outcome
    )
    more = {"next_link": call.next_link(str(position), row_filter)} if position is not None else {}
    return Answer(200, _view(progress, rows=tuple(outcomes), **more))


def _view(progress: Progress, **more: Any) -> BatchView:
    return BatchView(**_progress(progress), **more)


def _progress(progress: Progress) -> dict[str, Any]:
    batch = progress.batch
    return {
        "id": batch.id,
        "status": progress.status,
        "total": batch.total,
        "done": progress.done,
        "failed": progress.failed,
    }
