"""The table of metrics: base units in names, a help text and bounded labels for each, nothing measured beside it."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry

from board.metrics import BoardMetrics
from connect.intake.metrics import IntakeMetrics
from connect.notify.metrics import NotifyMetrics
from streams import metrics
from streams.metrics import ALL, Metric
from streams.runtime import metrics as task_metrics

BASE_UNITS = {"seconds", "bytes"}
OTHER_UNITS = r"(?:milli|micro|nano)seconds?|_ms\b|_us\b|minutes|hours|kib|mib"
IDS = {"incident", "tenant", "incident_id", "tenant_id", "key", "offset"}


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
    assert task_metrics.RECORDS in metrics.REGISTRY._collector_to_names
    registries = (metrics.REGISTRY, *(each().registry for each in (IntakeMetrics, NotifyMetrics, BoardMetrics)))
    measured = set().union(*map(names_in, registries))
    assert measured == {metric.name for metric in ALL}
