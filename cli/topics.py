"""`sla topics apply|show`: makes the topics as declared, or says where they differ. Never deletes, never repartitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

import typer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from rich import box
from rich.console import Console
from rich.table import Table

from streams.topics import DEFAULT_PARTITIONS, DEFAULT_PREFIX, TopicSpec, declared

DIFFERS = 1
WRONG_USE = 2
#: Piped output is not folded to a screen's width.
PIPED_WIDTH = 240
_BOOTSTRAP_TIMEOUT_MS = 10_000

topics_app = typer.Typer(help="Create the topics, or compare them with what is declared.", no_args_is_help=True)


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
        present = _actual(admin, [spec for spec in specs if spec.name not in created])
        differences = [each for spec in specs if spec.name in present for each in differences_of(spec, present[spec.name])]
        altered = [each for each in differences if each.setting not in {"partitions", "replication"}]
        _alter(admin, altered)
    return Report(created, altered, [each for each in differences if each not in altered])


def compare_topics(
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


_Brokers = Annotated[
    str, typer.Option("--brokers", envvar="SLA_BROKERS", help="Comma-separated host:port of the brokers.")
]
_Prefix = Annotated[str, typer.Option("--prefix", envvar="SLA_PREFIX", help="What topic names start with.")]
_Partitions = Annotated[
    int, typer.Option("--partitions", envvar="SLA_PARTITIONS", min=1, help="Of every topic; fixed at creation.")
]
_Replication = Annotated[
    int, typer.Option("--replication", envvar="SLA_REPLICATION", min=1, help="Copies of every topic: 3 in production.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@topics_app.command(epilog="Example: sla topics apply --brokers kafka:9092 --replication 3")
def apply(
    brokers: _Brokers,
    prefix: _Prefix = DEFAULT_PREFIX,
    partitions: _Partitions = DEFAULT_PARTITIONS,
    replication: _Replication = 1,
    as_json: _Json = False,
) -> None:
    """Create missing topics and bring settings to their declared values. Exit code 1: some differ that stay so."""
    specs = declared(prefix, partitions, replication)
    try:
        report = apply_topics(_addresses(brokers), specs, _security())
    except KafkaError as error:
        _unreachable(brokers, error)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        for name in report.created:
            typer.echo(f"{name}: created")
        for each in report.altered:
            typer.echo(f"{each.topic}: {each.setting} is now {each.declared}, was {each.actual}")
        for each in report.differing:
            why = f"{each.topic}: {each.setting} is {each.actual}, declared is {each.declared}; not changed"
            typer.echo(why, err=True)
        typer.echo(f"{len(specs)} topics, {len(report.created)} created, {len(report.differing)} differences remain")
    if not report.fine:
        raise typer.Exit(DIFFERS)


@topics_app.command(epilog="Example: sla topics show --brokers kafka:9092 --json")
def show(
    brokers: _Brokers,
    prefix: _Prefix = DEFAULT_PREFIX,
    partitions: _Partitions = DEFAULT_PARTITIONS,
    replication: _Replication = 1,
    as_json: _Json = False,
) -> None:
    """Show each topic as declared and as it is; changes nothing. Exit code 1: some differ."""
    specs = declared(prefix, partitions, replication)
    try:
        actual = compare_topics(_addresses(brokers), specs, _security())
    except KafkaError as error:
        _unreachable(brokers, error)
    differing = {spec.name: differences_of(spec, actual.get(spec.name)) for spec in specs}
    if as_json:
        typer.echo(json.dumps([_topic_json(spec, differing[spec.name]) for spec in specs]))
    else:
        _print(specs, differing)
    if any(differing.values()):
        raise typer.Exit(DIFFERS)


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
    addresses = _addresses(bootstrap) if isinstance(bootstrap, str) else list(bootstrap)
    admin = KafkaAdminClient(
        bootstrap_servers=addresses,
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


def _addresses(brokers: str) -> list[str]:
    return [each.strip() for each in brokers.split(",") if each.strip()]


def _unreachable(brokers: str, error: KafkaError) -> NoReturn:
    typer.echo(f"the brokers at {brokers} did not do it: {error}", err=True)
    raise typer.Exit(WRONG_USE)
