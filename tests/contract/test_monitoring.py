"""What is made for monitoring: generated files are current, and name only metrics that exist."""

from __future__ import annotations

import pytest

from deploy.monitoring import generate

FILES = generate.files()


@pytest.mark.parametrize("name", FILES)
def test_generated_files_are_current(name: str) -> None:
    assert (generate.ROOT / name).read_text("utf-8") == FILES[name], "run python -m deploy.monitoring.generate"


def test_every_metric_has_its_process_and_its_row() -> None:
    table = FILES["docs/metrics.md"]
    for name in ("sla_breaches_total", "sla_open_incidents", "sla_task_lag_records", "sla_notify_up"):
        assert table.count(f"| `{name}` |") == 1
    heads = [line for line in table.splitlines() if line.startswith("## ")]
    assert len(heads) == len(set(heads)) == 6
