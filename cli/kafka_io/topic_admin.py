"""Creates topics as declared and finds where existing ones differ. Never deletes, never repartitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.kafka import kafka_python_clients
from streams.topics import TopicSpec

_BOOTSTRAP_TIMEOUT_MS = 10_000
#: What only an operator changes: routing and state depend on the partition count, replicas move data.
_FIXED = frozenset({"topic", "partitions", "replication"})


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One setting of one topic that is not as declared."""

    topic: str
    setting: str
    declared: str
    actual: str

    def as_json(self) -> dict[str, str]:
        """The difference for programs."""
        return {"topic": self.topic, "setting": self.setting, "declared": self.declared, "actual": self.actual}


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What was done, and what remains to be done by hand."""

    created: list[str] = field(default_factory=list)
    altered: list[TopicDifference] = field(default_factory=list)
    differing: list[TopicDifference] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether every topic is now as declared."""
        return not self.differing

    def as_json(self) -> dict[str, object]:
        """The report for programs."""
        return {
            "created": self.created,
            "altered": [each.as_json() for each in self.altered],
            "differing": [each.as_json() for each in self.differing],
        }


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """One topic as the broker has it; `config` holds the declared settings only."""

    partitions: int
    replication: int
    config: Mapping[str, str]


def apply_topics(
    bootstrap: str | Sequence[str], specs: Sequence[TopicSpec], security: Mapping[str, object] | None = None
) -> TopicsReport:
    """Create what is missing and bring settings to their declared values; returns when all have leaders.

    Partitions and replication of a topic that exists are never changed, only reported. `security` is passed to
    kafka-python. Raises kafka.errors.KafkaError.
    """
    with _admin(bootstrap, security or {}) as admin:
        actual = actual_of(admin, specs)
        created = _create(admin, [spec for spec in specs if spec.name not in actual])
        actual = actual_of(admin, [spec for spec in specs if spec.name not in created])
        differences = [
            each for spec in specs if spec.name not in created for each in differences_of(spec, actual.get(spec.name))
        ]
        altered = [each for each in differences if each.setting not in _FIXED]
        _alter(admin, altered)
    return TopicsReport(created, altered, [each for each in differences if each not in altered])


def actual_topics(
    bootstrap: str | Sequence[str], specs: Sequence[TopicSpec], security: Mapping[str, object] | None = None
) -> dict[str, ActualTopic]:
    """The declared topics that exist, by name, as they are. Raises kafka.errors.KafkaError."""
    with _admin(bootstrap, security or {}) as admin:
        return actual_of(admin, specs)


def differences_of(spec: TopicSpec, actual: ActualTopic | None) -> list[TopicDifference]:
    """Where a topic is not as declared; one that does not exist differs in that alone."""
    if actual is None:
        return [TopicDifference(spec.name, "topic", "present", "missing")]
    wanted = {"partitions": str(spec.partitions), "replication": str(spec.replication), **spec.config()}
    found = {"partitions": str(actual.partitions), "replication": str(actual.replication), **actual.config}
    return [
        TopicDifference(spec.name, setting, value, found.get(setting, "unknown"))
        for setting, value in wanted.items()
        if found.get(setting) != value
    ]


@contextmanager
def _admin(bootstrap: str | Sequence[str], security: Mapping[str, object]) -> Iterator[Any]:
    admin = kafka_python_clients.admin(
        bootstrap_servers=bootstrap if isinstance(bootstrap, str) else list(bootstrap),
        client_id="sla-topics",
        bootstrap_timeout_ms=_BOOTSTRAP_TIMEOUT_MS,
        **security,
    )
    try:
        yield admin
    finally:
        admin.close()


def actual_of(admin: Any, specs: Sequence[TopicSpec]) -> dict[str, ActualTopic]:
    """The declared topics that exist, by name, asked through an open admin client. Raises KafkaError."""
    there = set(admin.list_topics())
    present = [spec for spec in specs if spec.name in there]
    if not present:
        return {}
    described = {topic["name"]: topic for topic in admin.describe_topics([spec.name for spec in present])}
    asked = [ConfigResource(ConfigResourceType.TOPIC, spec.name, list(spec.config())) for spec in present]
    configs = admin.describe_configs(asked, config_filter="all")["topic"]
    found: dict[str, ActualTopic] = {}
    for spec in present:
        topic = described[spec.name]
        if (code := topic["error_code"]) != 0:
            raise for_code(code)(spec.name)
        settings = {setting: str(entry["value"]) for setting, entry in configs[spec.name].items()}
        replication = min(len(each["replica_nodes"]) for each in topic["partitions"])
        found[spec.name] = ActualTopic(len(topic["partitions"]), replication, settings)
    return found


def _create(admin: Any, missing: Sequence[TopicSpec]) -> list[str]:
    """Create topics; one that another process creates at the same moment is compared like any existing topic."""
    if not missing:
        return []
    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication,
            "configs": spec.config(),
        }
        for spec in missing
    }
    created: list[str] = []
    for topic in admin.create_topics(wanted, raise_errors=False)["topics"]:
        error = for_code(topic["error_code"])
        if topic["error_code"] == 0:
            created.append(topic["name"])
        elif error is not TopicAlreadyExistsError:
            raise error(f"{topic['name']}: {topic.get('error_message') or 'not created'}")
    admin.wait_for_topics(list(wanted))
    return created


def _alter(admin: Any, differences: Sequence[TopicDifference]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for each in differences:
        wanted.setdefault(each.topic, {})[each.setting] = each.declared
    if not wanted:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, settings) for name, settings in wanted.items()]
    for name, result in admin.alter_configs(resources).get("topic", {}).items():
        if result != "OK":
            raise KafkaError(f"{name}: {result}")
