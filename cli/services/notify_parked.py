"""`sla notify parked list|retry|discard`: messages that were not delivered, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import one_line, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.progress import shown
from cli.support.waiting import AsJson

if TYPE_CHECKING:
    from connect.notify.page_store_rows import Parked, StateRow
    from streams.settings import Settings

_ACK_S = 10

parked_app = typer.Typer(
    help="List messages that were not delivered; retry or discard them.",
    epilog="Example: sla notify parked list",
    no_args_is_help=True,
)

Destination = Annotated[str | None, typer.Option("--destination", help="Only those of this destination.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Messages, as `list` shows them.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@parked_app.command("list", epilog="Example: sla notify parked list --destination on-call")
def list_(
    destination: Destination = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List undelivered messages, the oldest first.

    Exit code 2: there is no such destination.
    """
    with one_line():
        found = [each for _, each in _parked(settings_of(brokers, prefix), destination)]
    if as_json:
        from streams.serde.cloudevents_json import format_line

        for each in found:
            typer.echo(format_line(_as_object(each)))
    elif not found:
        typer.echo("nothing is parked")
    else:
        _print(found)


@parked_app.command(epilog="Example: sla notify parked retry --all --destination on-call")
def retry(
    ids: Ids = None,
    everything: Everything = False,
    destination: Destination = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Retry parked messages, beginning with the first attempt. A running notifier does so at once, else the next one.

    Exit code 2: there is no such message or destination.
    """
    from connect.notify.page_store_rows import retry_rows

    with one_line():
        done = _replace(settings_of(brokers, prefix), ids, destination, retry_rows, everything=everything)
    _print_done("queued again", done, as_json=as_json)


@parked_app.command(epilog="Example: sla notify parked discard --all --destination former")
def discard(
    ids: Ids = None,
    everything: Everything = False,
    destination: Destination = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Discard parked messages: they are never delivered. The notifier itself does so after SLA_NOTIFY_PARKED_RETENTION.

    Exit code 2: there is no such message or destination.
    """
    from connect.notify.page_store_rows import discard_row

    with one_line():
        done = _replace(
            settings_of(brokers, prefix), ids, destination, lambda each: (discard_row(each),), everything=everything
        )
    _print_done("discarded", done, as_json=as_json)


def _print_done(what: str, ids: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({what.replace(" ", "_"): list(ids)}, ensure_ascii=False))
    else:
        typer.echo(f"{len(ids):,} {what}" if ids else "nothing is parked")


def _replace(
    settings: Settings,
    ids: Sequence[str] | None,
    destination: str | None,
    rows_of: Callable[[Parked], Iterable[StateRow]],
    *,
    everything: bool,
) -> list[str]:
    """Write these rows for each parked message that a command names; their ids."""
    if bool(ids) == everything:
        wrong_use("which messages? write their IDs, or --all")
    parked = _parked(settings, destination)
    chosen = [each for each in parked if everything or each[1].message.id in (ids or ())]
    if absent := set(ids or ()) - {each.message.id for _, each in chosen}:
        wrong_use(f"no parked message has the ID {sorted(absent)[0]}; `sla notify parked list` shows all")
    _write(settings, [(where, row) for where, each in chosen for row in rows_of(each)])
    return [each.message.id for _, each in chosen]


def _parked(settings: Settings, destination: str | None) -> list[tuple[int, Parked]]:
    """The parked messages of a destination, or of all, each with its partition, the oldest first; without those that a
    notifier is asked to retry. Ends the command where nobody knows the destination: it is misspelled, and nothing would
    be done. Raises BrokerProblem."""
    from cli.support.console import safe
    from connect.kafka_io.reader import read_topics
    from connect.notify.page_store_rows import TOPIC, read_key, read_parked
    from connect.notify.routing.recorded import is_recorded, read_recorded

    found: dict[tuple[int, str, str], Parked] = {}
    asked: set[tuple[int, str, str]] = set()
    known: set[str] = set()
    topic = f"{settings.topic_prefix}.{TOPIC}"
    for record in read_topics(settings.bootstrap(), [topic], settings.aiokafka_security(), watch=shown("rows read")):
        if record.key is not None and is_recorded(record.key):
            routes = None if record.value is None else read_recorded(record.key, record.value)
            known |= routes.named if routes is not None else set()
            continue
        key = read_key(record.key)
        if key is not None:
            known.add(key.destination)
        if key is None or key.kind not in {"parked", "retry"}:
            continue
        place = record.partition, key.destination, key.rest
        if key.kind == "retry":
            (asked.discard if record.value is None else asked.add)(place)
        elif (parked := read_parked(record.key, record.value)) is None:
            found.pop(place, None)
        else:
            found[place] = parked
    if destination is not None and known and destination not in known:
        wrong_use(f"there is no destination {safe(destination)}; there are: {', '.join(map(safe, sorted(known)))}")
    wanted = [
        (place[0], each)
        for place, each in found.items()
        if destination in {None, each.destination} and place not in asked
    ]
    return sorted(wanted, key=lambda pair: pair[1].at)


def _write(settings: Settings, rows: Sequence[tuple[int, StateRow]]) -> None:
    """Write rows to their partitions one by one, each acknowledged by all replicas. A crash leaves the rest parked."""
    from kafka.errors import KafkaError

    from connect.kafka_io.connection import BrokerProblem
    from connect.notify.page_store_rows import TOPIC
    from streams.kafka import kafka_python_clients

    if not rows:
        return
    where = ", ".join(settings.bootstrap())
    try:
        producer = kafka_python_clients.producer(
            bootstrap_servers=list(settings.bootstrap()),
            retries=5,
            max_block_ms=_ACK_S * 1_000,
            delivery_timeout_ms=_ACK_S * 1_000,  # closing waits as long
            request_timeout_ms=_ACK_S * 500,
            **settings.client_security(),
        )
        topic = f"{settings.topic_prefix}.{TOPIC}"
        with closing(producer):
            for partition, row in rows:
                producer.send(topic, key=row.key, value=row.value, partition=partition).get(_ACK_S)
    except KafkaError as error:
        raise BrokerProblem(f"Kafka at {where}: {error or type(error).__name__}") from error


def _as_object(parked: Parked) -> dict[str, object]:
    from connect.notify.digest import key_of_digest
    from streams.sla.instants import format_rfc3339

    message = parked.message
    return {
        "id": message.id,
        "destination": parked.destination,
        "incident": key_of_digest(parked.incident) or parked.incident,
        "type": message.event["type"],
        "action": message.action,
        "time": message.event["time"],
        "parked_at": format_rfc3339(parked.at),
        "tries": message.tries,
        "reason": parked.reason,
    }


def _print(found: Sequence[Parked]) -> None:
    from cli.support.console import print_rows

    names = ("id", "destination", "incident", "type", "action", "parked_at", "tries", "reason")
    print_rows(names, [[_as_object(each)[name] for name in names] for each in found])
