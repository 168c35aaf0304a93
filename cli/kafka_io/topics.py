"""`sla topics`: creates topics as declared, shows where they differ, documents them and the access that they need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.kafka_io.access import acls
from cli.support.console import print_rows
from cli.support.counts import counted
from cli.support.exits import FOUND, one_line, wrong_use
from cli.support.options import Brokers, Prefix
from cli.support.whole_file import whole_file

if TYPE_CHECKING:
    from cli.kafka_io.topic_admin import TopicDifference
    from streams.settings import Settings
    from streams.topics import TopicSpec

topics_app = typer.Typer(help="Create, compare and document the topics.", no_args_is_help=True, add_completion=False)


_Partitions = Annotated[
    int | None,
    typer.Option("--partitions", min=1, help="Partitions of every topic, fixed at creation; default: SLA_PARTITIONS."),
]
_Replication = Annotated[
    int | None, typer.Option("--replication", min=1, help="Replicas of every topic; default: SLA_REPLICATION.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _about_topics(body: Callable[..., None]) -> Callable[..., None]:
    """The command of a body that takes settings, the topics as declared, and whether to print JSON."""

    def command(
        brokers: Brokers = None,
        prefix: Prefix = None,
        partitions: _Partitions = None,
        replication: _Replication = None,
        as_json: _Json = False,
    ) -> None:
        settings = _settings(brokers, prefix, partitions, replication)
        body(settings, settings.topics(), as_json=as_json)

    command.__name__, command.__doc__ = body.__name__, body.__doc__
    return command


@topics_app.command(epilog="Example: sla topics apply --brokers kafka:9092 --replication 3")
@_about_topics
def apply(settings: Settings, specs: Sequence[TopicSpec], *, as_json: bool) -> None:
    """Create missing topics and set their settings as declared. Exit code 1: differences remain."""
    from cli.kafka_io.topic_admin import apply_topics

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
            f"{counted(len(specs), 'topic')}: {len(report.created)} created, "
            f"{counted(len(report.altered), 'setting')} changed, "
            f"{counted(len(report.differing), 'difference')} {'remains' if len(report.differing) == 1 else 'remain'}"
        )
    if not report.fine:
        raise typer.Exit(FOUND)


@topics_app.command(epilog="Example: sla topics show --brokers kafka:9092 --json")
@_about_topics
def show(settings: Settings, specs: Sequence[TopicSpec], *, as_json: bool) -> None:
    """Show each topic as declared and where the existing one differs. Exit code 1: a topic differs."""
    from cli.kafka_io.topic_admin import actual_topics, differences_of

    with _plain_errors(settings):
        actual = actual_topics(settings.bootstrap(), specs, settings.client_security())
    differing = {spec.name: differences_of(spec, actual.get(spec.name)) for spec in specs}
    if as_json:
        typer.echo(json.dumps([_topic_json(spec, differing[spec.name]) for spec in specs]))
    else:
        _print(specs, differing)
    if any(differing.values()):
        raise typer.Exit(FOUND)


@topics_app.command(epilog="Example: sla topics asyncapi --brokers kafka:9092 --markdown > topics.md")
def asyncapi(
    brokers: Brokers = None,
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of JSON.")] = False,
    html: Annotated[bool, typer.Option("--html", hidden=True)] = False,
) -> None:
    """Print the AsyncAPI 3 document of the public topics as declared, without asking a broker."""
    from streams.asyncapi.document import document, text
    from streams.asyncapi.markdown import markdown

    if html:
        wrong_use("--html was replaced by --markdown, which prints the same page for people as Markdown")
    settings = _settings(brokers, prefix, partitions, replication)
    described = document(settings.topics(), settings.bootstrap())
    typer.echo(markdown(described) if as_markdown else text(described), nl=False)


topics_app.command(epilog="Example: sla topics acls worker intake --format commands")(acls)


@topics_app.command(epilog="Example: sla topics kafkatopics --replication 3 | kubectl apply -n kafka -f -")
def kafkatopics(
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    cluster: Annotated[str, typer.Option(help="Name of Strimzi's Kafka resource.")] = "kafka",
    as_json: _Json = False,
) -> None:
    """Print the topics as declared as Strimzi's KafkaTopic resources, YAML or JSON lines, without asking a broker."""
    from cli.kafka_io.strimzi import kafka_topic, manifests

    settings = _settings(None, prefix, partitions, replication, needs_brokers=False)
    resources = [kafka_topic(cluster, spec) for spec in settings.topics()]
    typer.echo("\n".join(map(json.dumps, resources)) if as_json else manifests(resources).rstrip("\n"))


