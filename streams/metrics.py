"""Every metric of worker, intake, notifier and board: name, unit, labels and help in one place.

Names carry base units (seconds, bytes); counters get the suffix `_total` at /metrics. Labels hold configured names,
partitions and closed lists, never ids of incidents or tenants. The worker's metrics are in `REGISTRY`; an intake, a
notifier and a board construct theirs in a registry of their own.
"""

from __future__ import annotations

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from streams.metric_definition import REGISTRY, Metric
from streams.metric_definition import counter as _counter
from streams.metric_definition import gauge as _gauge
from streams.metric_definition import seconds as _seconds

#: Imported from here by whoever exposes or reads metrics.
__all__ = ["REGISTRY", "Metric"]

_TASK = ("agent", "partition")
_COMMIT_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LAG_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_ACKNOWLEDGED_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_DELIVERED_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600)

# Every process
BUILD = _gauge("sla_build_info", "1", "1, with the release and the Python version of the process.", "version", "python")

# Worker: tasks
TOPICS_UNUSABLE = _gauge("sla_topics_unusable", "0 or 1", "1 while topics are missing, hidden or of a wrong shape.")
UNDECIDED = _gauge("sla_partitions_undecided", "partitions", "Partitions shared with another program: none decides.")
WITHOUT_LEADER = _gauge("sla_partitions_without_leader", "partitions", "Partitions of its topics that no broker leads.")
TASK_RECORDS = _counter("sla_task_records", "records", "Input records applied and committed.", *_TASK)
TASK_TIMERS = _counter("sla_task_timers", "timers", "Timers fired and committed.", *_TASK)
TASK_WRITES = _counter("sla_task_writes", "records", "Outputs and changelog rows committed.", *_TASK)
TASK_COMMIT = _seconds("sla_task_commit_seconds", "Duration of a transaction's commit.", _COMMIT_S, "agent")
TASK_TRANSACTION = _seconds(
    "sla_task_transaction_seconds",
    "Time from the first record or timer of a transaction to the end of its commit.",
    _COMMIT_S,
    "agent",
)
TASK_ARRIVAL_TO_COMMIT = _seconds(
    "sla_task_arrival_to_commit_seconds",
    "Time from the arrival in Kafka of a transaction's first record to the end of its commit: then its alerts can be "
    "read.",
    _LATENCY_S,
    "agent",
)
TASK_TIMER_LAG = _seconds(
    "sla_task_timer_lag_seconds", "Time from the earliest due timer of a transaction to its commit.", _LAG_S, "agent"
)
TASK_RECOVERY_SECONDS = _gauge("sla_task_recovery_seconds", "seconds", "Duration of the last recovery.", *_TASK)
TASK_RECOVERY_LEFT = _gauge(
    "sla_task_recovery_left",
    "offsets or rows",
    "Remaining changelog of a recovery: offsets to read (what=offsets) or rows to restore (what=rows).",
    *_TASK,
    "what",
)
TASK_LAG = _gauge(
    "sla_task_lag_records",
    "offsets",
    "Consumer lag: offsets of the input topics that the task has not applied yet. Only from the worker that runs it.",
    *_TASK,
)
TASK_OPEN_TRANSACTION = _gauge(
    "sla_task_open_transaction_seconds", "seconds", "Time that no reader got further: a transaction is open.", *_TASK
)
TASK_STALLED = _gauge("sla_task_stalled_seconds", "seconds", "Time without progress while inputs wait.", *_TASK)
TASK_QUEUED = _gauge("sla_task_queued_records", "records", "Records read and not yet applied.", *_TASK)
TASK_TIMESTAMPS_IGNORED = _counter(
    "sla_task_timestamps_ignored",
    "records",
    "Records whose timestamp does not count: not written by an agent, or ahead of the broker's clock.",
    *_TASK,
)
TASK_WAITING = _gauge("sla_task_waiting", "0 or 1", "1 while the next record waits for the schema registry.", *_TASK)
TASK_STATE = _gauge("sla_task_state", "0 or 1", "1 for the current state of the task, else 0.", *_TASK, "state")
TASK_FAILURES = _counter("sla_task_failures", "failures", "Failures after which a task restarted.", *_TASK, "kind")

