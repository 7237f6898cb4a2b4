"""The calls without a token: health, the catalogue and the description of the API."""

import asyncio
from pathlib import Path

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import Answer
from cpor_app.http.server import operation
from cpor_core.errors import Fault
from cpor_core.model.base import Value
from cpor_core.model.catalogue import ListedEngagement

PATIENCE_SECONDS = 2
"""The seconds for which `get_health` waits for each part. It must answer before the prober stops waiting."""
DESCRIPTION = Path(__file__).resolve().parents[1] / "openapi.json"


class Health(Value):
    """Whether storage and queues can be reached. `checks` has the result for each."""

    status: str
    checks: dict[str, str]


class ListedEngagements(Value):
    """All engagements of the catalogue."""

    value: tuple[ListedEngagement, ...]


@operation(
    summary="Whether storage and queues can be reached",
    tag="Anyone",
    answers={200: Health, 503: Health},
)
async def get_health(call: Call) -> Answer:
    """Tables and queues each get a small request. A part that does not answer within two seconds is unreachable."""

    async def check(name: str) -> tuple[str, str]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if name == "tables":
                    await call.services.rows.get("settings", "clock", "offset")
                else:
                    await call.services.queues.ping()
        except (Fault, TimeoutError):
            return name, "unreachable"
        return name, "healthy"

    checks = dict(await asyncio.gather(check("tables"), check("queues")))
    healthy = all(state == "healthy" for state in checks.values())
    return Answer(200 if healthy else 503, Health(status="healthy" if healthy else "unhealthy", checks=checks))


@operation(
    summary="This description of the API, as OpenAPI 3.1",
    tag="Anyone",
    answers={200: dict},
)
async def get_openapi(call: Call) -> Answer:
    """The description is made from the same table as the operations."""
    del call
    return Answer(200, await asyncio.to_thread(DESCRIPTION.read_bytes))


@operation(
    summary="Every engagement with the items that can be claimed",
    tag="Anyone",
    answers={200: ListedEngagements},
)
async def list_engagements(call: Call) -> Answer:
    """The engagements of older programmes name their successors."""
    return Answer(200, ListedEngagements(value=tuple(e.as_listed() for e in call.ports.catalogue.engagements)))


@operation(
    summary="One engagement",
    tag="Anyone",
    answers={200: ListedEngagement},
    refusals=("NotFound",),
)
async def get_engagement(call: Call) -> Answer:
    """The answer has the entry of the catalogue."""
    engagement = call.ports.catalogue.find(call.path("engagementId"))
    if engagement is None:
        raise not_found("engagement")
    return Answer(200, engagement.as_listed())
