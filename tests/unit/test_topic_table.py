"""The declared topics are those of the public contract, and a difference is found and named."""

from datetime import timedelta

import pytest

from cli.kafka_io.topic_admin import ActualTopic, TopicDifference, differences_of
from streams.runtime.settings import RuntimeSettings
from streams.topics import TopicSpec, declared

CONTRACT = {
    "sla.incident-events",
    "sla.contract-events",
    "sla.incidents",
    "sla.alerts",
    "sla.impacts",
    "sla.incident-state",
    "sla.incidents-internal",
    "sla.ledger-internal",
    "sla.credits",
    "sla.tenant-months",
    "sla.rejected",
    "sla.notifications",
    "sla.heartbeats",
    "sla.audit",
    "sla.incidents-changelog",
    "sla.ledger-changelog",
}
#: By the broker: inputs, and what processes have to remember.
STAMPED = {"sla.incident-events", "sla.contract-events", "sla.heartbeats", "sla.notifications"}
BY_NAME = {spec.name: spec for spec in declared()}


def as_declared(spec: TopicSpec) -> ActualTopic:
    return ActualTopic(spec.partitions, spec.replication, spec.config())


def test_the_table_holds_the_topics_of_the_contract() -> None:
    assert set(BY_NAME) == CONTRACT
    assert {spec.partitions for spec in BY_NAME.values()} == {8}


@pytest.mark.parametrize("name", ["sla.incident-events", "sla.contract-events"])
def test_inputs_are_kept_for_ever_and_stamped_by_the_broker(name: str) -> None:
    config = BY_NAME[name].config()
    assert config["retention.ms"] == "-1"
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["cleanup.policy"] == "delete"


def test_inputs_are_the_two_topics_that_everything_follows_from() -> None:
    assert {spec.name for spec in declared() if spec.is_input} == {"sla.incident-events", "sla.contract-events"}


def test_heartbeats_are_stamped_by_the_broker_and_the_newest_row_of_each_key_stays() -> None:
    config = BY_NAME["sla.heartbeats"].config()
    assert (config["message.timestamp.type"], config["cleanup.policy"]) == ("LogAppendTime", "compact")


def test_a_row_of_a_notifier_drops_none_before_a_late_one_can_be_repaired() -> None:
    """The broker's clock tells when it came: its writer may have been suspended for hours."""
    config = BY_NAME["sla.notifications"].config()
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert int(config["min.compaction.lag.ms"]) >= 10 * 60 * 1000
    assert int(config["delete.retention.ms"]) > int(config["min.compaction.lag.ms"])


@pytest.mark.parametrize("name", sorted(CONTRACT - STAMPED))
def test_derived_records_carry_the_arrival_that_caused_them(name: str) -> None:
    assert BY_NAME[name].config()["message.timestamp.type"] == "CreateTime"  # R32


@pytest.mark.parametrize("name", ["sla.incidents-internal", "sla.ledger-internal"])
def test_what_agents_read_is_never_deleted_before_they_read_it(name: str) -> None:
    assert BY_NAME[name].config()["retention.ms"] == "-1"


@pytest.mark.parametrize("name", ["sla.incidents", "sla.alerts", "sla.impacts", "sla.rejected"])
def test_what_can_be_recomputed_ends_after_the_lateness_horizon(name: str) -> None:
    retention = BY_NAME[name].retention
    assert retention is not None
    assert retention > timedelta(days=35)


@pytest.mark.parametrize("agent", ["incidents", "ledger"])
def test_changelogs_are_compacted_and_named_as_the_runtime_names_them(agent: str) -> None:
    spec = BY_NAME[RuntimeSettings("sla", ()).changelog(agent)]
    config = spec.config()
    assert config["cleanup.policy"] == "compact"
    assert "retention.ms" not in config


@pytest.mark.parametrize("name", ["sla.incident-state", "sla.tenant-months"])
def test_a_reader_that_was_away_for_a_weekend_still_sees_what_was_deleted(name: str) -> None:
    config = BY_NAME[name].config()
    assert config["cleanup.policy"] == "compact"
    assert int(config["delete.retention.ms"]) > 3 * 24 * 60 * 60 * 1000
    assert BY_NAME["sla.incidents-changelog"].config()["delete.retention.ms"] == str(60 * 60 * 1000)


def test_a_full_input_fits_where_it_is_forwarded_or_rejected() -> None:
    largest = int(BY_NAME["sla.incident-events"].config()["max.message.bytes"])
    for name in (
        "sla.incidents-internal",
        "sla.ledger-internal",
        "sla.rejected",
        "sla.impacts",
        "sla.incidents-changelog",
    ):
        assert int(BY_NAME[name].config()["max.message.bytes"]) > largest + 64 * 1024


def test_prefix_partitions_and_replication_are_the_deployments() -> None:
    specs = declared("eu.sla", 32, 3)
    assert all(spec.name.startswith("eu.sla.") for spec in specs)
    assert {(spec.partitions, spec.replication) for spec in specs} == {(32, 3)}
    assert {spec.config()["min.insync.replicas"] for spec in specs} == {"2"}


def test_every_topic_says_why_it_is_kept_so_long() -> None:
    assert all(spec.retention_why and spec.carries and spec.writer and spec.key for spec in declared())


def test_what_is_as_declared_does_not_differ() -> None:
    assert [differences_of(spec, as_declared(spec)) for spec in declared()] == [[]] * len(CONTRACT)


def test_differences_are_named_one_by_one() -> None:
    spec = BY_NAME["sla.incident-events"]
    actual = ActualTopic(4, 1, {**spec.config(), "retention.ms": "1000"})
    assert differences_of(spec, actual) == [
        TopicDifference(spec.name, "partitions", "8", "4"),
        TopicDifference(spec.name, "retention.ms", "-1", "1000"),
    ]


def test_a_missing_topic_is_one_difference() -> None:
    spec = BY_NAME["sla.credits"]
    assert differences_of(spec, None) == [TopicDifference(spec.name, "topic", "present", "missing")]
