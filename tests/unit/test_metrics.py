"""The table of metrics: base units in names, a help text and bounded labels for each, nothing measured beside it."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version

import pytest
from prometheus_client import CollectorRegistry

from agents import metrics as agent_metrics
from board.metrics import BoardMetrics
from connect.intake.metrics import IntakeMetrics
from connect.notify.metrics import NotifyMetrics
from streams import metrics
from streams.metrics import ALL, Metric
from streams.runtime import metrics as task_metrics
from streams.runtime import worker

BASE_UNITS = {"seconds", "bytes"}
OTHER_UNITS = r"(?:milli|micro|nano)seconds?|_ms\b|_us\b|minutes|hours|kib|mib"
IDS = {"incident", "tenant", "incident_id", "tenant_id", "key", "offset"}


#: What `measure_process` adds beside the table, by the libraries' own names.
OF_THE_PROCESS = ("process_", "python_gc_")


def names_in(registry: CollectorRegistry) -> set[str]:
    return {family.name for family in registry.collect()}


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_each_metric_has_a_base_unit_a_help_text_and_no_ids(metric: Metric) -> None:
    assert re.fullmatch(r"sla_[a-z]+(_[a-z]+)*", metric.name)
    assert not re.search(OTHER_UNITS, metric.name)
    assert metric.unit not in BASE_UNITS or metric.name.endswith(f"_{metric.unit}")
    assert metric.help.endswith(".") or "`" in metric.help
    assert not IDS & set(metric.labels)


def test_names_are_unique() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)


def test_every_process_measures_what_the_table_says_and_nothing_else() -> None:
    for module, constant in ((task_metrics, "RECORDS"), (agent_metrics, "BREACHES")):
        assert getattr(module, constant) in metrics.REGISTRY._collector_to_names
    assert worker.REGISTRY is metrics.REGISTRY
    registries = (metrics.REGISTRY, *(each().registry for each in (IntakeMetrics, NotifyMetrics, BoardMetrics)))
    measured = set().union(*map(names_in, registries))
    assert {name for name in measured if not name.startswith(OF_THE_PROCESS)} == {metric.name for metric in ALL}


def test_every_process_tells_its_release_and_its_own_resources() -> None:
    for registry in (metrics.REGISTRY, *(each().registry for each in (IntakeMetrics, NotifyMetrics, BoardMetrics))):
        names = names_in(registry)
        assert {"sla_build_info", "process_resident_memory_bytes", "process_cpu_seconds"} <= names
        labels = {"version": version("sla-clocks"), "python": platform.python_version()}
        assert registry.get_sample_value("sla_build_info", labels) == 1
