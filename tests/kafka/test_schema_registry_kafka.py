"""The product with a real Apicurio registry and a real broker: both framings in one topic, and the registry away."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apicurio import Apicurio
from kafka import KafkaProducer
from on_kafka import tailed
from typer.testing import CliRunner

from cli.events.publish_lines import publish_lines
from cli.local.stack import Stack, StackError
from cli.main import app
from connect.client import IncidentPublisher, SchemaRegistry, Who, consume_alerts
from connect.kafka_io.reader import TopicRecord, read_topics
from schemas import registry as schema_files
from streams.kafka.partitioner import partition_of
from streams.schema_registry.client import RegistryClient
from streams.schema_registry.subjects import subject_of
from streams.serde.cloudevents_json import parse_line
from streams.serde.codec import confluent_head
from streams.serde.input_records import InputRecord, input_record
from streams.sla.instants import MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource
from streams.topics import TOPIC_OF
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

PARTITIONS = 2
INPUT = "sla.incident-events"
#: Incidents of the one partition and of the other.
HERE, THERE = (
    [name for name in (f"inc-{number}" for number in range(40)) if partition_of(name, PARTITIONS) == partition]
    for partition in range(PARTITIONS)
)


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apicurio]:
    """A registry that is being started; `wait` for it. Who kills it starts it again."""
    with Apicurio(tmp_path_factory.mktemp("apicurio")) as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, apicurio: Apicurio) -> Iterator[Stack]:
    settings = {
        "SLA_SCHEMA_REGISTRY_URL": apicurio.url,
        "SLA_SCHEMA_REGISTRY_TIMEOUT": "PT30S",
        "SLA_MARK_EVERY": "PT1H",
        "SLA_SESSION_TIMEOUT": "PT4S",
    }
    with Stack(tmp_path / "kafka", environment=settings, partitions=PARTITIONS) as running:
        running.apply_topics()
        apicurio.wait()
        yield running


def opened(incident: str, at: int) -> str:
    data = {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"}
    event = {"specversion": "1.0", "id": "o", "type": "incident.opened", "source": "/m", "subject": incident}
    return json.dumps({**event, "time": format_rfc3339(at), "data": data})


def answered(incident: str, at: int) -> InputRecord:
    line = {"specversion": "1.0", "id": "r", "type": "incident.responded", "source": "/m", "subject": incident}
    parsed = parse_line(json.dumps({**line, "time": format_rfc3339(at), "data": {"who": {"kind": "support"}}}))
    ready = input_record(*parsed)  # type: ignore[misc]
    assert isinstance(ready, InputRecord)
    return ready


def put(stack: Stack, record: InputRecord, schema_id: int) -> None:
    """As another team's producer writes it, with a schema of its own."""
    key = record.event.subject
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap)
    value = confluent_head(schema_id) + record.value[10:]
    producer.send(INPUT, key=key.encode(), value=value, partition=partition_of(key, PARTITIONS)).get(TIMEOUT_S)
    producer.close()


def lying(stack: Stack, topic: str) -> list[TopicRecord]:
    return list(read_topics([stack.bootstrap], [f"sla.{topic}"]))


def until(condition: Callable[[], bool], told: str) -> None:
    wait(condition, lambda: told, every_s=0.25)  # reading costs the time of those that are waited for


def said(stack: Stack, topic: str) -> set[str]:
    """The incidents that the topic's records are about."""
    return {(record.key or b"").decode() for record in lying(stack, topic)}


def why_unready(stack: Stack) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.health_port}/ready", timeout=TIMEOUT_S) as page:
            return str(page.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())


def met(stack: Stack, incident: str) -> bool:
    return incident in said(stack, "alerts")


def test_a_worker_with_a_registry_that_goes_away_and_comes_back(
    stack: Stack, apicurio: Apicurio, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = SchemaRegistry(apicurio.url, timeout_s=30)
    client, now = RegistryClient(access), SystemTimeSource().now() - MINUTE
    stack.start_worker()
    assert {client.compatibility(subject_of(each, "sla")) for each in TOPIC_OF} == {"FULL_TRANSITIVE"}

    # Both framings in one topic, as during a switch: opened without the registry, answered with it.
    publish_lines([opened(name, now) for name in [*HERE, *THERE]], [stack.bootstrap])
    with IncidentPublisher(stack.bootstrap, "/desk", prefix="sla", schema_registry=access) as desk:
        for name in (HERE[0], THERE[0]):
            desk.responded(name, who=Who("support", "kim"))
    until(lambda: met(stack, HERE[0]) and met(stack, THERE[0]), "what was answered with a schema id was not applied")
    assert {record.value[:1] for record in lying(stack, "incident-events") if record.value} == {b"\xc3", b"\0"}
    until(lambda: said(stack, "incidents") == {*HERE, *THERE}, "not all were classified")
    for topic in ("incidents", "alerts", "impacts"):
        assert {record.value[:1] for record in lying(stack, topic) if record.value} == {b"\0"}
    assert {record.value[:1] for record in lying(stack, "incidents-changelog") if record.value} <= {b"\xc3", b"{"}

    monkeypatch.setenv("SLA_BROKERS", stack.bootstrap)
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_URL", apicurio.url)

    def run(*words: object) -> Any:
        return CliRunner().invoke(app, list(map(str, words)))

    assert len(tailed(run, "incident-events")) == len(HERE) + len(THERE) + 2
    with consume_alerts(stack.bootstrap, group="on-call", schema_registry=access) as alerts:
        assert next(iter(alerts)).type == "sla.met"

    # A schema of another team's, which this worker has not met; then the registry is killed.
    theirs = schema_files.load().latest["incident.responded"].definition | {"doc": "As the other team has it."}
    foreign = client.register("theirs-incident.responded", theirs)
    apicurio.kill()
    put(stack, answered(HERE[1], now), foreign)
    put(stack, answered(HERE[2], now), client_id_of(stack, HERE[0]))
    until(lambda: f"schema id {foreign} is not known yet" in why_unready(stack), "the task does not say that it waits")
    put(stack, answered(THERE[1], now), client_id_of(stack, HERE[0]))
    until(lambda: met(stack, THERE[1]), "the registry's outage stops what does not need it")
    assert not met(stack, HERE[1])
    assert not met(stack, HERE[2]), "what lies behind a record that waits was applied before it"
    apicurio.start()
    apicurio.wait()
    until(lambda: met(stack, HERE[1]) and met(stack, HERE[2]), "what waited was not applied when the registry was back")
    until(stack.ready, "the worker is not ready again")
    assert lying(stack, "rejected") == []

    # The registry says that there is no such schema: that is a reject.
    put(stack, answered(THERE[2], now), 987_654)
    until(lambda: bool(lying(stack, "rejected")), "an id that the registry lacks was not rejected")
    (refused,) = lying(stack, "rejected")
    assert dict(refused.headers)["sla_error_code"] == b"unknown_schema"
    assert stack.stop_worker() == 0

    subject = subject_of("credit.issued", "sla")
    client.set_compatibility(subject, "NONE")
    with pytest.raises(StackError, match=f"code 2.*subject {subject} at .* has compatibility NONE"):
        stack.start_worker()


def client_id_of(stack: Stack, incident: str) -> int:
    """The schema id that our own client wrote an incident's answer with."""
    values = [each.value for each in lying(stack, "incident-events") if (each.key or b"").decode() == incident]
    return next(int.from_bytes(value[1:5], "big") for value in values if value and value[:1] == b"\0")
