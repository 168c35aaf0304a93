"""`sla tail`: decoded events of topics, as lines for people or as JSON lines that `sla simulate` reads."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.absence import Absence
from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix, codec_of, settings_of
from cli.support.progress import counting

if TYPE_CHECKING:
    from connect.kafka_io.reader import TopicReader, TopicRecord
    from streams.serde.codec import Decode


def tail(
    topics: Annotated[
        list[str], typer.Argument(metavar="TOPIC…", help="Topics, with or without the prefix, such as alerts.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one CloudEvents object per line.")] = False,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    until_idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Stop after this long without a record.")
    ] = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Print committed events as they arrive, until Ctrl-C. With --from-beginning and --until-idle, existing events are
    sorted by arrival.

    JSON lines carry the arrival as receivedtime, so `sla simulate` can read those of the input topics as a history.

    While Kafka gives no answer, standard error says so, and tail goes on when it is back. --until-idle ends with exit
    code 2 then: nobody knows whether there is more.

    Exit code 1: some record could not be decoded.
    """
    from connect.kafka_io.reader import TopicReader

    settings = settings_of(brokers, prefix)
    names = [full_name(topic, settings.topic_prefix) for topic in topics]
    undecodable, decode = 0, codec_of(settings).decode
    with TopicReader(settings.bootstrap(), names, settings.aiokafka_security()) as reader:
        show = _json_line if as_json else _Screen().show
        if from_beginning:
            reader.from_beginning()
        else:
            reader.from_now()
        if from_beginning and until_idle is not None:
            undecodable += _show_sorted(reader, show, decode)
        for record in _arriving(reader, until_idle):
            undecodable += not _shown(record, show, decode)
    if undecodable:
        typer.echo(f"{undecodable:,} record{'' if undecodable == 1 else 's'} could not be decoded", err=True)
        raise typer.Exit(FOUND)


def full_name(topic: str, prefix: str) -> str:
    """The name of a topic, of which the prefix may be left out."""
    return topic if topic.startswith(f"{prefix}.") else f"{prefix}.{topic}"


def _show_sorted(reader: TopicReader, show: Callable[[Mapping[str, object]], None], decode: Decode) -> int:
    """Print what is there by arrival; how many records can't be decoded."""
    import json

    from cli.events.sorted_events import sorted_events

    undecodable = 0
    for line, problem in sorted_events(_counted(reader), decode):
        if line is None:
            typer.echo(problem, err=True)
            undecodable += 1
        else:
            show(json.loads(line, parse_float=_exact))
    return undecodable


def _counted(reader: TopicReader) -> Iterator[list[TopicRecord]]:
    # Nothing may be printed while the count is shown: it takes standard output to standard error.
    with counting("records read", total=reader.size) as one:
        for records in reader.there(later=True):
            for _ in records:
                one()
            yield records


def _exact(text: str) -> float | Decimal:
    """The number that a line has, all digits of it."""
    found = float(text)
    return found if repr(found) == text else Decimal(text)


def _arriving(reader: TopicReader, until_idle: float | None) -> Iterator[TopicRecord]:
    last, absence = time.monotonic(), Absence()
    while True:
        while until_idle is None or time.monotonic() - last < until_idle:
            found = reader.poll()
            if found:
                yield from found
                last = time.monotonic()
            absence.tell(reader.problem())
            sys.stdout.flush()
        reader.to_current_end()  # raises where Kafka is away: its silence is not that of an idle topic
        late = False
        for found in reader.there(later=True):
            yield from found
            late = late or bool(found)
        if not late:
            return
        last = time.monotonic()


def _shown(record: TopicRecord, show: Callable[[Mapping[str, object]], None], decode: Decode) -> bool:
    from cli.events.record_view import Undecodable, event_of

    try:
        event = event_of(record, decode)
    except Undecodable as problem:
        typer.echo(str(problem), err=True)
        return False
    show(event)
    return True


def _json_line(event: Mapping[str, object]) -> None:
    from streams.serde.cloudevents_json import format_line

    sys.stdout.buffer.write(format_line(event).encode() + b"\n")


class _Screen:
    """Lines for people, coloured on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(markup=False, highlight=False, emoji=False)

    def show(self, event: Mapping[str, object]) -> None:
        from cli.events.record_view import line_of

        line = line_of(event)
        if self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
        else:
            sys.stdout.write(f"{line.plain.rstrip()}\n")
