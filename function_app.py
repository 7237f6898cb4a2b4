"""Every function of the service, from the blueprints of `cpor_app.triggers`; no rule and no I/O at import."""

import azure.functions as func

from cpor_app.triggers import (
    anyone,
    associations,
    background,
    claims,
    customer_page,
    customers,
    evidence,
    importing,
    mail_events,
    not_found,
    registry,
    reviews,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    anyone,
    claims,
    evidence,
    reviews,
    associations,
    importing,
    registry,
    customer_page,
    customers,
    mail_events,
    background,
    not_found,
):
    app.register_functions(module.blueprint)
