"""Describes the calls of the service to webhooks."""

from typing import Final

from openapi_pydantic import PathItem

from tools.openapi.words import Json

CHANGED: Final[Json] = {
    "type": "object",
    "description": "CloudEvents 1.0.",
    "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "The event's id. It is the same at all your webhooks."},
        "source": {"type": "string", "format": "uri", "description": "The address of the service."},
        "type": {
            "type": "string",
            "pattern": r"^cpor\.",
            "description": "`cpor.` and the type of the change, or `cpor.webhook.test`.",
        },
        "subject": {"type": "string", "description": "The claim's id. A test has none."},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": {
            "oneOf": [
                {"$ref": "#/components/schemas/Change"},
                {
                    "type": "object",
                    "description": "The data of a test.",
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
    "webhook-id": "The id of the event at this webhook. It is the same on every attempt and replay.",
    "webhook-timestamp": "The time of this attempt, in seconds since 1970.",
    "webhook-signature": "`v1,` and the signature. While a secret is changed, there are two, with a space between.",
}


def webhooks() -> dict[str, PathItem]:
    """Return the one call that the service makes to a webhook."""
    call = {
        "operationId": "receive_change",
        "tags": ["Webhooks"],
        "summary": "A claim or an association has changed, or a test was asked for",
        "description": "A call can come twice, and calls can come in another order. Check the signature first. More is "
        "in docs/webhooks.md.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/cloudevents+json": {"schema": CHANGED}}},
        "responses": {
            "2XX": {"description": "You accept the event. Answer within 15 seconds. The service ignores the body."},
            "410": {"description": "You want no more calls. The service switches the webhook off."},
            "429": {"description": "You want the call later. The service waits as `Retry-After` says, if you send it."},
            "default": {"description": "You do not accept the event. The service tries again for three days."},
        },
    }
    return {"change": PathItem.model_validate({"post": call})}
