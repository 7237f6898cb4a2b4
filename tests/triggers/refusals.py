"""What a test asks of a refusal; its form is held against the description wherever the `service` fixture is used."""

from typing import Any

import httpx


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the error of an answer that must be this refusal, in body and header."""
    assert (answer.status_code, answer.headers.get("x-ms-error-code")) == (status, code), answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    return error


def targets(error: dict[str, Any]) -> dict[str, str]:
    """Return the code of each detail by what it is about."""
    return {detail["target"]: detail["code"] for detail in error["details"]}
