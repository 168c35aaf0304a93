"""The dashboards of Grafana: a list of panels for each, from which their JSON is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are PromQL by legend; `unit` is Grafana's name of a unit; `width` in columns of 24."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: rows of panels by the title of the row."""

    uid: str
    title: str
    rows: dict[str, tuple[Panel, ...]] = field(default_factory=dict)


def _quantiles(histogram: str, labels: str = "", shares: tuple[str, ...] = ("0.5", "0.95", "0.99")) -> dict[str, str]:
    by = f"le, {labels}" if labels else "le"
    legend = "".join(f" {{{{{label.strip()}}}}}" for label in labels.split(",") if label)
    return {
        f"p{float(share) * 100:g}{legend}": f"histogram_quantile({share}, "
        f"sum by ({by}) (rate({histogram}_bucket[$__rate_interval])))"
        for share in shares
    }


def _rate(counter: str, *labels: str, function: str = "rate", window: str = "$__rate_interval") -> dict[str, str]:
    legend = " ".join(f"{{{{{label}}}}}" for label in labels) or "all"
    by = f" by ({', '.join(labels)})" if labels else ""
    return {legend: f"sum{by} ({function}({counter}[{window}]))"}


_LAST_DAY = {"function": "increase", "window": "24h"}
_P95 = ("0.95",)

