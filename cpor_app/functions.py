"""
The table of functions: the name of each function, what starts it, and the module that has its handler.

The host must know every function before the first call, but a call needs one module of `cpor_app.triggers`. So
`function_app` gives the host this table. The first call of a function loads its module (docs/decisions.md#dp2).
"""

import gc
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, DUE_PAGES, MAIL_EVENTS, PARTNER_NOTICES

HTTP: Mapping[str, Mapping[str, str]] = {
    "public": {
        "get_health": "GET health",
        "get_openapi": "GET openapi.json",
        "list_engagements": "GET engagements",
        "get_engagement": "GET engagements/{engagementId}",
    },
    "docs": {
        "get_docs": "GET docs",
        "get_docs_file": "GET docs/{docsFile}",
    },
    "claims": {
        "create_claim": "POST claims",
        "list_claims": "GET claims",
        "count_claims": "GET claims/summary",  # by its name it comes before get_claim, and {claimId} fits "summary"
        "get_claim": "GET claims/{claimId}",
        "patch_claim": "PATCH claims/{claimId}",
        "delete_claim": "DELETE claims/{claimId}",
        "submit_claim": "POST claims/{claimId}/submit",
        "resubmit_claim": "POST claims/{claimId}/resubmit",
        "dispute_claim": "POST claims/{claimId}/dispute",
        "withdraw_claim": "POST claims/{claimId}/withdraw",
        "list_history": "GET claims/{claimId}/history",
        "list_comments": "GET claims/{claimId}/comments",
        "add_comment": "POST claims/{claimId}/comments",
    },
    "batches": {
        "create_claim_batch": "POST claim-batches",
        "list_claim_batches": "GET claim-batches",
        "get_claim_batch": "GET claim-batches/{batchId}",
    },
    "csv_export": {
        "export_claims": "GET claims/export",  # by its name it comes before get_claim, and {claimId} fits "export"
        "get_claim_export": "GET claims/exports/{exportId}",
        "get_claim_export_file": "GET claims/exports/{exportId}/file",
    },
    "evidence": {
        "put_evidence": "PUT claims/{claimId}/evidence/{fileName}",
        "get_evidence": "GET claims/{claimId}/evidence/{fileName}",
        "delete_evidence": "DELETE claims/{claimId}/evidence/{fileName}",
    },
    "reviews": {
        "list_reviews": "GET reviews",
        "get_review": "GET reviews/{claimId}",
        "start_review": "POST reviews/{claimId}/start",
        "release_review": "POST reviews/{claimId}/release",
        "approve_claim": "POST reviews/{claimId}/approve",
        "request_information": "POST reviews/{claimId}/request-information",
        "strike_items": "POST reviews/{claimId}/strike-items",
        "reject_claim": "POST reviews/{claimId}/reject",
        "revoke_claim": "POST reviews/{claimId}/revoke",
        "review_history": "GET reviews/{claimId}/history",
        "review_comments": "GET reviews/{claimId}/comments",
        "add_review_comment": "POST reviews/{claimId}/comments",
        "review_evidence": "GET reviews/{claimId}/evidence/{fileName}",
    },
    "associations": {
        "list_associations": "GET associations",
        "get_association": "GET associations/{associationId}",
        "end_association": "POST associations/{associationId}/end",
    },
    "usage": {
        "load_usage": "POST usage/reports",
        "get_usage": "GET associations/{associationId}/usage",
        "get_advice": "GET associations/{associationId}/advice",
    },
    "feed": {
        "list_changes": "GET changes",
    },
    "webhooks": {
        "list_webhooks": "GET webhooks",
        "get_webhook": "GET webhooks/{name}",
        "put_webhook": "PUT webhooks/{name}",
        "delete_webhook": "DELETE webhooks/{name}",
        "test_webhook": "POST webhooks/{name}/test",
        "rotate_webhook_secret": "POST webhooks/{name}/rotate-secret",
        "replay_changes": "POST webhooks/{name}/replay",
        "list_deliveries": "GET webhooks/{name}/deliveries",
    },
    "import_official": {
        "import_associations": "POST associations/import",
        "list_untold_associations": "GET operations/untold-associations",
    },
    "insight": {
        "get_insight": "GET insight",
        "get_insight_page": "GET insight/page",
        "recount_insight_now": "POST insight/recount",
    },
    "register": {
        "list_register": "GET register",
        "list_register_changes": "GET register/changes",
    },
    "me": {
        "get_me": "GET me",
    },
    "registry": {
        "list_partners": "GET partners",
        "get_partner": "GET partners/{partnerId}",
        "put_partner": "PUT partners/{partnerId}",
        "list_customers": "GET customers",
        "get_customer": "GET customers/{tenantId}",
        "put_customer": "PUT customers/{tenantId}",
        "list_closed_days": "GET closed-days",
        "get_closed_day": "GET closed-days/{calendar}/{date}",
        "put_closed_day": "PUT closed-days/{calendar}/{date}",
        "remove_closed_day": "DELETE closed-days/{calendar}/{date}",
    },
    "operators": {
        "list_failed_messages": "GET operations/failed-messages",
        "redrive_failed_messages": "POST operations/failed-messages/redrive",
        "list_dry_runs": "GET operations/dry-runs",
        "erase_person": "POST operations/erasures",
        "list_erasures": "GET operations/erasures",
        "get_erasure": "GET operations/erasures/{erasureId}",
        "get_clock": "GET sandbox/clock",
        "move_clock": "POST sandbox/clock",
    },
    "customer_page": {
        "show_request": "GET HEAD customer/requests/{requestId}",
        "decline_request": "POST customer/requests/{requestId}/decline",
        "undo_decline": "POST customer/requests/{requestId}/undo",
        "end_by_customer": "POST customer/requests/{requestId}/end",
        "not_me": "POST customer/requests/{requestId}/not-me",
    },
    "customers": {
        "list_requests": "GET customers/{tenantId}/requests",
        "decline_as_customer": "POST customers/{tenantId}/requests/{claimId}/decline",
        "undo_as_customer": "POST customers/{tenantId}/requests/{claimId}/undo",
        "list_tenant_associations": "GET customers/{tenantId}/associations",
        "end_as_customer": "POST customers/{tenantId}/associations/{associationId}/end",
        "list_access_receipts": "GET customers/{tenantId}/access-receipts",
    },
    "mails": {
        "list_mails": "GET claims/{claimId}/mails",
        "review_mails": "GET reviews/{claimId}/mails",
    },
    "mail_events": {
        "take_mail_events": "POST mail-events",
    },
    "not_found": {
        "zz_not_found": "{*path}",
    },
}
"""For each module: the methods and the route of each function. Without a method, a function takes every method."""
QUEUES: Mapping[str, Mapping[str, str]] = {
    "mail_events": {
        "record_mail_event": MAIL_EVENTS,
    },
    "background": {
        "notify_customer": CUSTOMER_NOTICES,
        "notify_partner": PARTNER_NOTICES,
        "process_claim_batch": CLAIM_BATCHES,
        "process_due_page": DUE_PAGES,
        "record_failed_customer_notice": f"{CUSTOMER_NOTICES}-poison",
        "record_failed_partner_notice": f"{PARTNER_NOTICES}-poison",
        "record_failed_claim_batch": f"{CLAIM_BATCHES}-poison",
        "record_failed_due_page": f"{DUE_PAGES}-poison",
        "record_failed_mail_event": f"{MAIL_EVENTS}-poison",
    },
}
"""For each module: the queue of each function."""
TIMERS: Mapping[str, Mapping[str, str]] = {
    "background": {
        "finalise_uncontested": "%FINALISE_SCHEDULE%",
        "recount_insight": "0 */5 * * * *",
    },
}
"""For each module: the schedule of each function. A name between percent signs is the name of a setting."""


class Route(NamedTuple):
    """The address of an HTTP function below `/api`, and its methods. No methods mean every method."""

    methods: tuple[str, ...]
    path: str


def _route(text: str) -> Route:
    *methods, path = text.split()
    return Route(tuple(methods), path)


ROUTES: Mapping[str, Route] = {name: _route(text) for functions in HTTP.values() for name, text in functions.items()}
"""The route of each HTTP function."""
MODULES: Mapping[str, str] = {
    name: module for table in (HTTP, QUEUES, TIMERS) for module, functions in table.items() for name in functions
}
"""The module of each function."""


@cache
def handler(name: str) -> Callable[..., Awaitable[Any]]:
    """Return the handler of a function. The first call loads its module."""
    gc.disable()  # what an import makes stays, so a search for garbage would find nothing
    try:
        module = import_module(f"cpor_app.triggers.{MODULES[name]}")
    finally:
        if not gc.get_freeze_count():
            gc.freeze()  # later searches skip what exists before the first call. No call has made garbage yet
        gc.enable()
    found: Callable[..., Awaitable[Any]] = getattr(module, name)
    return found
