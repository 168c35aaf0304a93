"""The metrics of the intake (streams/metrics.py defines them)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from streams import metrics
from streams.http_connections import HttpMetrics


class IntakeMetrics:
    """The metrics of one intake, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        metrics.measure_process(registry)
        self.http = HttpMetrics(registry)
        self.requests = metrics.INTAKE_REQUESTS.counter(registry)
        self.published = metrics.INTAKE_PUBLISHED.counter(registry)
        self.ignored = metrics.INTAKE_IGNORED.counter(registry)
        self.unapplied = metrics.INTAKE_UNAPPLIED.counter(registry)
        self.refused = metrics.INTAKE_REFUSED.counter(registry)
        self.truncated = metrics.INTAKE_TRUNCATED.counter(registry)
        self.acknowledged_seconds = metrics.INTAKE_ACKNOWLEDGED.histogram(registry)
        self.held_bytes = metrics.INTAKE_HELD.gauge(registry)
