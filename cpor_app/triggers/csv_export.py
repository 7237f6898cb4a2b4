"""The partner's claims as a file for a spreadsheet."""

from datetime import datetime

from pydantic import Field

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.claims import ClaimFilters
from cpor_core.model.base import Value
from cpor_core.model.batch import BatchStatus
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.export import ExportProgress
from cpor_core.use_cases.claims import csv_export

CSV = csv_export.CSV


class ExportError(Value):
    """Why an export failed."""

    code: str
    message: str
    resolution: str | None = LEFT_OUT


class ExportView(Value):
    """A large export and its progress."""

    status: BatchStatus
    done: int = Field(description="The number of claims that the export has looked at.")
    total: int = Field(description="The number of claims that the export looks at.")
    link: str | None = LEFT_OUT
    error: ExportError | None = LEFT_OUT


@operation(  # the host tries functions by name: export_claims comes before get_claim, whose {claimId} fits "export"
    summary="Your organisation's claims as CSV",
    tag="Claims",
    roles=PARTNER,
    query=ClaimFilters,
    answers={200: {CSV: bytes}, 202: ExportView},
    refusals=("ExportTooLarge",),
)
async def export_claims(call: Call) -> Answer:
    """
    The file is UTF-8 with a byte order mark. It has at most 50,000 claims, the newest first. The filters are the same
    as for the list of claims.

    If the export would look at more than 10,000 claims, the answer is 202 and comes before the work.
    `Operation-Location` shows the progress, and then a link to the file. A second request with the same filters gets
    the same answer while the first export is unfinished.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    wanted, now = call.query(ClaimFilters).wanted(), await call.now()
    made = await csv_export.export(call.ports, call.organisation, wanted, now)
    if isinstance(made, bytes):
        return _file(made, now)
    return Answer(202, _view(call, made), headers={"Operation-Location": call.url(_path(made))})


@operation(
    summary="The progress of a large export",
    tag="Claims",
    roles=PARTNER,
    answers={200: ExportView},
    refusals=("NotFound",),
)
async def get_claim_export(call: Call) -> Answer:
    """
    A finished export has a link to the file. The link works for 24 hours.

    `Failed` means that more than 50,000 claims fit the filters.
    """
    return Answer(200, _view(call, await _own(call)))


@operation(
    summary="The file of a large export",
    tag="Claims",
    roles=PARTNER,
    answers={200: {CSV: bytes}},
    refusals=("NotFound",),
)
async def get_claim_export_file(call: Call) -> Answer:
    """The file is the same as that of `GET /claims/export`. It is found only when the export is finished."""
    progress = await _own(call)
    made = await csv_export.file_of(call.ports, progress) if progress.status is BatchStatus.SUCCEEDED else None
    if made is None:
        raise not_found("file")
    return _file(made, progress.export.at)


async def _own(call: Call) -> ExportProgress:
    progress = await csv_export.own(call.ports, call.organisation, call.path("exportId").lower())
    if progress is None:
        raise not_found("export")
    return progress


def _file(made: bytes, at: datetime) -> Answer:
    return Answer(200, made, CSV, {"Content-Disposition": f'attachment; filename="claims-{at:%Y-%m-%d}.csv"'})


def _view(call: Call, progress: ExportProgress) -> ExportView:
    refused = csv_export.too_large()
    error = ExportError(code=refused.code, message=refused.message, resolution=refused.resolution)
    return ExportView(
        status=progress.status,
        done=progress.done,
        total=progress.export.total,
        link=call.url(f"{_path(progress)}/file") if progress.status is BatchStatus.SUCCEEDED else None,
        error=error if progress.too_large else None,
    )


def _path(progress: ExportProgress) -> str:
    return f"claims/exports/{progress.export.id}"