DASHBOARDS: Final = (
    Dashboard(
        "sla-business",
        "SLA clocks: targets and credits",
        {
            "Now": (
                Panel(
                    "Open incidents", {"{{severity}}": "max by (severity) (sla_open_incidents)"}, kind="stat", width=6
                ),
                Panel(
                    "Open with a breached deadline",
                    {"{{severity}}": "max by (severity) (sla_open_incidents_breached)"},
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Time to the next deadline",
                    {"{{severity}}": "min by (severity) (sla_next_deadline_timestamp_seconds) - time()"},
                    "s",
                    "stat",
                    6,
                    "Of an open incident of that severity; no figure while no clock runs. Negative: the deadline has "
                    "passed and the board has not read the breach yet.",
                ),
                Panel(
                    "Breaches, last 24 h",
                    _rate("sla_breaches_total", "severity", **_LAST_DAY),
                    kind="stat",
                    width=6,
                ),
            ),
            "Deadlines": (
                Panel("Open incidents", {"{{severity}}": "max by (severity) (sla_open_incidents)"}),
                Panel(
                    "Breaches per hour",
                    _rate("sla_breaches_total", "severity", "metric", function="increase", window="1h"),
                ),
                Panel(
                    "Warnings and reminders per hour",
                    _rate("sla_reminders_total", "severity", "type", function="increase", window="1h"),
                ),
                Panel(
                    "Retracted breaches per hour",
                    _rate("sla_breaches_retracted_total", "severity", "metric", function="increase", window="1h"),
                ),
                Panel(
                    "Flagged classifications per hour",
                    _rate("sla_classifications_flagged_total", "flag", function="increase", window="1h"),
                    explanation="unknown_component, unknown_plan and no_contract call for a look at publishers, "
                    "policies or contracts.",
                ),
            ),
            "Credits": (
                Panel("Statements, last 24 h", _rate("sla_statements_total", "status", **_LAST_DAY), kind="stat"),
                Panel(
                    "Credits issued, last 24 h", _rate("sla_credits_issued_total", "cause", **_LAST_DAY), kind="stat"
                ),
                Panel(
                    "Amount issued, last 24 h",
                    _rate("sla_credits_issued_minor_units_total", "currency", **_LAST_DAY),
                    kind="stat",
                    explanation="In the smallest unit of the currency, such as cents or yen.",
                ),
                Panel(
                    "Statements that wait for an incident partition",
                    {"partition {{partition}}": "max by (partition) (sla_ledger_waiting_seconds)"},
                    "s",
                ),
                Panel(
                    "Inputs that wait for an incident partition",
                    {"partition {{partition}}": "max by (partition) (sla_ledger_early_inputs)"},
                    explanation="Each takes about 0.9 KB of memory until that partition has caught up.",
                ),
            ),
            "From arrival to the people": (
                Panel(
                    "Until it is decided",
                    _quantiles("sla_task_arrival_to_commit_seconds", "agent"),
                    "s",
                    explanation="From the arrival of an input in Kafka to the commit of what follows from it.",
                ),
                Panel(
                    "Until it is delivered",
                    _quantiles("sla_notify_arrival_to_delivery_seconds", "destination"),
                    "s",
                    explanation="From the record time of an alert to its delivery.",
                ),
                Panel("Until the board shows it", _quantiles("sla_board_arrival_to_visible_seconds"), "s"),
            ),
        },
    ),
    Dashboard(
        "sla-operations",
        "SLA clocks: operations",
        {
            "Workers": (
                Panel("Tasks by state", {"{{state}}": "sum by (state) (sla_task_state)"}),
                Panel("Consumer lag", {"{{agent}}": "sum by (agent) (sla_task_lag_records)"}),
                Panel("Records per second", _rate("sla_task_records_total", "agent"), "ops"),
                Panel("Transaction time", _quantiles("sla_task_transaction_seconds", "agent"), "s"),
                Panel("Commit time", _quantiles("sla_task_commit_seconds", "agent"), "s"),
                Panel("Timer lag", _quantiles("sla_task_timer_lag_seconds", "agent"), "s"),
                Panel(
                    "Recovery: left",
                    {"{{agent}} {{what}}": "sum by (agent, what) (sla_task_recovery_left)"},
                    explanation="Offsets to read and rows to restore; 0 once all tasks run.",
                ),
                Panel(
                    "Recovery: duration of the last",
                    {"{{agent}}": "max by (agent) (sla_task_recovery_seconds)"},
                    "s",
                ),
                Panel("Failures per hour", _rate("sla_task_failures_total", "kind", function="increase", window="1h")),
                Panel("Records read and not applied", {"{{agent}}": "sum by (agent) (sla_task_queued_records)"}),
                Panel("Outputs per second", _rate("sla_outputs_total", "type"), "ops"),
                Panel("Tasks that wait for the schema registry", {"{{agent}}": "sum by (agent) (sla_task_waiting)"}),
            ),
            "Rejects": (
                Panel("Rejects per second by code", _rate("sla_rejected_total", "code"), "ops"),
                Panel(
                    "Share of the latest inputs that was rejected",
                    {"{{agent}}": "max by (agent) (sla_reject_share)"},
                    "percentunit",
                ),
                Panel(
                    "Ignored timestamps per hour",
                    _rate("sla_task_timestamps_ignored_total", "agent", function="increase", window="1h"),
                ),
            ),
            "Notifier": (
                Panel("Destination accepts messages", {"{{destination}}": "min by (destination) (sla_notify_up)"}),
                Panel("Waiting messages", {"{{destination}}": "sum by (destination) (sla_notify_pending)"}),
                Panel("Records not read yet", {"{{destination}}": "sum by (destination) (sla_notify_behind_records)"}),
                Panel("Attempts per second", _rate("sla_notify_tries_total", "destination", "outcome"), "ops"),
                Panel(
                    "Parked per hour",
                    _rate("sla_notify_parked_total", "destination", function="increase", window="1h"),
                ),
                Panel("From reading to delivery", _quantiles("sla_notify_delivered_seconds", "destination", _P95), "s"),
            ),
            "Intake": (
                Panel("Requests per second", _rate("sla_intake_requests_total", "source", "status"), "ops"),
                Panel("Until Kafka acknowledges", _quantiles("sla_intake_acknowledged_seconds"), "s"),
                Panel("Memory of requests", {"{{what}}": "sum by (what) (sla_intake_held_bytes)"}, "bytes"),
            ),
            "Board": (
                Panel("Records not applied yet", {"{{topic}}": "max by (topic) (sla_board_lag_records)"}),
                Panel("Database transaction", _quantiles("sla_board_transaction_seconds"), "s"),
                Panel("Requests, 95%", _quantiles("sla_board_request_seconds", "surface", _P95), "s"),
            ),
            "Processes": (
                Panel(
                    "Resident memory",
                    {"{{instance}}": "process_resident_memory_bytes and on (instance) sla_build_info"},
                    "bytes",
                ),
                Panel(
                    "CPU",
                    {
                        "{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) "
                        "sla_build_info"
                    },
                ),
                Panel("HTTP connections", {"{{instance}}": "sum by (instance) (sla_http_connections)"}),
                Panel(
                    "Connections closed by a limit per hour",
                    _rate("sla_http_connections_closed_total", "reason", function="increase", window="1h"),
                ),
                Panel("Releases", {"{{version}}": "count by (version) (sla_build_info)"}, kind="stat"),
            ),
        },
    ),
)


def as_data(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana's provisioning reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows.items():
        panels.append(_row(title, len(panels) + 1, y))
        x, y, tallest = 0, y + 1, 0
        for panel in row:
            height = 4 if panel.kind == "stat" else 8
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            tallest = max(tallest, height)
            panels.append(_panel(panel, len(panels) + 1, _at(x, y, panel.width, height)))
            x += panel.width
        y += tallest
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["sla-clocks"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    position = _at(0, y, _COLUMNS, 1)
    return {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": position}


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, Any]:
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "colorMode": "none"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.explanation,
        "datasource": _SOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }
