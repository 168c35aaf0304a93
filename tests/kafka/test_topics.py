"""`sla topics` against a real broker: creates, compares, repairs settings, leaves partitions alone."""

import json

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from typer.testing import CliRunner

from cli.kafka_io.topic_admin import actual_topics, apply_topics, differences_of
from cli.kafka_io.topics import topics_app
from streams.sla.instants import HOUR
from streams.time_source import SystemTimeSource
from streams.topics import TopicSpec, declared
from tests.waiting import wait

pytestmark = pytest.mark.kafka


@pytest.fixture
def admin(broker: str):
    client = KafkaAdminClient(bootstrap_servers=broker)
    yield client
    client.close()


def wait_for_setting(broker: str, spec: TopicSpec, name: str, value: str) -> None:
    """Until brokers say so: they hear of altered settings from the controller, a moment later."""

    def found() -> str:
        return actual_topics(broker, [spec])[spec.name].config[name]

    wait(lambda: found() == value, found)


def test_apply_makes_every_topic_as_declared_and_then_nothing(broker: str, prefix: str) -> None:
    specs = declared(f"{prefix}sla", partitions=3)
    first = apply_topics(broker, specs)
    assert sorted(first.created) == sorted(spec.name for spec in specs)
    assert first.fine
    actual = actual_topics(broker, specs)
    assert [differences_of(spec, actual.get(spec.name)) for spec in specs] == [[]] * len(specs)
    second = apply_topics(broker, specs)
    assert (second.created, second.altered, second.differing) == ([], [], [])


def test_rows_of_a_notifier_whose_clock_is_hours_ahead_are_taken(broker: str, prefix: str) -> None:
    """It sent nothing: rows are written before messages, and Kafka refuses times that are an hour ahead."""
    spec = next(each for each in declared(f"{prefix}sla", partitions=1) if each.name.endswith(".notifications"))
    apply_topics(broker, [spec])
    producer, now = KafkaProducer(bootstrap_servers=broker), SystemTimeSource().now() // 1_000
    try:
        sent = producer.send(spec.name, key=b"k", value=b"v", timestamp_ms=now + 2 * HOUR // 1_000).get(30)
    finally:
        producer.close()
    assert abs(sent.timestamp - now) < HOUR // 1_000


def test_apply_repairs_settings_but_never_partitions(broker: str, prefix: str, admin: KafkaAdminClient) -> None:
    specs = declared(f"{prefix}sla", partitions=2)
    apply_topics(broker, specs)
    name = specs[0].name
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})])
    wait_for_setting(broker, specs[0], "retention.ms", "1000")

    wider = declared(f"{prefix}sla", partitions=4)
    report = apply_topics(broker, wider)
    assert [(each.topic, each.setting, each.actual) for each in report.altered] == [(name, "retention.ms", "1000")]
    assert {(each.setting, each.declared, each.actual) for each in report.differing} == {("partitions", "4", "2")}
    assert len(report.differing) == len(specs)
    assert not report.fine
    wait_for_setting(broker, specs[0], "retention.ms", "-1")
    assert actual_topics(broker, specs)[name].partitions == 2


def test_the_commands_say_what_they_found_and_leave_with_it(broker: str, prefix: str) -> None:
    options = ["--brokers", broker, "--prefix", f"{prefix}sla", "--partitions", "2"]
    run = CliRunner().invoke
    before = run(topics_app, ["show", *options, "--json"])
    assert before.exit_code == 1
    assert {each["actual"] for topic in json.loads(before.stdout) for each in topic["differing"]} == {"missing"}

    applied = run(topics_app, ["apply", *options])
    assert applied.exit_code == 0
    assert "16 topics: 16 created, 0 settings changed, 0 differences remain" in applied.stdout

    shown = run(topics_app, ["show", *options])
    assert shown.exit_code == 0
    assert f"{prefix}sla.incident-events" in shown.stdout
    assert "for ever" in shown.stdout

    narrower = run(topics_app, ["apply", *options[:-1], "1", "--json"])
    assert narrower.exit_code == 1
    assert {each["setting"] for each in json.loads(narrower.stdout)["differing"]} == {"partitions"}