# Worker: agents
INPUTS_TOTAL = _counter("sla_inputs", "records", "Inputs by result: applied, duplicate.", "agent", "result")
OUTPUTS_TOTAL = _counter("sla_outputs", "events", "Outputs by type.", "agent", "type")
FLAGGED_TOTAL = _counter(
    "sla_classifications_flagged",
    "events",
    "Classifications published with a flag such as `unknown_component` or `update_limit` (R20, R28).",
    "flag",
)
BREACHES = _counter(
    "sla_breaches", "deadlines", "Breached deadlines; those of loaded history are left out.", "severity", "metric"
)
BREACHES_RETRACTED = _counter(
    "sla_breaches_retracted",
    "deadlines",
    "Breaches that later evidence retracted; those of loaded history are left out.",
    "severity",
    "metric",
)
REMINDERS = _counter(
    "sla_reminders",
    "events",
    "Warnings before a deadline (type=sla.warning) and reminders of an update (type=sla.update_due); those of loaded "
    "history are left out.",
    "severity",
    "metric",
    "type",
)
STATEMENTS = _counter("sla_statements", "statements", "Statements of tenants' months by status.", "status")
CREDITS_ISSUED = _counter("sla_credits_issued", "credits", "Credits issued to billing.", "cause", "currency")
CREDITS_AMOUNT = _counter(
    "sla_credits_issued_minor_units",
    "minor units",
    "Amount of the credits issued to billing, in the smallest unit of the currency (cents, yen).",
    "currency",
)
INCIDENT_STATES_FAILED = _counter("sla_incident_states_failed", "incidents", "Changes whose state was not published.")
CONTRADICTORY_TIMES = _counter(
    "sla_contradictory_times", "states", "Published states of incidents that end before they begin or are opened."
)
UNKNOWN_REFERENCES_TOTAL = _counter(
    "sla_unknown_references",
    "references",
    "Unknown plans, components and tenants that events name: contracts, maintenance, and openings of incidents that "
    "also concern known tenants (R20, R23).",
    "kind",
)
REJECTED_TOTAL = _counter("sla_rejected", "records", "Rejected inputs by code (R27).", "agent", "code")
FORWARDED_TOTAL = _counter("sla_forwarded", "records", "Records forwarded to their own partition.", "agent")
REJECT_SHARE = _gauge(
    "sla_reject_share", "0 to 1", "Share of the latest inputs that was rejected.", "agent", "partition"
)
BACKFILL_HOLDING = _gauge(
    "sla_backfill_holding_seconds", "seconds", "How long a load of history has held due timers.", "agent", "partition"
)
LEDGER_WATERMARK = _gauge(
    "sla_ledger_watermark_seconds",
    "seconds",
    "Unix time up to which a ledger partition knows an incident partition's input to be applied.",
    "partition",
    "incident_partition",
)
LEDGER_WAITING = _gauge(
    "sla_ledger_waiting_seconds",
    "seconds",
    "How long the earliest statement of a ledger partition has waited for watermarks.",
    "partition",
)
LEDGER_EARLY_INPUTS = _gauge(
    "sla_ledger_early_inputs",
    "inputs",
    "Inputs of a ledger partition that wait because earlier ones may be missing.",
    "partition",
)
LEDGER_OUT_OF_TURN = _counter(
    "sla_ledger_inputs_out_of_turn",
    "inputs",
    "Inputs that a ledger partition applied before their turn, because too many waited (R26).",
    "partition",
)
REGISTRY_REQUESTS = _counter("sla_schema_registry_requests", "requests", "Requests to the schema registry.", "result")
REGISTRY_AWAITED = _gauge("sla_schema_ids_awaited", "ids", "Schema ids that the registry has not answered yet.")

# HTTP server of worker, intake, notifier and board
HTTP_CONNECTIONS = _gauge("sla_http_connections", "connections", "Open connections.")
HTTP_CONNECTIONS_CLOSED = _counter(
    "sla_http_connections_closed",
    "connections",
    "Connections closed by a limit: refused, displaced by a newer one, head_timeout, head_too_large, answer_not_read.",
    "reason",
)
HTTP_MALFORMED = _counter("sla_http_requests_malformed", "requests", "Requests that are no valid HTTP.")

