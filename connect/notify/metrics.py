"""The metrics of the notifier (streams/metrics.py defines them)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry

from streams import metrics
from streams.http_connections import HttpMetrics


class NotifyMetrics:
    """The metrics of one notifier, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        metrics.measure_process(registry)
        self.http = HttpMetrics(registry)
        self.tries = metrics.NOTIFY_TRIES.counter(registry)
        self.parked = metrics.NOTIFY_PARKED.counter(registry)
        self.folded = metrics.NOTIFY_FOLDED.counter(registry)
        self.discarded = metrics.NOTIFY_DISCARDED.counter(registry)
        self.expired = metrics.NOTIFY_EXPIRED.counter(registry)
        self.unreadable = metrics.NOTIFY_UNREADABLE.counter(registry)
        self.delivered_seconds = metrics.NOTIFY_DELIVERED.histogram(registry)
        self.arrival_to_delivery_seconds = metrics.NOTIFY_ARRIVAL_TO_DELIVERY.histogram(registry)
        self.pending = metrics.NOTIFY_PENDING.gauge(registry)
        self.behind = metrics.NOTIFY_BEHIND.gauge(registry)
        self.open_pages = metrics.NOTIFY_OPEN_PAGES.gauge(registry)
        self.up = metrics.NOTIFY_UP.gauge(registry)
        self._routing_outdated = metrics.NOTIFY_ROUTING_OUTDATED.gauge(registry)
        self._refused = self._other = False
        self._routing_loads = metrics.NOTIFY_ROUTING_LOADS.counter(registry)

    def left(self, destination: str) -> Mapping[str, int]:
        """What a destination has yet to send and to read."""
        found = {
            "open_pages": metrics.NOTIFY_OPEN_PAGES,
            "waiting": metrics.NOTIFY_PENDING,
            "unread": metrics.NOTIFY_BEHIND,
        }
        of = {"destination": destination}
        return {name: int(self.registry.get_sample_value(each.name, of) or 0) for name, each in found.items()}

    def forget(self, destination: str) -> None:
        """A destination has no worker any more."""
        for gauge in (self.pending, self.behind, self.open_pages, self.up):
            with suppress(KeyError):
                gauge.remove(destination)

    def routing_loaded(self) -> None:
        """A routing file was read, and it is right."""
        self._set_outdated(refused=False)
        self._routing_loads.labels("loaded").inc()

    def routing_refused(self) -> None:
        """A routing file or a secret that it names can't be used."""
        self._set_outdated(refused=True)
        self._routing_loads.labels("refused").inc()

    def routing_of_another(self, other: bool) -> None:
        """Whether routes that another notifier has recorded are in force, and this one's file has others."""
        self._set_outdated(other=other)

    def _set_outdated(self, *, refused: bool | None = None, other: bool | None = None) -> None:
        self._refused = self._refused if refused is None else refused
        self._other = self._other if other is None else other
        self._routing_outdated.set(self._refused or self._other)
