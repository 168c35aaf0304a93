"""`sla doctor` on a real broker: topics that are missing, a deployment without a worker, a setting that differs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from on_kafka import PARTITIONS
from typer.testing import CliRunner

from cli.main import app
from connect.kafka_io import progress_reader
from streams.kafka import aiokafka_clients

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


def test_input_behind_an_open_transaction_of_another_program(
    broker: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers and lag know nothing of it: it can't be read."""
    monkeypatch.setenv("SLA_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("SLA_APP_ID", topics)
    shown = ["partitions", "--json", "--brokers", broker, "--prefix", topics]

    def open_transactions() -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(CliRunner().invoke(app, shown).stdout)["open_transactions"]
        return found

    with asyncio.Runner() as runner:
        producer = runner.run(_begun(broker, topics))
        assert open_transactions() == [], "those of publishers last seconds"
        monkeypatch.setattr(progress_reader, "LONG_WAIT", 0)
        (found,) = open_transactions()
        where = f"{topics}.contract-events-1 can't be read from offset 1 on"
        assert (f"{found['topic']}-{found['partition']}", found["offset"]) == (f"{topics}.contract-events-1", 1)
        ended = CliRunner().invoke(app, [each for each in shown if each != "--json"])
        assert (ended.exit_code, where in ended.stdout) == (1, True)
        (told,) = run(broker, topics)[1]["transactions"]
        assert (told["status"], str(told["what"]).startswith(where)) == ("fail", True)
        assert "describe-producers" in str(told["mend"])
        runner.run(producer.abort_transaction())
        runner.run(producer.stop())
    assert open_transactions() == []
    assert [each["status"] for each in run(broker, topics)[1]["transactions"]] == ["ok"]


async def _begun(broker: str, prefix: str) -> Any:
    """A publisher whose transaction is open behind one record."""
    producer = aiokafka_clients.transactional_producer(
        [broker], {}, transactional_id=f"{prefix}-publisher", transaction_timeout_ms=900_000
    )
    await producer.start()
    topic = f"{prefix}.contract-events"
    plain = aiokafka_clients.idempotent_producer([broker])
    await plain.start()
    await plain.send_and_wait(topic, b"before", partition=1)
    await plain.stop()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"open", partition=1)
    return producer