# Intake
INTAKE_REQUESTS = _counter("sla_intake_requests", "requests", "Requests by source and status.", "source", "status")
INTAKE_PUBLISHED = _counter("sla_intake_published", "events", "Events acknowledged by Kafka.", "source", "type")
INTAKE_IGNORED = _counter("sla_intake_ignored", "items", "Items that the mapping classifies as no incident.", "source")
INTAKE_UNAPPLIED = _counter(
    "sla_intake_unapplied",
    "items",
    "Changes at the sender that no event can express, to be corrected by hand.",
    "source",
    "change",
)
INTAKE_REFUSED = _counter("sla_intake_refused", "items", "Items that can't be published (R27).", "source", "code")
INTAKE_TRUNCATED = _counter(
    "sla_intake_truncated_alerts",
    "alerts",
    "Alerts that Alertmanager left out of its notifications (max_alerts).",
    "source",
)
INTAKE_ACKNOWLEDGED = _seconds(
    "sla_intake_acknowledged_seconds",
    "Time from the arrival of a request's body to Kafka's acknowledgement.",
    _ACKNOWLEDGED_S,
)
INTAKE_HELD = _gauge(
    "sla_intake_held_bytes",
    "bytes",
    "Memory of bodies being read, of records not acknowledged, of what replies are about, and of the last requests.",
    "what",
)
INTAKE_CLOCK_AHEAD = _gauge("sla_intake_clock_ahead_seconds", "seconds", "How far its clock is ahead of Kafka's.")
INTAKE_HEARTBEATS = _counter("sla_intake_heartbeats", "heartbeats", "Heartbeats acknowledged by Kafka.", "source")
INTAKE_HEARTBEATS_LISTENING = _gauge(
    "sla_intake_heartbeats_listening",
    "0 or 1",
    "1 while this intake hears heartbeats and notices their absence, else 0. 0 where the mapping has no monitors.",
)
INTAKE_HEARTBEATS_PROBLEM = _gauge("sla_intake_heartbeats_problem", "0 or 1", "1: not all monitors are watched.")
INTAKE_MONITORS = _gauge(
    "sla_intake_monitors",
    "monitors",
    "Monitors that were heard and not deleted, by state: heard, silent (with an incident that has not ended), unmapped"
    " (silent too, and the mapping makes no incident of it).",
    "state",
)
INTAKE_MAPPING_INFO = _gauge(
    "sla_intake_mapping_info", "1", "1, with the first digits of the SHA-256 of the mapping file in force.", "digest"
)
INTAKE_MAPPING_LOADED = _gauge(
    "sla_intake_mapping_loaded_timestamp_seconds",
    "seconds",
    "Unix time at which the mapping and its secrets were last read successfully.",
)
INTAKE_MAPPING_OUTDATED = _gauge(
    "sla_intake_mapping_outdated",
    "0 or 1",
    "1 while the mapping file or a secret that it names can't be used, so that the one before stays in force; else 0.",
)
INTAKE_MAPPING_LOADS = _counter(
    "sla_intake_mapping_loads",
    "loads",
    "Times that the mapping and its secrets were read, by result: loaded, refused.",
    "result",
)

