"""Publishes the events of actions through one long-lived client, and reads back what the workers made of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Protocol

from connect.actions.input_results import InputResultReader, InputResults
from connect.actions.outcome import JsonEvent
from connect.client.delivery import Delivery
from connect.client.errors import DeliveryFailed
from connect.client.publisher import Publisher
from connect.kafka_io.batches import SentRange
from streams.errors import SlaError
from streams.settings import Settings
from streams.sla.events import Position
from streams.time_source import TimeSource

_ACKNOWLEDGED_S = 15.0


class Results(Protocol):
    """The part of InputResultReader that is used."""

    def wait(self, sent: Sequence[SentRange], timeout_s: float) -> InputResults: ...


class EventPublisher(Protocol):
    """The part of ActionPublisher that is used."""

    def send(self, events: Sequence[JsonEvent]) -> list[Position]: ...
    def results(self) -> AbstractContextManager[Results]: ...
    def close(self) -> None: ...


class ActionPublisher:
    """Connects with the first event and stays connected. Thread-safe."""

    def __init__(self, settings: Settings, source: str, clock: TimeSource) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None

    def send(self, events: Sequence[JsonEvent]) -> list[Position]:
        """Publish and wait for the acknowledgements. Raises DeliveryFailed where an event may be in Kafka; otherwise
        InvalidEvent, BrokerUnavailable, RegistryUnavailable, RegistryRefused."""
        publisher, deliveries = self._connected(), list[Delivery]()
        try:
            for event in events:
                deliveries.append(publisher.publish(event))
            return [delivery.result(_ACKNOWLEDGED_S * 2) for delivery in deliveries]
        except DeliveryFailed:
            raise
        except TimeoutError as error:
            raise DeliveryFailed("Kafka has not acknowledged in time", events, retriable=True) from error
        except SlaError as error:
            if not deliveries:
                raise
            message = f"after {len(deliveries):,} of {len(events):,} events: {error}"
            raise DeliveryFailed(message, events, retriable=True) from error

    def results(self) -> AbstractContextManager[Results]:
        """A reader of results, to be entered before `send`."""
        return InputResultReader(self._settings)

    def close(self) -> None:
        """Close the connection, if there is one. What is not acknowledged by then was told to who sent it."""
        with self._lock:
            publisher, self._publisher = self._publisher, None
            if publisher is not None:
                with suppress(DeliveryFailed):
                    publisher.close()

    def _connected(self) -> Publisher:
        with self._lock:
            if self._publisher is None:
                settings = self._settings
                self._publisher = Publisher(
                    ",".join(settings.bootstrap()),
                    self._source,
                    prefix=settings.topic_prefix,
                    timeout_s=_ACKNOWLEDGED_S,
                    clock=self._clock,
                    kafka=settings.client_security(),
                    schema_registry=settings.schema_registry(),
                    max_future_skew=timedelta(microseconds=settings.max_future_skew),
                    lateness_horizon=timedelta(microseconds=settings.lateness_horizon),
                )
            return self._publisher


def ranges_of(positions: Sequence[Position]) -> list[SentRange]:
    """Positions as ranges of one record each."""
    return [SentRange(topic, partition, offset, offset + 1) for topic, partition, offset in positions]
