"""The text of docs/metrics.md, from the table of metrics (streams/metrics.py)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from streams.metrics import ALL, Metric

_INTRODUCTION = """\
# Metrics

<!-- Written by `python -m deploy.monitoring.generate` from streams/metrics.py. -->

Every process serves its metrics at `/metrics` in Prometheus' text format: worker, intake, notifier and board. Names \
carry base units; labels hold configured names, partitions and closed lists, never ids of incidents or tenants. Beside \
these every process has the usual `process_…` metrics (CPU seconds, resident memory, open files, start time) and \
`python_gc_…`.

Metrics of open incidents come from the board, which holds all of them; every board shows the same, so take `max`, not \
`sum`. All other figures are of one process: sum them. A counter starts at 0 with its process; a worker that repeats a \
transaction after a failure counts its outputs again.

[Alert rules and dashboards](operations.md#alerts-and-dashboards) use these names.
"""
#: What the first words of names say of the process; the first that fits.
_PROCESSES = {
    "sla_build": "Every process",
    "sla_http": "Every process",
    "sla_intake": "Intake",
    "sla_notify": "Notifier",
    "sla_board": "Board",
    "sla_open_incidents": "Board",
    "sla_next_deadline": "Board",
    "sla_task": "Worker: tasks",
    "sla_": "Worker: agents",
}


def exported_name(metric: Metric) -> str:
    """The name at /metrics: counters end with `_total`."""
    return f"{metric.name}_total" if metric.kind == "counter" else metric.name


def series_names() -> frozenset[str]:
    """Every name of a series that /metrics has: a histogram has three."""
    names = set()
    for metric in ALL:
        name = exported_name(metric)
        names |= {f"{name}_{each}" for each in ("bucket", "count", "sum")} if metric.kind == "histogram" else {name}
    return frozenset(names)


def document() -> str:
    """The text of docs/metrics.md."""
    order = list(dict.fromkeys(_PROCESSES.values()))
    by_process = sorted(ALL, key=lambda metric: order.index(_process(metric)))
    parts = [_INTRODUCTION]
    for process, found in groupby(by_process, _process):
        parts.append(f"## {process}\n\n{_table(found)}")
    return "\n".join(parts)


def _process(metric: Metric) -> str:
    return next(process for prefix, process in _PROCESSES.items() if metric.name.startswith(prefix))


def _table(metrics: Iterable[Metric]) -> str:
    rows = [("metric", "kind", "unit", "labels", "meaning"), ("---",) * 5]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append((f"`{exported_name(metric)}`", metric.kind, metric.unit, labels, metric.help))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
