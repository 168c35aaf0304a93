"""What the runtime measures; shown at /metrics by health.py."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECORDS = Counter("sla_task_records", "Input records applied and committed.", ["agent", "partition"], registry=REGISTRY)
TIMERS = Counter("sla_task_timers", "Timers acted and committed.", ["agent", "partition"], registry=REGISTRY)
WRITES = Counter("sla_task_writes", "Records sent and committed.", ["agent", "partition"], registry=REGISTRY)
COMMIT_SECONDS = Histogram(
    "sla_task_commit_seconds",
    "From the begin of a transaction to its commit.",
    ["agent"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
RECOVERY_SECONDS = Gauge(
    "sla_task_recovery_seconds", "How long the last recovery took.", ["agent", "partition"], registry=REGISTRY
)
RECOVERY_LEFT = Gauge(
    "sla_task_recovery_left",
    "What is still to be read (offsets) or restored (rows) of the changelog.",
    ["agent", "partition", "what"],
    registry=REGISTRY,
)
TIMER_LAG_SECONDS = Histogram(
    "sla_task_timer_lag_seconds",
    "From the instant of the earliest live timer in a transaction to its commit.",
    ["agent"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
    registry=REGISTRY,
)
QUEUED = Gauge("sla_task_queued_records", "Records waiting in the task.", ["agent", "partition"], registry=REGISTRY)
WAITING = Gauge(
    "sla_task_waiting",
    "1 while the task's next record waits for an answer from outside Kafka.",
    ["agent", "partition"],
    registry=REGISTRY,
)
STATE = Gauge(
    "sla_task_state",
    "1 for the state the task is in.",
    ["agent", "partition", "state"],
    registry=REGISTRY,
)
FAILURES = Counter(
    "sla_task_failures", "Times a task threw its state away.", ["agent", "partition", "kind"], registry=REGISTRY
)
