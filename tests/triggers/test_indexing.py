"""What the host is told: names, routes, methods, queues and schedule; callers and Azure rest on them."""

import re
from typing import Any

import pytest

from cpor_app.functions import MODULES, ROUTES, handler
from cpor_app.http.route_table import operations
from devhost.host.functions import Function, HttpTrigger
from tests.support.service import functions

HTTP = {
    "add_comment": ("POST", "claims/{claimId}/comments"),
    "add_review_comment": ("POST", "reviews/{claimId}/comments"),
    "approve_claim": ("POST", "reviews/{claimId}/approve"),
    "count_claims": ("GET", "claims/summary"),
    "create_claim": ("POST", "claims"),
    "create_claim_batch": ("POST", "claim-batches"),
    "decline_as_customer": ("POST", "customers/{tenantId}/requests/{claimId}/decline"),
    "decline_request": ("POST", "customer/requests/{requestId}/decline"),
    "delete_claim": ("DELETE", "claims/{claimId}"),
    "delete_evidence": ("DELETE", "claims/{claimId}/evidence/{fileName}"),
    "delete_webhook": ("DELETE", "webhooks/{name}"),
    "dispute_claim": ("POST", "claims/{claimId}/dispute"),
    "end_as_customer": ("POST", "customers/{tenantId}/associations/{associationId}/end"),
    "end_association": ("POST", "associations/{associationId}/end"),
    "end_by_customer": ("POST", "customer/requests/{requestId}/end"),
    "export_claims": ("GET", "claims/export"),
    "get_advice": ("GET", "associations/{associationId}/advice"),
    "get_association": ("GET", "associations/{associationId}"),
    "get_claim": ("GET", "claims/{claimId}"),
    "list_mails": ("GET", "claims/{claimId}/mails"),
    "review_mails": ("GET", "reviews/{claimId}/mails"),
    "list_claim_batches": ("GET", "claim-batches"),
    "get_claim_batch": ("GET", "claim-batches/{batchId}"),
    "get_claim_export": ("GET", "claims/exports/{exportId}"),
    "get_claim_export_file": ("GET", "claims/exports/{exportId}/file"),
    "get_clock": ("GET", "sandbox/clock"),
    "get_closed_day": ("GET", "closed-days/{calendar}/{date}"),
    "list_closed_days": ("GET", "closed-days"),
    "remove_closed_day": ("DELETE", "closed-days/{calendar}/{date}"),
    "get_customer": ("GET", "customers/{tenantId}"),
    "get_docs": ("GET", "docs"),
    "get_docs_file": ("GET", "docs/{docsFile}"),
    "get_engagement": ("GET", "engagements/{engagementId}"),
    "get_evidence": ("GET", "claims/{claimId}/evidence/{fileName}"),
    "get_health": ("GET", "health"),
    "list_register": ("GET", "register"),
    "list_register_changes": ("GET", "register/changes"),
    "get_insight": ("GET", "insight"),
    "get_insight_page": ("GET", "insight/page"),
    "get_openapi": ("GET", "openapi.json"),
    "get_me": ("GET", "me"),
    "get_partner": ("GET", "partners/{partnerId}"),
    "erase_person": ("POST", "operations/erasures"),
    "list_erasures": ("GET", "operations/erasures"),
    "get_erasure": ("GET", "operations/erasures/{erasureId}"),
    "get_review": ("GET", "reviews/{claimId}"),
    "get_usage": ("GET", "associations/{associationId}/usage"),
    "get_webhook": ("GET", "webhooks/{name}"),
    "import_associations": ("POST", "associations/import"),
    "list_access_receipts": ("GET", "customers/{tenantId}/access-receipts"),
    "list_associations": ("GET", "associations"),
    "list_changes": ("GET", "changes"),
    "list_claims": ("GET", "claims"),
    "list_comments": ("GET", "claims/{claimId}/comments"),
    "list_customers": ("GET", "customers"),
    "list_deliveries": ("GET", "webhooks/{name}/deliveries"),
    "list_dry_runs": ("GET", "operations/dry-runs"),
    "list_engagements": ("GET", "engagements"),
    "list_failed_messages": ("GET", "operations/failed-messages"),
    "list_history": ("GET", "claims/{claimId}/history"),
    "list_partners": ("GET", "partners"),
    "list_requests": ("GET", "customers/{tenantId}/requests"),
    "list_reviews": ("GET", "reviews"),
    "list_tenant_associations": ("GET", "customers/{tenantId}/associations"),
    "list_untold_associations": ("GET", "operations/untold-associations"),
    "list_webhooks": ("GET", "webhooks"),
    "load_usage": ("POST", "usage/reports"),
    "move_clock": ("POST", "sandbox/clock"),
    "not_me": ("POST", "customer/requests/{requestId}/not-me"),
    "patch_claim": ("PATCH", "claims/{claimId}"),
    "put_closed_day": ("PUT", "closed-days/{calendar}/{date}"),
    "put_customer": ("PUT", "customers/{tenantId}"),
    "put_evidence": ("PUT", "claims/{claimId}/evidence/{fileName}"),
    "put_partner": ("PUT", "partners/{partnerId}"),
    "put_webhook": ("PUT", "webhooks/{name}"),
    "recount_insight_now": ("POST", "insight/recount"),
    "redrive_failed_messages": ("POST", "operations/failed-messages/redrive"),
    "reject_claim": ("POST", "reviews/{claimId}/reject"),
    "replay_changes": ("POST", "webhooks/{name}/replay"),
    "request_information": ("POST", "reviews/{claimId}/request-information"),
    "resubmit_claim": ("POST", "claims/{claimId}/resubmit"),
    "review_comments": ("GET", "reviews/{claimId}/comments"),
    "review_evidence": ("GET", "reviews/{claimId}/evidence/{fileName}"),
    "review_history": ("GET", "reviews/{claimId}/history"),
    "revoke_claim": ("POST", "reviews/{claimId}/revoke"),
    "rotate_webhook_secret": ("POST", "webhooks/{name}/rotate-secret"),
    "show_request": ("GET HEAD", "customer/requests/{requestId}"),
    "start_review": ("POST", "reviews/{claimId}/start"),
    "release_review": ("POST", "reviews/{claimId}/release"),
    "strike_items": ("POST", "reviews/{claimId}/strike-items"),
    "submit_claim": ("POST", "claims/{claimId}/submit"),
    "take_mail_events": ("POST", "mail-events"),
    "test_webhook": ("POST", "webhooks/{name}/test"),
    "undo_as_customer": ("POST", "customers/{tenantId}/requests/{claimId}/undo"),
    "undo_decline": ("POST", "customer/requests/{requestId}/undo"),
    "withdraw_claim": ("POST", "claims/{claimId}/withdraw"),
    "zz_not_found": ("", "{*path}"),
}
QUEUES = {
    "notify_customer": ("customer-notices", "CPOR_STORAGE"),
    "notify_partner": ("partner-notices", "CPOR_STORAGE"),
    "process_claim_batch": ("claim-batches", "CPOR_STORAGE"),
    "process_due_page": ("due-pages", "CPOR_STORAGE"),
    "record_failed_due_page": ("due-pages-poison", "CPOR_STORAGE"),
    "record_failed_claim_batch": ("claim-batches-poison", "CPOR_STORAGE"),
    "record_failed_customer_notice": ("customer-notices-poison", "CPOR_STORAGE"),
    "record_failed_mail_event": ("mail-events-poison", "CPOR_STORAGE"),
    "record_failed_partner_notice": ("partner-notices-poison", "CPOR_STORAGE"),
    "record_mail_event": ("mail-events", "CPOR_STORAGE"),
}
TIMERS = {"finalise_uncontested": "%FINALISE_SCHEDULE%", "recount_insight": "0 */5 * * * *"}


