"""`sla partitions`: how far each incident partition is processed, and which of them statements wait for (R26)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix, settings_of
from streams.sla.instants import MINUTE

if TYPE_CHECKING:
    from cli.kafka_io.reader import TopicReader
    from streams.settings import Settings

#: A watermark is normally among the last rows of its changelog.
_TAIL = 500
#: So many watermarks may be missing before a partition with unread input counts as behind.
_MISSED_WATERMARKS = 3
#: How far an idle partition may be behind, whose watermarks are rarer.
_IDLE_DELAY = 15 * MINUTE


class PartitionState(NamedTuple):
    """One incident partition. `watermark`: everything that arrived by then is applied, in microseconds; None before the
    first. `unread` is the number of inputs that no worker has applied. `waited_for`: it delays the statements of all
    tenants."""

    partition: int
    watermark: int | None
    unread: int
    waited_for: bool


def partitions(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show the watermark and the unread input of each incident partition, and which ones statements wait for.

    A final statement is published only when every incident partition has passed its instant. A partition that is halted
    or has no worker therefore delays the statements of all tenants.

    Exit code 1: statements wait for a partition.
    """
    settings = settings_of(brokers, prefix)
    found = read_partitions(settings)
    if as_json:
        typer.echo(json.dumps(_as_object(found)))
    else:
        _print(found)
    if any(each.waited_for for each in found):
        raise typer.Exit(FOUND)


def read_partitions(settings: Settings) -> list[PartitionState]:
    """The state of every incident partition, by number. Raises BrokerProblem."""
    from cli.kafka_io.group_offsets import GroupOffsets
    from cli.kafka_io.reader import TopicReader

    topic = f"{settings.topic_prefix}.incident-events"
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        reader.from_now()
        ends = reader.ends()
    with GroupOffsets(settings) as groups:
        committed = groups.committed("incidents", [(topic, partition) for partition in ends])
    unread = {partition: max(end - committed[topic, partition], 0) for partition, end in ends.items()}
    return states(_watermarks(settings, len(ends)), unread, settings.mark_every)


def states(watermarks: dict[int, int], unread: dict[int, int], mark_every: int) -> list[PartitionState]:
    """Which partitions statements wait for: those whose watermark is far behind the newest one, or that have none
    although others do or input waits. Durations in microseconds."""
    newest = max(watermarks.values(), default=None)
    delay = max(_MISSED_WATERMARKS * mark_every, MINUTE)

    def waited_for(partition: int) -> bool:
        watermark = watermarks.get(partition)
        if newest is None:
            return unread[partition] > 0
        return watermark is None or watermark < newest - (delay if unread[partition] else max(delay, _IDLE_DELAY))

    return [PartitionState(each, watermarks.get(each), unread[each], waited_for(each)) for each in sorted(unread)]


def _watermarks(settings: Settings, partition_count: int) -> dict[int, int]:
    """The latest watermark of each incident partition, from the incidents agent's changelog."""
    from cli.kafka_io.reader import TopicReader

    topic = f"{settings.topic_prefix}.incidents-changelog"
    found: dict[int, int] = {}
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        reader.from_last(_TAIL)
        _add_watermarks(reader, found)
        if len(found) < partition_count:
            reader.from_beginning()
            _add_watermarks(reader, found)
    return found


def _add_watermarks(reader: TopicReader, found: dict[int, int]) -> None:
    from streams.serde.codec import decode
    from streams.sla.events import Rejection

    for records in reader.there():
        for record in records:
            decoded = None if record.value is None else decode(record.value)
            if decoded is not None and not isinstance(decoded, Rejection) and decoded[0] == "state.mark":
                partition, until = decoded[1]["partition"], decoded[1]["until"]
                assert isinstance(partition, int)
                assert isinstance(until, int)
                found[partition] = max(found.get(partition, until), until)


def _as_object(found: list[PartitionState]) -> dict[str, object]:
    from streams.sla.instants import format_rfc3339

    oldest = _oldest(found)
    return {
        "statements_until": None if oldest is None else format_rfc3339(oldest),
        "partitions": [
            {
                "partition": each.partition,
                "watermark": None if each.watermark is None else format_rfc3339(each.watermark),
                "unread": each.unread,
                "waited_for": each.waited_for,
            }
            for each in found
        ],
    }


def _oldest(found: list[PartitionState]) -> int | None:
    """Up to when statements can be published; None while some partition has no watermark."""
    watermarks = [each.watermark for each in found if each.watermark is not None]
    return min(watermarks) if watermarks and len(watermarks) == len(found) else None


def _print(found: list[PartitionState]) -> None:
    from rich import box
    from rich.table import Table

    from cli.support.console import plain_console
    from streams.sla.instants import format_rfc3339

    table = Table("partition", "watermark", "unread input", "", box=box.SIMPLE_HEAD)
    for each in found:
        watermark = "none yet" if each.watermark is None else format_rfc3339(each.watermark)
        table.add_row(
            str(each.partition), watermark, f"{each.unread:,}", "statements wait for it" if each.waited_for else ""
        )
    plain_console().print(table)
    oldest = _oldest(found)
    waited_for = ", ".join(str(each.partition) for each in found if each.waited_for)
    until = "no statement is possible yet"
    if oldest is not None:
        until = f"statements are possible up to {format_rfc3339(oldest)}"
    typer.echo(f"{until}; they wait for partition {waited_for}: see its worker's log" if waited_for else until)
