"""Spans of the decisions of the incidents agent. They are made beside the decisions: outputs name the trace of what
they follow from, never a span of this process, so that a transaction that is repeated gives the same outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from streams.runtime.processor import Record
from streams.sla.events import Event, Output
from streams.time_source import TimeSource
from streams.tracing.context import context_of

_NS = 1_000


class DecisionSpans:
    """Spans of one partition: one for each input that has a `traceparent`, one for each timer whose outputs have one.
    A decision of a transaction that is aborted has a span too."""

    def __init__(self, tracer: Tracer, clock: TimeSource, partition: int) -> None:
        self._tracer = tracer
        self._clock = clock
        self._partition = str(partition)

    @contextmanager
    def of_input(self, event: Event, record: Record) -> Iterator[None]:
        """The span of what happens within, for an input with a trace."""
        if event.traceparent is None:
            yield
            return
        attributes: dict[str, AttributeValue] = {
            "sla.event.type": event.type,
            "messaging.destination.name": record.topic,
            "messaging.kafka.offset": record.offset,
        }
        started = self._clock.now()
        span = self._start(f"decide {event.type}", event.traceparent, event.subject, started, attributes)
        try:
            yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end(self._clock.now() * _NS)

    def of_timer(self, incident_id: str, outputs: Sequence[Output], started: int) -> None:
        """Make the span of a timer that fired at an instant of the clock, microseconds."""
        traceparent = next((output.traceparent for output in outputs if output.traceparent is not None), None)
        if traceparent is not None:
            attributes: dict[str, AttributeValue] = {"sla.outputs": [output.type for output in outputs]}
            self._start("decide timer", traceparent, incident_id, started, attributes).end(self._clock.now() * _NS)

    def _start(
        self, name: str, traceparent: str, incident_id: str, started: int, attributes: dict[str, AttributeValue]
    ) -> Span:
        attributes |= {
            "sla.incident.id": incident_id,
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.partition.id": self._partition,
        }
        return self._tracer.start_span(
            name, context_of(traceparent), SpanKind.CONSUMER, attributes, start_time=started * _NS
        )