def trigger(function: Function) -> dict[str, Any]:
    """Return the binding that starts a function, as the host reads it."""
    return dict(next(each for each in function.bindings if each["type"].endswith("Trigger")))


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Return the triggers of that type by function."""
    return {each.name: trigger(each) for each in functions() if trigger(each)["type"] == kind}


def test_http_functions_are_these_and_judge_every_token_themselves() -> None:
    """Names, methods and routes are what callers and dashboards know; keys of the host open nothing."""
    served = of_type("httpTrigger")

    assert {name: (" ".join(given.get("methods") or ()), given["route"]) for name, given in served.items()} == HTTP
    assert {given["authLevel"] for given in served.values()} == {"ANONYMOUS"}


def test_queue_functions_read_these_queues_over_our_own_connection() -> None:
    """The connection's name is the prefix of the settings that say where queues lie."""
    served = of_type("queueTrigger")

    assert {name: (given["queueName"], given["connection"]) for name, given in served.items()} == QUEUES


def test_timers_have_their_schedules_and_do_not_run_at_start() -> None:
    """A deployment or a scale-out must not fire it; what was missed is caught up by the host's own record."""
    served = of_type("timerTrigger")

    assert {name: given["schedule"] for name, given in served.items()} == TIMERS
    assert {(given["runOnStartup"], given["useMonitor"]) for given in served.values()} == {(False, True)}


def test_every_function_has_its_handler() -> None:
    """A function's module is loaded by its first call, so a wrong line of the table would be found by that call."""
    for name in MODULES:
        assert callable(handler(name))

    assert {line.name for line in operations()} == set(ROUTES) - {"zz_not_found"}


@pytest.mark.parametrize("name", [name for name in HTTP if name != "zz_not_found"])
def test_every_route_reaches_its_own_function(name: str) -> None:
    """The host calls the first function by name whose route and method fit: no literal may hide behind a parameter."""
    methods, route = HTTP[name]
    path = "/api/" + re.sub(r"\{\w+\}", "some-thing", route)

    for method in methods.split():
        assert first(method, path) == name


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/nothing/here"), ("TRACE", "/api/claims"), ("PUT", "/api/claims"), ("GET", "/api/")],
)
def test_what_no_other_function_takes_reaches_the_last_one(method: str, path: str) -> None:
    """So that unknown addresses and wrong methods get our own refusal."""
    assert first(method, path) == "zz_not_found"


def first(method: str, path: str) -> str:
    """Return the function that the host calls: it tries them in the order of their names."""
    for each in sorted(functions(), key=lambda function: function.name.lower()):
        match each.trigger:
            case HttpTrigger(template=template, methods=methods) if template.match(path) is not None:
                if not methods or method in methods:
                    return each.name
            case _:
                pass
    raise AssertionError(f"no function takes {method} {path}")
