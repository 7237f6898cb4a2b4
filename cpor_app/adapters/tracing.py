"""Holds the current `traceparent` (W3C) of a trace. Queue messages and due rows carry it to later work."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TRACE_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

_here: ContextVar[str | None] = ContextVar("traceparent", default=None)


def trace_parent() -> str | None:
    """Return the current `traceparent`, or None if nothing is traced."""
    return _here.get()


def as_trace_parent(given: object) -> str | None:
    """Return *given* if it is a `traceparent` in our form, else None."""
    return given if isinstance(given, str) and TRACE_PARENT.fullmatch(given) else None


@contextmanager
def continuing(parent: str | None) -> Iterator[None]:
    """Make *parent* the current `traceparent` within the block."""
    token = _here.set(parent)
    try:
        yield
    finally:
        _here.reset(token)
