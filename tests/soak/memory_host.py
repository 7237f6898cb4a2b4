"""
The host of `memory.py`: `devhost`, with a second copy of each body.

In Azure, Microsoft's worker keeps the message of the Functions host while a function runs. The message has the body,
and the function has another copy of it.
"""

import runpy
from unittest.mock import patch

from starlette.requests import Request

from devhost.host import http_triggers

_receive = http_triggers._body


class Body(bytes):
    """A body, and the message that brought it."""

    message: bytes


async def _with_message(request: Request) -> bytes:
    received = await _receive(request)
    body = Body(received)
    body.message = received
    return body


if __name__ == "__main__":
    with patch.object(http_triggers, "_body", _with_message):
        runpy.run_module("devhost.stack.exit_with_parent", run_name="__main__")
