"""The metrics of a notifier, in base units. Labels are configured names and closed lists, never ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class NotifyMetrics:
    """The metrics of one notifier, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tries = Counter(
            "sla_notify_tries",
            "Attempts by outcome: delivered, failed (to be retried), refused.",
            ["destination", "outcome"],
            registry=self.registry,
        )
        self.parked = Counter(
            "sla_notify_parked",
            "Undelivered messages that are not retried; `sla notify parked list`.",
            ["destination"],
            registry=self.registry,
        )
        self.unreadable = Counter(
            "sla_notify_unreadable",
            "Skipped records that are no event.",
            ["destination"],
            registry=self.registry,
        )
        self.delivered_seconds = Histogram(
            "sla_notify_delivered_seconds",
            "Time from reading an alert to its delivery.",
            ["destination"],
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600),
            registry=self.registry,
        )
        self.pending = Gauge(
            "sla_notify_pending", "Messages that wait to be delivered.", ["destination"], registry=self.registry
        )
        self.behind = Gauge(
            "sla_notify_behind_records",
            "Records of Kafka that are not read yet.",
            ["destination"],
            registry=self.registry,
        )
        self.open_pages = Gauge(
            "sla_notify_open_pages", "Incidents with an open page.", ["destination"], registry=self.registry
        )
        self.up = Gauge(
            "sla_notify_up",
            "1: the destination accepts messages; 0: its circuit is open, it answered 410, or Kafka is unavailable.",
            ["destination"],
            registry=self.registry,
        )
