"""The operator's import of associations that were made in the past."""

import azure.functions as func

from cpor_app.triggers.call import Call
from cpor_app.triggers.http import operation
from cpor_app.triggers.operations import OPERATOR, Answer
from cpor_core.use_cases.importing import PastAssociation, import_lines
from cpor_core.use_cases.usage import Loaded

blueprint = func.Blueprint()
IMPORT_BYTES = 32 * 2**20
JSON_LINES = "application/x-ndjson"


@operation(
    blueprint,
    name="import_associations",
    method="POST",
    route="associations/import",
    summary="Enter associations that were made in the past, one JSON line each",
    tag="Associations",
    roles=OPERATOR,
    body=PastAssociation,
    body_types=(JSON_LINES,),
    max_bytes=IMPORT_BYTES,
    answers={200: Loaded},
)
async def import_associations(call: Call) -> Answer:
    """
    Each is official at once and holds its item, an older programme's its successor's; a held one is a bad row.

    The same lines twice change nothing. The customer's registered notice addresses are told, with a link to end it.
    """
    lines = call.bytes().split(b"\n")
    return Answer(200, await import_lines(call.ports, lines, call.who, await call.now()))
