"""Between the text of a `traceparent` and OpenTelemetry's spans. Nothing here keeps a context of its own: spans name
their parents, so that concurrent requests and tasks can't mix them up."""

from __future__ import annotations

from typing import TypeGuard

from opentelemetry.context import Context
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


def context_of(traceparent: str | None) -> Context:
    """What a span that continues a trace is started in; one that starts a trace where there is none, or where the text
    is no trace context."""
    return _PROPAGATOR.extract({} if traceparent is None else {HEADER: traceparent}, Context())


def traceparent_of(span: Span) -> str | None:
    """The `traceparent` that makes others continue a span; None for a span that is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
    return carrier.get(HEADER)


def is_traceparent(value: object) -> TypeGuard[str]:
    """Whether a value is a trace context that can be continued."""
    return isinstance(value, str) and bool(context_of(value))


def same_trace(traceparent: str, other: str) -> bool:
    """Whether two trace contexts are of one trace."""
    return traceparent[3:35] == other[3:35]
