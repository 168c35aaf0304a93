"""`sla topics apply|show|asyncapi`: makes topics as declared, says where they differ, documents them. Never deletes,
never repartitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from rich import box
from rich.console import Console
from rich.table import Table

from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix
from streams.asyncapi.document import document, text
from streams.asyncapi.page import page
from streams.kafka import kafka_python_clients
from streams.settings import Settings, read_settings
from streams.topics import TopicSpec, declared

#: Piped output is not folded to a screen's width.
PIPED_WIDTH = 240
_BOOTSTRAP_TIMEOUT_MS = 10_000
#: What only an operator changes: routing and state depend on the partition count, replicas move data.
_FIXED = frozenset({"topic", "partitions", "replication"})

topics_app = typer.Typer(
    help="Create the topics, compare them with what is declared, document them.", no_args_is_help=True
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of one topic that is not as declared."""

    topic: str
    setting: str
    declared: str
    actual: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, and what remains to be done by hand."""

    created: list[str] = field(default_factory=list)
    altered: list[Difference] = field(default_factory=list)
    differing: list[Difference] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether every topic is now as declared."""
        return not self.differing

    def as_json(self) -> dict[str, object]:
        """The report for programs."""
        return {
            "created": self.created,
            "altered": [_difference_json(each) for each in self.altered],
            "differing": [_difference_json(each) for each in self.differing],
        }


@dataclass(frozen=True, slots=True)
class Actual:
    """One topic as the broker has it; `config` holds the declared settings only."""

    partitions: int
    replication: int
    config: Mapping[str, str]


def apply_topics(
    bootstrap: str | Sequence[str], specs: Sequence[TopicSpec], security: Mapping[str, object] | None = None
) -> Report:
    """Create what is missing and bring settings to their declared values; returns when all have leaders.

    Partitions and replication of a topic that exists are never changed, only reported. `security` goes to
    kafka-python as it is. Raises kafka.errors.KafkaError.
    """
    with _admin(bootstrap, security or {}) as admin:
        actual = _actual(admin, specs)
        created = _create(admin, [spec for spec in specs if spec.name not in actual])
        actual = _actual(admin, [spec for spec in specs if spec.name not in created])
        differences = [
            each for spec in specs if spec.name not in created for each in differences_of(spec, actual.get(spec.name))
        ]
        altered = [each for each in differences if each.setting not in _FIXED]
        _alter(admin, altered)
    return Report(created, altered, [each for each in differences if each not in altered])


def actual_topics(
    bootstrap: str | Sequence[str], specs: Sequence[TopicSpec], security: Mapping[str, object] | None = None
) -> dict[str, Actual]:
    """The declared topics that exist, by name, as they are. Raises kafka.errors.KafkaError."""
    with _admin(bootstrap, security or {}) as admin:
        return _actual(admin, specs)


def differences_of(spec: TopicSpec, actual: Actual | None) -> list[Difference]:
    """Where a topic is not as declared; one that does not exist differs in that alone."""
    if actual is None:
        return [Difference(spec.name, "topic", "present", "missing")]
    wanted = {"partitions": str(spec.partitions), "replication": str(spec.replication), **spec.config()}
    found = {"partitions": str(actual.partitions), "replication": str(actual.replication), **actual.config}
    return [
        Difference(spec.name, setting, value, found.get(setting, "unknown"))
        for setting, value in wanted.items()
        if found.get(setting) != value
    ]


