"""
Records spans and counters for operators, with OpenTelemetry's API. Without a destination in the settings it is off.

The import of the SDK with an exporter takes as long as the import of the whole app. So a separate thread loads `sdk`
after the first work is done. Until then `traceparent` is passed on without spans, and counts wait.

This file names everything that is recorded. Texts from a caller are never recorded: no name, address, path or query.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cpor_app.adapters.storage.tables.claims import ClaimsTable
from cpor_app.adapters.tracing import as_trace_parent, continuing, trace_parent
from cpor_core.errors import Conflict, MailDelayed, RecipientRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta

    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.trace import Span, Tracer

    from cpor_app.adapters.storage.row_store import Rows
    from cpor_core.ports.claims import Commit
    from cpor_core.ports.due_work import DueRow
    from cpor_core.ports.notices import Composer, MailMessage
    from cpor_core.transitions.claim_case import StoredCase

log = logging.getLogger("cpor.telemetry")

AFTER_THE_ANSWER_SECONDS = 0.5
"""The delay before the SDK's import. In that time the first answer is sent."""
WAITING_COUNTS = 1000


@dataclass(frozen=True, slots=True)
class Instrument:
    """One counter or histogram. `docs/telemetry.md` lists all instruments."""

    name: str
    attribute: str | None
    meaning: str
    unit: str = "1"
    measures: bool = False
    """True for a histogram, false for a counter."""


CLAIMS = Instrument("cpor.claims", "cpor.status", "claims that reached a state, by state")
RACES = Instrument("cpor.races_lost", None, "writes of a claim that lost a race to another write and were repeated")
MAILS = Instrument("cpor.mails", "cpor.mail.kind", "attempts to send a mail, by kind and by `cpor.mail.outcome`")
LATE = Instrument(
    "cpor.debts.late", "cpor.debt", "by how many seconds the timer did due work late, by kind", "s", measures=True
)
INSTRUMENTS = (CLAIMS, RACES, MAILS, LATE)

SPAN_ATTRIBUTES: Mapping[str, str] = {
    "http.request.method": "the method of a request",
    "http.route": "the route of a request, with the names of parameters in place of their values",
    "http.response.status_code": "the status code of the answer",
    "cpor.debt": "the kind of the due work",
    "cpor.mail.kind": "the kind of a mail",
    "cpor.mail.outcome": "`handedOver`, `refused`, `delayed`, or `failed` if the service itself failed",
    "error.type": "the class of the error, never its message",
}
"""All attributes that a span may have."""


class Sdk(Protocol):
    """The part of the SDK that this file uses. The module `sdk` implements it."""

    tracer: Tracer
    meter: Meter

    def close(self) -> None:
        """Send spans and counts that wait, then stop."""


@dataclass(slots=True)
class Doing:
    """A running piece of work. Attributes can be noted on its span, if it has a span."""

    span: Span | None = None

    def note(self, name: str, value: str | int) -> None:
        """Set an attribute of the span. *name* is one of `SPAN_ATTRIBUTES`."""
        if self.span is not None:
            self.span.set_attribute(name, value)


