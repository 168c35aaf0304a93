"""Spans of the notifier's requests, in the trace of the alert that they deliver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.destinations.kind import Destination
from connect.notify.digest import key_of_digest
from connect.notify.message import Message
from streams.tracing.context import HEADER, context_of, traceparent_of


class DeliveryAttempt:
    """One attempt to deliver a message. `traceparent` makes the receiver continue the trace; None where there is
    none."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        self.outcome: Outcome | None = None


class DeliverySpans:
    """Makes a span for each attempt to deliver a message that belongs to a trace, where there is a tracer."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    @contextmanager
    def attempt(self, destination: Destination, incident: str, message: Message) -> Iterator[DeliveryAttempt]:
        """The span of one attempt; the caller sets its outcome."""
        alert = cast(str | None, message.event.get(HEADER))
        if self._tracer is None or alert is None:
            yield DeliveryAttempt(alert)
            return
        span = self._tracer.start_span(f"deliver {destination.kind.name}", context_of(alert), SpanKind.CLIENT)
        span.set_attributes(
            {
                "sla.incident.id": key_of_digest(incident) or incident,
                "sla.event.type": str(message.event["type"]),
                "sla.destination": destination.name,
                "sla.action": message.action,
                "sla.attempt": message.tries + 1,
            }
        )
        attempt = DeliveryAttempt(traceparent_of(span))
        try:
            yield attempt
        finally:
            match attempt.outcome:
                case Delivered():
                    pass
                case Failed(reason=reason) | Undeliverable(reason=reason):
                    span.set_status(Status(StatusCode.ERROR, reason))
                case None:
                    span.set_status(Status(StatusCode.ERROR, "cancelled"))
            span.end()
