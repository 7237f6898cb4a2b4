"""What the service sends by itself, for the receivers of webhooks."""

from typing import Final

from openapi_pydantic import PathItem

from tools.openapi.words import Json

CHANGED: Final[Json] = {
    "type": "object",
    "description": "CloudEvents 1.0.",
    "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "The event's id, the same at all your webhooks."},
        "source": {"type": "string", "format": "uri", "description": "The address of the service."},
        "type": {
            "type": "string",
            "pattern": r"^cpor\.",
            "description": "`cpor.` and the type of the change, or `cpor.webhook.test`.",
        },
        "subject": {"type": "string", "description": "The claim's id; not in a test."},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": {
            "oneOf": [
                {"$ref": "#/components/schemas/Change"},
                {
                    "type": "object",
                    "description": "Of a test.",
                    "required": ["webhook"],
                    "properties": {"webhook": {"type": "string"}},
                    "additionalProperties": False,
                },
            ]
        },
    },
    "additionalProperties": False,
}
_HEADERS: Final = {
    "webhook-id": "What this webhook knows the event by: the same on every attempt and replay.",
    "webhook-timestamp": "Seconds since 1970, of this attempt.",
    "webhook-signature": "`v1,` and the signature; two, a space between, while a secret is changed.",
}


def webhooks() -> dict[str, PathItem]:
    """Return the one call that a receiver gets."""
    call = {
        "operationId": "receive_change",
        "tags": ["Webhooks"],
        "summary": "A claim or an association has changed, or a test was asked for",
        "description": "It may come twice, and in another order; docs/webhooks.md. Check the signature first.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/cloudevents+json": {"schema": CHANGED}}},
        "responses": {
            "2XX": {"description": "Taken, within 15 seconds. What the answer says is not read."},
            "410": {"description": "Never call again: the webhook is switched off."},
            "429": {"description": "Later: after `Retry-After`, if it says so."},
            "default": {"description": "Not taken: tried again for three days."},
        },
    }
    return {"change": PathItem.model_validate({"post": call})}
