"""What schemathesis has to be told: how JSON lines are sent, and that a new request takes a new key."""

import json
import uuid
from typing import Any

import schemathesis

KEYS = ("Idempotency-Key", "Repeatability-Request-ID")


@schemathesis.serializer("application/x-ndjson", "text/csv")
def _lines(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send text as it is, anything else as one line of JSON."""
    del ctx
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Most requests that are made up have the same short key, and would all but the first be refused for that."""
    del ctx, kwargs
    for name in KEYS:
        if case.headers and len(str(case.headers.get(name, ""))) == 1:
            case.headers[name] = str(uuid.uuid4())