# Notifier
NOTIFY_TRIES = _counter(
    "sla_notify_tries", "attempts", "Attempts: delivered, failed (to be retried), refused.", "destination", "outcome"
)
NOTIFY_PARKED = _counter(
    "sla_notify_parked", "messages", "Messages given up and parked; see `sla notify parked list`.", "destination"
)
NOTIFY_FOLDED = _counter("sla_notify_folded", "alerts", "Alerts that were sent as part of a digest.", "destination")
NOTIFY_DISCARDED = _counter(
    "sla_notify_discarded", "messages", "Parked messages that were discarded, older than the retention.", "destination"
)
NOTIFY_EXPIRED = _counter(
    "sla_notify_expired", "records", "Alerts and closings that Kafka deleted unread, at most so many.", "destination"
)
NOTIFY_UNREADABLE = _counter("sla_notify_unreadable", "records", "Skipped records that are no event.", "destination")
NOTIFY_DELIVERED = _seconds(
    "sla_notify_delivered_seconds", "Time from reading an alert to its delivery.", _DELIVERED_S, "destination"
)
NOTIFY_ARRIVAL_TO_DELIVERY = _seconds(
    "sla_notify_arrival_to_delivery_seconds",
    "Time from the record time of an alert, at which its input arrived in Kafka or its timer fired, to its delivery.",
    _DELIVERED_S,
    "destination",
)
NOTIFY_PENDING = _gauge("sla_notify_pending", "messages", "Messages waiting for delivery.", "destination")
NOTIFY_BEHIND = _gauge(
    "sla_notify_behind_records", "records", "Consumer lag: Kafka records not read yet.", "destination"
)
NOTIFY_OPEN_PAGES = _gauge("sla_notify_open_pages", "incidents", "Incidents with an open page.", "destination")
NOTIFY_UP = _gauge(
    "sla_notify_up",
    "0 or 1",
    "1: the destination accepts messages; 0: its circuit is open, it answered 410, or Kafka is unavailable.",
    "destination",
)
NOTIFY_ROUTING_OUTDATED = _gauge(
    "sla_notify_routing_outdated",
    "0 or 1",
    "1 while the routing file or a secret that it names can't be used, so that the one before stays in force, or while "
    "another notifier's other routes are in force; else 0.",
)
NOTIFY_ROUTING_LOADS = _counter(
    "sla_notify_routing_loads",
    "loads",
    "Times that the routing file and its secrets were read, by result: loaded, refused.",
    "result",
)

# Board
BOARD_RECORDS = _counter("sla_board_records", "records", "Records applied to the read model and committed.", "topic")
BOARD_SKIPPED = _counter(
    "sla_board_skipped", "records", "Records skipped: not a valid event of their topic.", "topic", "code"
)
BOARD_LAG = _gauge(
    "sla_board_lag_records", "records", "Consumer lag: committed records that are not applied yet.", "topic"
)
BOARD_TRANSACTION = _seconds(
    "sla_board_transaction_seconds", "Duration of a database transaction that applies records.", _COMMIT_S
)
BOARD_ARRIVAL_TO_VISIBLE = _seconds(
    "sla_board_arrival_to_visible_seconds",
    "Time from the record time of a transaction's first alert, at which its input arrived in Kafka or its timer fired, "
    "until the board shows it. Not measured before the topics were read to their end.",
    _LATENCY_S,
)
OPEN_INCIDENTS = _gauge("sla_open_incidents", "incidents", "Open incidents, as the board has read them.", "severity")
OPEN_INCIDENTS_BREACHED = _gauge(
    "sla_open_incidents_breached", "incidents", "Open incidents with a breached deadline.", "severity"
)
NEXT_DEADLINE = _gauge(
    "sla_next_deadline_timestamp_seconds",
    "seconds",
    "Unix time of the next deadline of an open incident; minus time() it is the time left. Absent while no clock runs.",
    "severity",
)
BOARD_UP = _gauge(
    "sla_board_up", "0 or 1", "1 while topics are read and the database accepts what follows from them, else 0."
)
BOARD_REQUESTS = _seconds(
    "sla_board_request_seconds",
    "Duration of requests by surface (api, page, static, health) and status class; event streams are left out.",
    _REQUEST_S,
    "surface",
    "status",
)
BOARD_STREAMS = _gauge("sla_board_streams", "connections", "Open event streams.")
BOARD_SIGN_IN_FAILURES = _counter(
    "sla_board_sign_in_failures",
    "attempts",
    "Failed sign-ins: unknown_token, untrusted_address (headers of a proxy), provider, too_many (not looked at).",
    "reason",
)
BOARD_AUDIT_WAITING = _gauge("sla_board_audit_waiting_events", "events", "Audit events that Kafka has not taken yet.")

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Metric))

SCHEMA_REGISTRY_REQUESTS = REGISTRY_REQUESTS.counter()
SCHEMA_IDS_AWAITED = REGISTRY_AWAITED.gauge()


def measure_process(registry: CollectorRegistry) -> None:
    """Add what every process measures of itself: its release, and the usual `process_` and `python_gc_` metrics."""
    BUILD.gauge(registry).labels(version("sla-clocks"), platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
