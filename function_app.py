"""Registers every function of the service, from the blueprints of `cpor_app.triggers`. The import does no I/O."""

import gc

import azure.functions as func

gc.disable()  # what a module makes stays, so a search for garbage during the imports finds nothing
from cpor_app.triggers import (  # noqa: E402
    associations,
    background,
    batches,
    claims,
    csv_export,
    customer_page,
    customers,
    docs,
    evidence,
    feed,
    import_official,
    insight,
    mail_events,
    not_found,
    operators,
    public,
    registry,
    reviews,
    usage,
    webhooks,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    public,
    docs,
    claims,
    batches,
    csv_export,
    evidence,
    reviews,
    associations,
    usage,
    feed,
    webhooks,
    import_official,
    insight,
    registry,
    operators,
    customer_page,
    customers,
    mail_events,
    background,
    not_found,
):
    app.register_functions(module.blueprint)
gc.freeze()  # no later search looks at what the imports made
gc.enable()
