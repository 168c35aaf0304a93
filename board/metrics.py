"""The metrics of the board (streams/metrics.py defines them)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from streams import metrics
from streams.http_connections import HttpMetrics


class BoardMetrics:
    """The metrics of one board, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        metrics.measure_process(registry)
        self.http = HttpMetrics(registry)
        self.records = metrics.BOARD_RECORDS.counter(registry)
        self.skipped = metrics.BOARD_SKIPPED.counter(registry)
        self.lag = metrics.BOARD_LAG.gauge(registry)
        self.transaction_seconds = metrics.BOARD_TRANSACTION.histogram(registry)
        self.arrival_to_visible_seconds = metrics.BOARD_ARRIVAL_TO_VISIBLE.histogram(registry)
        self.open_incidents = metrics.OPEN_INCIDENTS.gauge(registry)
        self.open_incidents_breached = metrics.OPEN_INCIDENTS_BREACHED.gauge(registry)
        self.next_deadline = metrics.NEXT_DEADLINE.gauge(registry)
        self.up = metrics.BOARD_UP.gauge(registry)
        self.request_seconds = metrics.BOARD_REQUESTS.histogram(registry)
        self.streams = metrics.BOARD_STREAMS.gauge(registry)
        self.sign_in_failures = metrics.BOARD_SIGN_IN_FAILURES.counter(registry)
        self.audit_waiting = metrics.BOARD_AUDIT_WAITING.gauge(registry)
