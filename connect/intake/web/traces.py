"""The trace of a request: continued from its `traceparent` or started here, and carried by the events that follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from connect.intake.mapping.rules import Source
from connect.intake.outcome import EventItem, ItemOutcome
from connect.intake.translate import Outcomes
from connect.intake.web.responses import RequestRejected
from streams.time_source import PresentTime
from streams.tracing.context import HEADER, context_of, is_traceparent, same_trace, traceparent_of

_NS = 1_000


class RequestTrace:
    """The trace that the events of one request join; `traceparent` is None where there is none."""

    def __init__(self, traceparent: str | None, span: Span | None = None) -> None:
        self.traceparent = traceparent
        self._span = span

    def published(self, events: int, rejected: int) -> None:
        """Kafka has acknowledged the events of the request, and the rejected items."""
        if self._span is not None:
            self._span.set_attributes({"sla.events": events, "sla.rejected": rejected})

    def join(self, outcomes: Outcomes) -> Outcomes:
        """The same outcomes with events that belong to the trace."""
        return outcomes if self.traceparent is None else outcomes._replace(items=self._joined(outcomes.items))

    def _joined(self, items: Iterator[ItemOutcome]) -> Iterator[ItemOutcome]:
        """An event that names another trace keeps it: its publisher knows where it comes from. What is no trace
        context counts as absent."""
        assert self.traceparent is not None
        for item in items:
            if isinstance(item, EventItem):
                own = item.event.get(HEADER)
                if not is_traceparent(own) or (self._span is not None and same_trace(own, self.traceparent)):
                    item = item._replace(event={**item.event, HEADER: self.traceparent})
            yield item


class RequestTraces:
    """Makes a span for each request of a known sender, where there is a tracer."""

    def __init__(self, tracer: Tracer | None, clock: PresentTime) -> None:
        self._tracer = tracer
        self._clock = clock

    @contextmanager
    def of(self, request: web.Request, source: Source, started: int) -> Iterator[RequestTrace]:
        """The trace of a request that began to arrive at an instant, microseconds. Without a tracer the trace of its
        header is carried on."""
        given = request.headers.get(HEADER)
        if self._tracer is None:
            yield RequestTrace(given if is_traceparent(given) else None)
            return
        route = request.match_info.route.resource
        path = request.path if route is None else route.canonical
        span = self._tracer.start_span(
            f"{request.method} {path}", context_of(given), SpanKind.SERVER, start_time=started * _NS
        )
        span.set_attributes({"http.request.method": request.method, "http.route": path, "sla.source": source.name})
        try:
            yield RequestTrace(traceparent_of(span), span)
        except RequestRejected as error:
            span.set_attribute("http.response.status_code", error.status)
            if error.status >= 500:
                span.set_status(Status(StatusCode.ERROR, error.reason))
            raise
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end(self._clock.now() * _NS)
