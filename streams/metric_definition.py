"""What the definition of a metric consists of (streams/metrics.py has the definitions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()


@dataclass(frozen=True, slots=True)
class Metric:
    """The definition of one metric; `unit` is what its value counts or measures."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry = REGISTRY) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry = REGISTRY) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry = REGISTRY) -> Histogram:
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


def counter(name: str, unit: str, text: str, *labels: str) -> Metric:
    """The definition of a counter."""
    return Metric(name, "counter", unit, text, labels)


def gauge(name: str, unit: str, text: str, *labels: str) -> Metric:
    """The definition of a gauge."""
    return Metric(name, "gauge", unit, text, labels)


def seconds(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    """The definition of a histogram of durations."""
    return Metric(name, "histogram", "seconds", text, labels, buckets)
