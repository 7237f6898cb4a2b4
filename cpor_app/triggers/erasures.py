"""The operator erases a person: taken in at once, done by the timer."""

import azure.functions as func

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import OPERATOR, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Email, Instant, Value
from cpor_core.model.erasure import Erasure, ErasureStatus, Found
from cpor_core.rules.identifiers import is_erasure_id
from cpor_core.use_cases.privacy import erase_person as erasing

blueprint = func.Blueprint()


class ErasureRequest(Value):
    """Who is to be erased."""

    email: Email


class ErasureView(Value):
    """An erasure as it stands now; it never says of whom."""

    id: str
    status: ErasureStatus
    requested_at: Instant
    finished_at: Instant | None
    found: Found
    evidence_to_look_at: tuple[str, ...]
    evidence_not_listed: int


@operation(
    blueprint,
    name="erase_person",
    method="POST",
    route="operations/erasures",
    summary="Erase a person, by their mail address, from everything that is stored",
    tag="Operations",
    roles=OPERATOR,
    body=ErasureRequest,
    answers={202: ErasureView},
)
async def erase_person(call: Call) -> Answer:
    """
    The answer comes before the work: `Operation-Location` shows it.

    A claim that awaits this person's answer and has nobody else who was told goes back to its partner
    (`customerUnreachable`). The same address again finds nothing more.
    """
    erasure = await erasing.begin_erasure(call.ports, call.body(ErasureRequest).email, await call.now())
    headers = {"Operation-Location": call.url(f"operations/erasures/{erasure.id}")}
    return Answer(202, _view(erasure), headers=headers)


@operation(
    blueprint,
    name="get_erasure",
    method="GET",
    route="operations/erasures/{erasureId}",
    summary="How far an erasure has come",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ErasureView},
    refusals=("NotFound",),
)
async def get_erasure(call: Call) -> Answer:
    """
    `evidenceToLookAt` names claims that are still alive and have named the person: nobody can search their files.

    `evidenceNotListed` counts those for which the list has no room.
    """
    name = call.path("erasureId").lower()
    kept = await call.ports.erasures.find(name) if is_erasure_id(name) else None
    if kept is None:
        raise not_found("erasure")
    return Answer(200, _view(kept.value))


def _view(erasure: Erasure) -> ErasureView:
    return ErasureView(
        id=erasure.id,
        status=erasure.status,
        requested_at=erasure.requested_at,
        finished_at=erasure.finished_at,
        found=erasure.found,
        evidence_to_look_at=erasure.evidence_to_look_at,
        evidence_not_listed=erasure.evidence_not_listed,
    )
