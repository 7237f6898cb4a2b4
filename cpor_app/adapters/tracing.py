"""Where the work stands in its trace: W3C's `traceparent`, carried in messages and due rows, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TRACE_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

_here: ContextVar[str | None] = ContextVar("traceparent", default=None)


def trace_parent() -> str | None:
    """Return where this work stands in its trace; None where nothing is traced."""
    return _here.get()


def as_trace_parent(given: object) -> str | None:
    """Return *given* if it is a `traceparent` as we write them; whatever else was found is no trace."""
    return given if isinstance(given, str) and TRACE_PARENT.fullmatch(given) else None


@contextmanager
def standing(parent: str | None) -> Iterator[None]:
    """Let what is done within stand there."""
    token = _here.set(parent)
    try:
        yield
    finally:
        _here.reset(token)
