"""Every function of the service, from the blueprints of `cpor_app.triggers`; no rule and no I/O at import."""

import azure.functions as func

from cpor_app.triggers import (
    anyone,
    associations,
    background,
    batches,
    changes,
    claims,
    customer_page,
    customers,
    docs,
    erasures,
    evidence,
    exporting,
    importing,
    insight,
    mail_events,
    not_found,
    registry,
    reviews,
    webhooks,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    anyone,
    docs,
    claims,
    batches,
    exporting,
    evidence,
    reviews,
    associations,
    changes,
    webhooks,
    importing,
    insight,
    registry,
    erasures,
    customer_page,
    customers,
    mail_events,
    background,
    not_found,
):
    app.register_functions(module.blueprint)
