"""The metrics of the intake (streams/metrics.py defines them)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from streams import metrics
from streams.http_connections import HttpMetrics
from streams.sla.instants import SECOND


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
        self.clock_ahead = metrics.INTAKE_CLOCK_AHEAD.gauge(registry)
        self.heartbeats = metrics.INTAKE_HEARTBEATS.counter(registry)
        self.heartbeats_listening = metrics.INTAKE_HEARTBEATS_LISTENING.gauge(registry)
        self.heartbeats_problem = metrics.INTAKE_HEARTBEATS_PROBLEM.gauge(registry)
        self.monitors = metrics.INTAKE_MONITORS.gauge(registry)
        self._mapping_info = metrics.INTAKE_MAPPING_INFO.gauge(registry)
        self._mapping_loaded = metrics.INTAKE_MAPPING_LOADED.gauge(registry)
        self._mapping_outdated = metrics.INTAKE_MAPPING_OUTDATED.gauge(registry)
        self._mapping_loads = metrics.INTAKE_MAPPING_LOADS.counter(registry)

    def mapping_in_force(self, digest: str, now: int) -> None:
        """A mapping was loaded; `now` in microseconds since 1970."""
        self._mapping_info.clear()
        self._mapping_info.labels(digest).set(1)
        self._mapping_loaded.set(now / SECOND)
        self._mapping_outdated.set(0)
        self._mapping_loads.labels("loaded").inc()

    def mapping_refused(self) -> None:
        """A mapping or a secret that it names can't be used."""
        self._mapping_outdated.set(1)
        self._mapping_loads.labels("refused").inc()
