"""The partner's claims as a file for a spreadsheet."""

from cpor_app.http.request import Call
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.claims import ClaimFilters
from cpor_core.use_cases.claims.csv_export import export

CSV = "text/csv"


@operation(  # the host tries functions by name: export_claims comes before get_claim, whose {claimId} fits "export"
    summary="Your organisation's claims as CSV",
    tag="Claims",
    roles=PARTNER,
    query=ClaimFilters,
    answers={200: {CSV: bytes}},
    refusals=("ExportTooLarge",),
)
async def export_claims(call: Call) -> Answer:
    """
    The file is UTF-8 with a byte order mark. It has at most 50,000 claims, the newest first. The filters are the same
    as for the list of claims.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    filters, now = call.query(ClaimFilters), await call.now()
    narrowed = any((filters.status, filters.engagement, filters.partner_id))
    table = await export(
        call.ports,
        call.organisation,
        now,
        wanted=filters.fit if narrowed else None,
        tenant_id=filters.customer_tenant_id,
    )
    disposition = f'attachment; filename="claims-{now:%Y-%m-%d}.csv"'
    return Answer(200, table, CSV, {"Content-Disposition": disposition})