_Partitions = Annotated[
    int | None, typer.Option("--partitions", min=1, help="Of every topic, fixed at creation; else SLA_PARTITIONS.")
]
_Replication = Annotated[
    int | None, typer.Option("--replication", min=1, help="Copies of every topic; else SLA_REPLICATION.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@topics_app.command(epilog="Example: sla topics apply --brokers kafka:9092 --replication 3")
def apply(
    brokers: Brokers = None,
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    as_json: _Json = False,
) -> None:
    """Create missing topics and bring settings to their declared values. Exit code 1: some differ that stay so."""
    settings = _settings(brokers, prefix, partitions, replication)
    specs = declared(settings.topic_prefix, settings.partitions, settings.replication)
    with _plain_errors(settings):
        report = apply_topics(settings.bootstrap(), specs, settings.client_security())
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        for name in report.created:
            typer.echo(f"{name}: created")
        for each in report.altered:
            typer.echo(f"{each.topic}: {each.setting} is now {each.declared}, was {each.actual}")
        for each in report.differing:
            stays = f"{each.topic}: {each.setting} is {each.actual}, declared is {each.declared}; not changed"
            typer.echo(stays, err=True)
        typer.echo(
            f"{len(specs)} topics: {len(report.created)} created, {len(report.altered)} settings changed, "
            f"{len(report.differing)} differences remain"
        )
    if not report.fine:
        raise typer.Exit(FOUND)


@topics_app.command(epilog="Example: sla topics show --brokers kafka:9092 --json")
def show(
    brokers: Brokers = None,
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    as_json: _Json = False,
) -> None:
    """Show each topic as declared and where it differs; changes nothing. Exit code 1: some differ."""
    settings = _settings(brokers, prefix, partitions, replication)
    specs = declared(settings.topic_prefix, settings.partitions, settings.replication)
    with _plain_errors(settings):
        actual = actual_topics(settings.bootstrap(), specs, settings.client_security())
    differing = {spec.name: differences_of(spec, actual.get(spec.name)) for spec in specs}
    if as_json:
        typer.echo(json.dumps([_topic_json(spec, differing[spec.name]) for spec in specs]))
    else:
        _print(specs, differing)
    if any(differing.values()):
        raise typer.Exit(FOUND)


@topics_app.command(epilog="Example: sla topics asyncapi --brokers kafka:9092 --html > topics.html")
def asyncapi(
    brokers: Brokers = None,
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    html: Annotated[bool, typer.Option("--html", help="As a page for people, instead of JSON.")] = False,
) -> None:
    """Print the AsyncAPI 3 document of the topics that others may write and read, as declared; asks no broker."""
    settings = _settings(brokers, prefix, partitions, replication)
    specs = declared(settings.topic_prefix, settings.partitions, settings.replication)
    made = document(specs, settings.bootstrap())
    typer.echo(page(made) if html else text(made), nl=False)


def _settings(brokers: str | None, prefix: str | None, partitions: int | None, replication: int | None) -> Settings:
    options = {"brokers": brokers, "topic_prefix": prefix, "partitions": partitions, "replication": replication}
    with one_line():
        settings = read_settings(**{name: value for name, value in options.items() if value is not None})
    if not settings.bootstrap():
        wrong_use("no brokers are named; write --brokers HOST:PORT, or set SLA_BROKERS")
    return settings


@contextmanager
def _plain_errors(settings: Settings) -> Iterator[None]:
    """One line instead of a traceback when the brokers can't be reached or refuse."""
    try:
        yield
    except KafkaError as error:
        wrong_use(f"Kafka at {', '.join(settings.bootstrap())}: {error}")


def _print(specs: Sequence[TopicSpec], differing: Mapping[str, list[Difference]]) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=PIPED_WIDTH)
    table = Table("topic", "key", "written by", "partitions", "kept", "differs from this", box=box.SIMPLE_HEAD)
    for spec in specs:
        found = "; ".join(
            "missing" if each.setting == "topic" else f"{each.setting} is {each.actual}, not {each.declared}"
            for each in differing[spec.name]
        )
        table.add_row(spec.name, spec.key, spec.writer, f"{spec.partitions} × {spec.replication}", _kept(spec), found)
    console.print(table)


def _kept(spec: TopicSpec) -> str:
    if spec.cleanup == "compact":
        return "newest of each key"
    return "for ever" if spec.retention is None else f"{spec.retention.days} days"


def _topic_json(spec: TopicSpec, differences: Sequence[Difference]) -> dict[str, object]:
    return {
        "topic": spec.name,
        "partitions": spec.partitions,
        "replication": spec.replication,
        "config": spec.config(),
        "differing": [_difference_json(each) for each in differences],
    }


def _difference_json(each: Difference) -> dict[str, str]:
    return {"topic": each.topic, "setting": each.setting, "declared": each.declared, "actual": each.actual}


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


def _actual(admin: Any, specs: Sequence[TopicSpec]) -> dict[str, Actual]:
    there = set(admin.list_topics())
    present = [spec for spec in specs if spec.name in there]
    if not present:
        return {}
    described = {topic["name"]: topic for topic in admin.describe_topics([spec.name for spec in present])}
    asked = [ConfigResource(ConfigResourceType.TOPIC, spec.name, list(spec.config())) for spec in present]
    configs = admin.describe_configs(asked, config_filter="all")["topic"]
    found: dict[str, Actual] = {}
    for spec in present:
        topic = described[spec.name]
        if (code := topic["error_code"]) != 0:
            raise for_code(code)(spec.name)
        settings = {setting: str(entry["value"]) for setting, entry in configs[spec.name].items()}
        replication = min(len(each["replica_nodes"]) for each in topic["partitions"])
        found[spec.name] = Actual(len(topic["partitions"]), replication, settings)
    return found


def _create(admin: Any, missing: Sequence[TopicSpec]) -> list[str]:
    """Create topics; one that somebody else creates at the same moment is theirs, and compared like any other."""
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


def _alter(admin: Any, differences: Sequence[Difference]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for each in differences:
        wanted.setdefault(each.topic, {})[each.setting] = each.declared
    if not wanted:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, settings) for name, settings in wanted.items()]
    for name, result in admin.alter_configs(resources).get("topic", {}).items():
        if result != "OK":
            raise KafkaError(f"{name}: {result}")
