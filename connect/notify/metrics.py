"""The metrics of the notifier (streams/metrics.py defines them)."""

from __future__ import annotations

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
        self.unreadable = metrics.NOTIFY_UNREADABLE.counter(registry)
        self.delivered_seconds = metrics.NOTIFY_DELIVERED.histogram(registry)
        self.arrival_to_delivery_seconds = metrics.NOTIFY_ARRIVAL_TO_DELIVERY.histogram(registry)
        self.pending = metrics.NOTIFY_PENDING.gauge(registry)
        self.behind = metrics.NOTIFY_BEHIND.gauge(registry)
        self.open_pages = metrics.NOTIFY_OPEN_PAGES.gauge(registry)
        self.up = metrics.NOTIFY_UP.gauge(registry)
