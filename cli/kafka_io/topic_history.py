"""The input topics as a history: every committed record as the JSON line of `sla tail`, by arrival, in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, NamedTuple

import typer

from cli.events.record_view import Undecodable, event_of
from cli.kafka_io.disk_sort import NoRoom, Row, sorted_on_disk
from cli.support.console import safe
from cli.support.progress import counting
from connect.kafka_io.reader import TopicReader, TopicRecord, in_order
from streams.parallel import cores, spread
from streams.schema_registry.client import SchemaRegistry
from streams.schema_registry.schema_source import reading_codec
from streams.serde.cloudevents_json import format_line
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.settings import Settings

#: A process is worth its start for so many records.
RECORDS_PER_PROCESS = 25_000


class History(NamedTuple):
    """Files of JSON lines to be read in this order, and how many records have no line as they can't be decoded."""

    names: list[str]
    undecodable: int


class _Lines(NamedTuple):
    """Some records as lines, how many others can't be decoded, and the first problem of those."""

    rows: list[Row]
    undecodable: int
    problem: str | None


@contextmanager
def history_of(names: Sequence[str], settings: Settings, *, from_topics: bool) -> Iterator[History]:
    """The files that were named, or the current content of the input topics in a temporary file.

    Records that can't be decoded are reported on standard error. Raises BrokerProblem, NoRoom.
    """
    if not from_topics:
        yield History(list(names), 0)
        return
    topics = [f"{settings.topic_prefix}.{suffix}" for suffix in (INCIDENT_EVENTS, CONTRACT_EVENTS)]
    with tempfile.NamedTemporaryFile("wb", prefix="sla-", suffix=".jsonl") as file:
        with TopicReader(settings.bootstrap(), topics, settings.aiokafka_security()) as reader:
            reader.from_beginning()
            processes = min(cores(), reader.size // RECORDS_PER_PROCESS)
            access = settings.schema_registry()
            undecodable, problem = write_lines(_counted(reader), file, processes=processes, access=access)
        if undecodable:
            records = f"{undecodable:,} record{'' if undecodable == 1 else 's'}"
            typer.echo(f"left out: {records} that could not be decoded, such as {safe(problem)}", err=True)
        yield History([file.name], undecodable)


def write_lines(
    batches: Iterable[list[TopicRecord]], file: IO[bytes], *, processes: int = 1, access: SchemaRegistry | None = None
) -> tuple[int, str | None]:
    """Write the records' lines by arrival, then coordinates, as `sla tail` does, in constant memory.

    Returns how many have none and what is wrong with one of those. Raises NoRoom, RegistryUnavailable.
    """
    undecodable, problem = 0, None

    def rows() -> Iterator[Row]:
        nonlocal undecodable, problem
        for lines in spread(partial(_lines_of, access), batches, processes):
            undecodable += lines.undecodable
            problem = problem or lines.problem
            yield from lines.rows

    try:
        file.writelines(line for line, _ in sorted_on_disk(rows()) if line is not None)
        file.flush()
    except OSError as error:
        raise NoRoom(f"the history can't be written to disk: {error}; TMPDIR names the directory for it") from error
    return undecodable, problem


def _counted(reader: TopicReader) -> Iterator[list[TopicRecord]]:
    with counting("records read", total=reader.size) as one:
        for found in reader.there():
            yield found
            for _ in found:
                one()


def _lines_of(access: SchemaRegistry | None, records: list[TopicRecord]) -> _Lines:
    rows, problems, decode = [], [], reading_codec(access).decode
    for record in records:
        try:
            line = format_line(event_of(record, decode)).encode() + b"\n"
        except Undecodable as error:
            problems.append(str(error))
        else:
            rows.append(Row(*in_order(record), line))
    return _Lines(rows, len(problems), problems[0] if problems else None)