@dataclass(slots=True)
class OpenTelemetry:
    """
    Implements `ports.due_work.Telemetry` with OpenTelemetry: spans and counts.

    Without *load*, nothing is traced, counted, passed on or loaded.
    """

    load: Callable[[], Sdk] | None = None
    _sdk: Sdk | None = None
    _waiting: deque[tuple[Instrument, float, dict[str, str]]] = field(
        default_factory=lambda: deque(maxlen=WAITING_COUNTS)
    )
    _instruments: dict[str, Counter | Histogram] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None
    _closed: bool = False

    # --- traces -----------------------------------------------------------------------------------------------------

    @contextmanager
    def doing(
        self, name: str, kind: str = "internal", parent: object = None, attributes: Mapping[str, str] | None = None
    ) -> Iterator[Doing]:
        """
        Record the block as a span in the trace of *parent*, or in the current trace if *parent* is no `traceparent`.

        *kind* is internal, or client for a call to another service. Server and consumer spans are left to the host,
        because Application Insights counts each of them as a request. An exception in the block is raised again, and
        the span gets its class as an attribute.
        """
        if self.load is None:
            yield Doing()
            return
        current = as_trace_parent(parent) or trace_parent()
        try:
            if self._sdk is None:
                with continuing(current):
                    yield Doing()
            else:
                with _spanned(self._sdk.tracer, name, kind, current, attributes or {}) as doing:
                    yield doing
        finally:
            self._begin()

    @contextmanager
    def processing(self, row: DueRow) -> Iterator[None]:
        with self.doing("pay", parent=row.trace, attributes={"cpor.debt": _kind(row)}):
            yield

    # --- counts -----------------------------------------------------------------------------------------------------

    def count(self, what: Instrument, amount: float = 1, **attributes: str) -> None:
        """Add *amount* to a counter. Counts wait until the SDK is loaded."""
        if self.load is None:
            return
        named = {name.replace("_", "."): value for name, value in attributes.items()}
        with self._lock:
            if self._sdk is None:
                self._waiting.append((what, amount, named))
                return
            self._add(what, amount, named)

    def settled_late(self, row: DueRow, late: timedelta) -> None:
        self.count(LATE, late.total_seconds(), cpor_debt=_kind(row))

    def _add(self, what: Instrument, amount: float, attributes: dict[str, str]) -> None:
        assert self._sdk is not None  # noqa: S101 - both callers have checked it
        if what.name not in self._instruments:
            meter = self._sdk.meter
            make = meter.create_histogram if what.measures else meter.create_counter
            self._instruments[what.name] = make(what.name, unit=what.unit, description=what.meaning)
        instrument: Any = self._instruments[what.name]
        (instrument.record if what.measures else instrument.add)(amount, attributes)

    # --- the SDK ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Load the SDK once, after the current answer was sent."""
        with self._lock:
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(AFTER_THE_ANSWER_SECONDS, self._install)
                self._timer.daemon = True
                self._timer.start()

    def _install(self) -> None:
        assert self.load is not None  # noqa: S101 - `_begin` is not called without it
        try:
            sdk = self.load()
        except Exception:  # the service also works without telemetry
            log.exception("telemetry: could not be started")
            return
        with self._lock:
            if not self._closed:
                self._sdk = sdk
                while self._waiting:
                    self._add(*self._waiting.popleft())
                return
        sdk.close()

    async def close(self) -> None:
        """Send spans and counts that wait, then stop. After that nothing is traced or counted."""
        with self._lock:
            sdk, self._sdk, self._closed = self._sdk, None, True
            timer = self._timer
        if timer is not None:
            timer.cancel()
        if sdk is not None:
            await asyncio.to_thread(sdk.close)


@contextmanager
def _spanned(
    tracer: Tracer, name: str, kind: str, parent: str | None, attributes: Mapping[str, str]
) -> Iterator[Doing]:
    from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id

    # The message of an exception is not recorded, because it can hold text from a caller.
    with tracer.start_as_current_span(
        name,
        context=_context(parent),
        kind=SpanKind[kind.upper()],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        at = span.get_span_context()
        here = f"00-{format_trace_id(at.trace_id)}-{format_span_id(at.span_id)}-{at.trace_flags:02x}"
        try:
            with continuing(here):
                yield Doing(span)
        except BaseException as fault:
            span.set_attribute("error.type", type(fault).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _context(parent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # We use an empty context, because the current context can hold a trace of the host or the worker.
    carrier = {"traceparent": parent} if parent is not None else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _kind(row: DueRow) -> str:
    """Return the kind of due work for telemetry. All deletions have the same name there, `forget`."""
    return row.logged_as.partition("-")[0]


class CountedClaims(ClaimsTable):
    """The table of claims. For each state it counts the claims that reach it."""

    def __init__(self, rows: Rows, telemetry: OpenTelemetry) -> None:
        """Count with *telemetry*."""
        super().__init__(rows)
        self._telemetry = telemetry

    async def commit(self, commit: Commit) -> StoredCase:
        """Write as `ClaimsTable` does, and count new states and lost races."""
        try:
            case = await super().commit(commit)
        except Conflict:
            self._telemetry.count(RACES)
            raise
        before, after = commit.before, commit.after
        pairs = [(before.claim, after.claim), *((before.rivals[name], one) for name, one in after.rivals.items())]
        for former, claim in pairs:
            if former.status is not claim.status or former.history_length == 0:
                self._telemetry.count(CLAIMS, cpor_status=claim.status.value)
        return case


class RecordedComposer:
    """Implements `ports.notices.Composer`. Records a span for each mail, and counts mails by outcome."""

    def __init__(self, composer: Composer, telemetry: OpenTelemetry) -> None:
        """Send with *composer*."""
        self._composer = composer
        self._telemetry = telemetry

    async def send(self, message: MailMessage) -> None:
        with self._telemetry.doing("send_mail", "client", attributes={"cpor.mail.kind": message.kind}) as doing:
            outcome = "handedOver"
            try:
                await self._composer.send(message)
            except RecipientRefused:
                outcome = "refused"
                raise
            except MailDelayed:
                outcome = "delayed"
                raise
            except BaseException:
                outcome = "failed"
                raise
            finally:
                doing.note("cpor.mail.outcome", outcome)
                self._telemetry.count(MAILS, cpor_mail_kind=message.kind, cpor_mail_outcome=outcome)
