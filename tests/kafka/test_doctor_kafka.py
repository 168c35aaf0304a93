"""`sla doctor` on a real broker: topics that are missing, a deployment without a worker, a setting that differs."""

from __future__ import annotations

import json

import pytest
from on_kafka import PARTITIONS
from typer.testing import CliRunner

from cli.main import app

pytestmark = pytest.mark.kafka


def run(broker: str, prefix: str) -> tuple[int, dict[str, list[dict[str, str | None]]]]:
    ended = CliRunner().invoke(app, ["doctor", "--json", "--brokers", broker, "--prefix", prefix])
    found: dict[str, list[dict[str, str | None]]] = {}
    for line in ended.stdout.splitlines():
        each = json.loads(line)
        found.setdefault(each["check"], []).append(each)
    return ended.exit_code, found


def test_missing_topics_are_named(broker: str, prefix: str) -> None:
    code, found = run(broker, f"{prefix}sla")
    assert code == 1
    assert [each["status"] for each in found["brokers"]] == ["ok", "ok"]
    assert "API of Kafka" in str(found["brokers"][1]["what"])
    (missing,) = found["topics"]
    assert str(missing["what"]).startswith(f"missing: {prefix}sla.incident-events")
    assert missing["mend"] == "create them: sla topics apply"


def test_a_deployment_without_a_worker(broker: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("SLA_APP_ID", topics)
    code, found = run(broker, topics)
    assert code == 1
    statuses = {check: [each["status"] for each in entries] for check, entries in found.items()}
    assert statuses["topics"] == statuses["partitions"] == statuses["clock"] == statuses["policies"] == ["ok"]
    assert statuses["workers"] == ["fail"]
    assert found["workers"][0]["mend"] == "start one: sla worker"
    monkeypatch.setenv("SLA_PARTITIONS", str(PARTITIONS + 1))
    _, found = run(broker, topics)
    assert found["partitions"][0]["mend"] == f"set SLA_PARTITIONS={PARTITIONS}"
