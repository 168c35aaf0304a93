"""`sla partitions`: how far each incident partition is processed, and which of them statements wait for (R26)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from agents.watermarks import REQUEST, REQUEST_TYPE
from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix, settings_of
from streams.internal_topics import internal_topic
from streams.sla.instants import MINUTE
from streams.time_source import SystemTimeSource

if TYPE_CHECKING:
    from connect.kafka_io.reader import TopicReader
    from streams.settings import Settings

#: A watermark or a request is normally among the last rows of its changelog.
_TAIL = 500
#: A request is answered within seconds; a partition that takes longer is waited for.
_LONG_WAIT = MINUTE
_REQUEST_KEY = REQUEST.encode()
_AGENT = "incidents"


class WatermarkRequest(NamedTuple):
    """A ledger partition waits for a watermark at `until`; `asked_at` is when it asked. Microseconds."""

    until: int
    asked_at: int


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
    from connect.kafka_io.group_offsets import GroupOffsets
    from connect.kafka_io.reader import TopicReader

    topic = f"{settings.topic_prefix}.incident-events"
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        reader.from_now()
        ends = reader.ends()
    with GroupOffsets(settings) as groups:
        committed = groups.committed(_AGENT, [(topic, partition) for partition in ends])
    unread = {partition: max(end - committed[topic, partition], 0) for partition, end in ends.items()}
    found = _Found({}, {})
    _read_changelog(settings, len(ends), found)
    _read_requests(settings, found)
    return states(found.watermarks, found.requests, unread, SystemTimeSource().now())


def states(
    watermarks: Mapping[int, int], requests: Mapping[int, WatermarkRequest], unread: Mapping[int, int], now: int
) -> list[PartitionState]:
    """Which partitions statements wait for: those that have not answered a request for a minute, or that have no
    watermark although others do or input waits. Instants in microseconds."""

    def waited_for(partition: int) -> bool:
        watermark, request = watermarks.get(partition), requests.get(partition)
        if request is not None and (watermark is None or watermark < request.until):
            return now - request.asked_at >= _LONG_WAIT
        return watermark is None and (bool(watermarks) or unread[partition] > 0)

    return [PartitionState(each, watermarks.get(each), unread[each], waited_for(each)) for each in sorted(unread)]


class _Found(NamedTuple):
    watermarks: dict[int, int]
    requests: dict[int, WatermarkRequest]


def _read_changelog(settings: Settings, partition_count: int, found: _Found) -> None:
    """Watermarks, and requests that their partition has read, from the changelog of the incidents agent."""
    from connect.kafka_io.reader import TopicReader

    topic = f"{settings.topic_prefix}.{_AGENT}-changelog"
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        reader.from_last(_TAIL)
        _add(reader, found)
        if len(found.watermarks) < partition_count:
            reader.from_beginning()
            _add(reader, found)


def _read_requests(settings: Settings, found: _Found) -> None:
    """Requests that their partition has not read yet: a halted one never does."""
    from connect.kafka_io.reader import TopicReader

    topic = f"{settings.topic_prefix}.{internal_topic(_AGENT)}"
    with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as reader:
        reader.from_beginning()
        _add(reader, found, requests_only=True)


def _add(reader: TopicReader, found: _Found, *, requests_only: bool = False) -> None:
    from streams.serde.codec import decode
    from streams.sla.events import Rejection

    for records in reader.there():
        for record in records:
            decoded = None if record.value is None else decode(record.value)
            if decoded is None or isinstance(decoded, Rejection) or decoded[0] != REQUEST_TYPE:
                continue
            partition, until = decoded[1]["partition"], decoded[1]["until"]
            assert isinstance(partition, int)
            assert isinstance(until, int)
            if requests_only or record.key == _REQUEST_KEY:
                known = found.requests.get(partition)
                if known is None or known.until < until:
                    found.requests[partition] = WatermarkRequest(until, record.arrival)
            else:
                found.watermarks[partition] = max(found.watermarks.get(partition, until), until)


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
    until = "no statement is possible yet" if waited_for else "no statement has been due yet"
    if oldest is not None:
        until = f"statements are possible up to {format_rfc3339(oldest)}"
    typer.echo(f"{until}; they wait for partition {waited_for}: see its worker's log" if waited_for else until)
