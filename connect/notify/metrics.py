"""What a notifier measures, in base units; labels name configured destinations and closed lists, never ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The metrics of one notifier, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tries = Counter(
            "sla_notify_tries",
            "Tries by what became of them: delivered, failed, refused.",
            ["destination", "outcome"],
            registry=self.registry,
        )
        self.parked = Counter(
            "sla_notify_parked", "Messages given up; `sla notify parked list`.", ["destination"], registry=self.registry
        )
        self.unreadable = Counter(
            "sla_notify_unreadable", "Records that are no event.", ["destination"], registry=self.registry
        )
        self.delivered_seconds = Histogram(
            "sla_notify_delivered_seconds",
            "From the reading of an alert to its delivery.",
            ["destination"],
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600),
            registry=self.registry,
        )
        self.pending = Gauge(
            "sla_notify_pending", "Messages that wait to be delivered.", ["destination"], registry=self.registry
        )
        self.behind = Gauge(
            "sla_notify_behind_records", "Records of Kafka not yet read.", ["destination"], registry=self.registry
        )
        self.open_pages = Gauge(
            "sla_notify_open_pages", "Incidents with an open page.", ["destination"], registry=self.registry
        )
        self.up = Gauge(
            "sla_notify_up",
            "1: it takes messages; 0: it fails (probed), was disabled by 410, or Kafka can't be used.",
            ["destination"],
            registry=self.registry,
        )