@topics_app.command(epilog="Example: sla topics backup inputs.jsonl --brokers kafka:9092")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it may not exist.")],
    as_json: _Json = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Write every record of the two input topics to a file, with its arrival: what everything else follows from.

    The file has JSON lines and is for `sla topics restore` only. It holds what is in the topics when this starts.
    """
    from cli.kafka_io.backup import write_backup
    from cli.support.progress import counting

    settings = _settings(brokers, prefix, None, None)
    inputs = [spec.name for spec in _inputs(settings)]
    if file.exists():
        wrong_use(f"{file} exists; name another file")
    with one_line(), whole_file("FILE", file, new=True) as out, counting("records") as one:
        security = settings.aiokafka_security()
        counts = write_backup(out, settings.bootstrap(), settings.topic_prefix, inputs, security, one)
    _print_counts(counts, as_json=as_json)


@topics_app.command(epilog="Example: sla topics restore inputs.jsonl --prefix sla2 --partitions 16")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `sla topics backup` wrote.", exists=True)],
    brokers: Brokers = None,
    prefix: Prefix = None,
    partitions: _Partitions = None,
    replication: _Replication = None,
    as_json: _Json = False,
) -> None:
    """Write a backup into new, empty input topics, each record with the arrival that it had.

    Missing input topics are created. With the number of partitions of the backup every record goes to its partition,
    otherwise to that of its key. No publisher may write to the topics meanwhile.
    """
    from cli.kafka_io.backup import restore_backup
    from cli.support.progress import counting

    settings = _settings(brokers, prefix, partitions, replication)
    with _plain_errors(settings), one_line(), counting("records") as one, file.open("rb") as backed_up:
        counts = restore_backup(
            backed_up,
            settings.bootstrap(),
            settings.topic_prefix,
            _inputs(settings),
            settings.aiokafka_security(),
            settings.client_security(),
            one,
        )
    _print_counts(counts, as_json=as_json)


def _inputs(settings: Settings) -> list[TopicSpec]:
    return [spec for spec in settings.topics() if spec.is_input]


def _print_counts(counts: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(counts))
        return
    for name, count in counts.items():
        typer.echo(f"{name}: {count:,} record{'' if count == 1 else 's'}")


def _settings(
    brokers: str | None,
    prefix: str | None,
    partitions: int | None,
    replication: int | None,
    *,
    needs_brokers: bool = True,
) -> Settings:
    from streams.settings import read_settings

    options = {"brokers": brokers, "topic_prefix": prefix, "partitions": partitions, "replication": replication}
    with one_line():
        settings = read_settings(**{name: value for name, value in options.items() if value is not None})
    if needs_brokers and not settings.bootstrap():
        wrong_use("no brokers are named; write --brokers HOST:PORT, or set SLA_BROKERS")
    return settings


@contextmanager
def _plain_errors(settings: Settings) -> Iterator[None]:
    """One line instead of a traceback when the brokers can't be reached or refuse."""
    from kafka.errors import KafkaError

    from connect.kafka_io.connection import check_reachable
    from streams.kafka.causes import explained_error

    with one_line():
        check_reachable(settings.bootstrap(), settings.aiokafka_security())
    try:
        yield
    except KafkaError as error:
        wrong_use(explained_error(error, ", ".join(settings.bootstrap())))


def _print(specs: Sequence[TopicSpec], differing: Mapping[str, list[TopicDifference]]) -> None:
    rows = []
    for spec in specs:
        found = "; ".join(
            "missing" if each.setting == "topic" else f"{each.setting} is {each.actual}, not {each.declared}"
            for each in differing[spec.name]
        )
        shape = f"{spec.partitions} × {spec.replication}"
        rows.append((spec.name, spec.key, spec.writer, shape, _retention(spec), found))
    print_rows(("topic", "key", "written by", "partitions", "kept", "differs from this"), rows)


def _retention(spec: TopicSpec) -> str:
    if spec.cleanup == "compact":
        return "newest of each key"
    return "for ever" if spec.retention is None else f"{spec.retention.days} days"


def _topic_json(spec: TopicSpec, differences: Sequence[TopicDifference]) -> dict[str, object]:
    return {
        "topic": spec.name,
        "partitions": spec.partitions,
        "replication": spec.replication,
        "config": spec.config(),
        "differing": [each.as_json() for each in differences],
    }
