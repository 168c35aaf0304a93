"""The metrics of the intake, in base units. Labels hold configured names and closed lists, never ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class IntakeMetrics:
    """The metrics of one intake, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sla_intake_requests", "Requests by source and answer.", ["source", "status"], registry=self.registry
        )
        self.published = Counter(
            "sla_intake_published", "Events acknowledged by Kafka.", ["source", "type"], registry=self.registry
        )
        self.ignored = Counter(
            "sla_intake_ignored", "Items that are no incident by the mapping.", ["source"], registry=self.registry
        )
        self.refused = Counter(
            "sla_intake_refused",
            "Items that can't be published, by code (R27).",
            ["source", "code"],
            registry=self.registry,
        )
        self.truncated = Counter(
            "sla_intake_truncated_alerts",
            "Alerts that Alertmanager left out of its notifications (max_alerts).",
            ["source"],
            registry=self.registry,
        )
        self.acknowledged_seconds = Histogram(
            "sla_intake_acknowledged_seconds",
            "From the arrival of a request's body to Kafka's acknowledgement.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self.held_bytes = Gauge(
            "sla_intake_held_bytes",
            "Bytes held: bodies being read, records not yet acknowledged.",
            ["what"],
            registry=self.registry,
        )
