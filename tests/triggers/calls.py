"""Calls any operation of the table as somebody who may."""

from collections.abc import AsyncIterable, Mapping

import httpx
import pytest

from cpor_app.http.route_table import Operation, operations
from cpor_core.model.caller import Role
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import CUSTOMER, PARTNER, PARTNER_ID, Service

shares_its_service = pytest.mark.asyncio(loop_scope="module")
"""For a test that asks for `shared`: it runs in the loop in which that service was started."""
TENANTS = {
    Role.INCENTIVES_ADMIN: PARTNER,
    Role.INCENTIVES_USER: PARTNER,
    Role.PROGRAM_READER: PROGRAMME_TENANT,
    Role.PROGRAM_REVIEWER: PROGRAMME_TENANT,
    Role.PROGRAM_OPERATOR: PROGRAMME_TENANT,
    Role.MAIL_EVENTS: PROGRAMME_TENANT,
    Role.CUSTOMER_ADMIN: CUSTOMER,
}
"""Where a role counts."""
QUERIES = {"load_usage": f"?format=graph-subscribed-skus&tenantId={CUSTOMER}"}
"""What a query must hold."""


def line_of(name: str) -> Operation:
    """Return one operation."""
    return next(line for line in operations() if line.name == name)


def address(line: Operation, claim_id: str, **parts: str) -> str:
    """Return an address of the operation, about that claim."""
    known = {
        "claimId": claim_id,
        "associationId": claim_id,
        "requestId": claim_id,
        "partnerId": PARTNER_ID,
        "tenantId": CUSTOMER,
        "fileName": "sow.pdf",
        "docsFile": "swagger-ui.css",
        "name": "main",
        "batchId": "0" * 32,
        "exportId": "0" * 32,
        "erasureId": "0" * 32,
        "engagementId": "bizapps-revenue",
        "calendar": "FR",
        "date": "2026-11-30",
        **parts,
    }
    path = "/" + line.route
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"{line.name}: say what {path} stands for"
    return path + QUERIES.get(line.name, "")


def may_call(line: Operation) -> Role | None:
    """Return a role that opens the operation. None: it needs no token."""
    return None if line.roles is None else min(line.roles or Role)


def content_type(line: Operation) -> Mapping[str, str]:
    """Return the header that says what the body is, where there is one."""
    return {"Content-Type": line.body_types[0]} if line.body_types else {}


async def ask(
    service: Service,
    line: Operation,
    claim_id: str,
    body: bytes | AsyncIterable[bytes] = b"",
    *,
    role: Role | None = None,
    tenant: str | None = None,
    **headers: str,
) -> httpx.Response:
    """Send a body to an operation as somebody who may, or as *role* of *tenant*."""
    may = may_call(line)
    return await service.request(
        line.method,
        address(line, claim_id),
        role=role or may,
        tenant=tenant or TENANTS[role or may or Role.INCENTIVES_ADMIN],
        content=body,
        headers={**content_type(line), "If-Match": "*", **headers},
    )


async def make_named(service: Service) -> None:
    """Make the webhook and the closed day that `address` names."""
    webhook = await service.request("PUT", "/webhooks/main", json={"url": "http://127.0.0.1:9/"})
    closed_day = await service.programme("PUT", "/closed-days/FR/2026-11-30", json={"name": "Closed"})
    assert webhook.status_code in (200, 201), webhook.text
    assert closed_day.status_code in (200, 201), closed_day.text
