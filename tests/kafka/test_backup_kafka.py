"""A backup of the input topics restores every record with its arrival; a damaged one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import KafkaProducer
from on_kafka import Run

from cli.kafka_io.topic_admin import actual_topics
from connect.kafka_io.reader import TopicRecord, read_topics
from streams.kafka.partitioner import partition_of
from streams.topics import declared

pytestmark = pytest.mark.kafka

CONTRACTS = Path(__file__).parents[2] / "examples" / "data" / "contracts.jsonl"
HISTORY = CONTRACTS.with_name("code-hosting-2022-2024.jsonl")
INPUTS = ("incident-events", "contract-events")


def inputs(broker: str, prefix: str) -> list[TopicRecord]:
    found = read_topics([broker], [f"{prefix}.{name}" for name in INPUTS])
    return [record._replace(topic=record.topic.removeprefix(f"{prefix}.")) for record in found]


@pytest.fixture
def backed_up(run: Run, broker: str, topics: str, tmp_path: Path) -> Path:
    """A backup of some history and of records that are no events."""
    assert run("publish", CONTRACTS, "--backfill").exit_code == 0
    some = "\n".join(HISTORY.read_text(encoding="utf-8").splitlines()[:200]).encode()
    assert run("publish", "-", "--backfill", stdin=some).exit_code == 0
    producer = KafkaProducer(bootstrap_servers=broker)
    producer.send(f"{topics}.incident-events", key=None, value=b"\xff\x00", headers=[("a", b"\xfe"), ("a", b"")])
    producer.send(f"{topics}.incident-events", key=b"\xff", value=None)
    producer.close()
    file = tmp_path / "inputs.jsonl"
    done = run("topics", "backup", file)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "incident-events: 202 records\ncontract-events: 3 records\n"
    assert run("topics", "backup", file).exit_code == 2
    return file


def test_a_restored_backup_is_what_was_backed_up(run: Run, broker: str, topics: str, backed_up: Path) -> None:
    before = sorted(inputs(broker, topics))
    again, more = f"{topics}-again", f"{topics}-more"
    done = run("topics", "restore", backed_up, "--prefix", again, "--partitions", "5")
    assert done.exit_code == 0, done.stderr
    assert sorted(inputs(broker, again)) == before
    refused = run("topics", "restore", backed_up, "--prefix", again, "--partitions", "5")
    assert refused.exit_code == 2
    assert f"{again}.contract-events has had records already; restore into a topic that is empty" in refused.stderr
    assert run("topics", "restore", backed_up, "--prefix", more, "--partitions", "7").exit_code == 0
    moved = [record for record in inputs(broker, more) if record.key not in {None, b"\xff"}]
    assert [record.partition for record in moved] == [partition_of((record.key or b"").decode(), 7) for record in moved]
    keep = [(record.arrival, record.key, record.value, record.headers) for record in before]
    assert sorted(map(str, keep)) == sorted(
        str((record.arrival, record.key, record.value, record.headers)) for record in inputs(broker, more)
    )
    specs = [spec for spec in declared(again, 5) if spec.is_input]
    stamped = {each.config["message.timestamp.type"] for each in actual_topics(broker, specs).values()}
    assert stamped == {"LogAppendTime"}
