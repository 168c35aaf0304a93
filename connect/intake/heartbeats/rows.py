"""The rows of the topic of heartbeats: keys, and JSON values. The newest row of each key is the state.

All rows of a monitor lie in one partition, so readers see them in one order; the broker's clock stamps them.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from connect.intake.mapping.monitors import MONITOR_NAME
from streams.kafka.partitioner import partition_of
from streams.sla.instants import LATEST

TOPIC = "heartbeats"


class MonitorId(NamedTuple):
    """A monitor: the name of its source, and its own."""

    source: str
    name: str


class Gap(NamedTuple):
    """A span in which no intake listened, in microseconds since 1970."""

    start: int
    end: int


class BeatRow(NamedTuple):
    """A heartbeat; the timestamp of the record is its instant."""

    monitor: MonitorId


class ForgottenRow(NamedTuple):
    """A monitor that is no longer watched: its heartbeat is deleted."""

    monitor: MonitorId


class SilenceRow(NamedTuple):
    """What has been published about a silence: `after` is the heartbeat before it, `missed_at` when it became an
    incident; `ended` that the incident was resolved."""

    monitor: MonitorId
    after: int
    missed_at: int
    ended: bool


class WatermarkRow(NamedTuple):
    """An intake listens. `gaps` are those before `through`, an instant that its writer had read to."""

    through: int
    gaps: tuple[Gap, ...]


Row = BeatRow | ForgottenRow | SilenceRow | WatermarkRow


class EncodedRow(NamedTuple):
    """The key and the value of a record, and its partition. A value of None deletes the key."""

    partition: int
    key: str
    value: bytes | None


def partition_for(monitor: MonitorId, partitions: int) -> int:
    """The partition of a monitor's rows."""
    return partition_of(f"{monitor.source}/{monitor.name}", partitions)


def encode_row(row: Row, partition: int, writer: str) -> EncodedRow:
    """The record of a row that the process `writer` writes."""
    fields: dict[str, object] = {}
    match row:
        case BeatRow(monitor):
            key = f"beat/{monitor.source}/{monitor.name}"
        case ForgottenRow(monitor):
            return EncodedRow(partition, f"beat/{monitor.source}/{monitor.name}", None)
        case SilenceRow(monitor, after, missed_at, ended):
            key = f"silence/{monitor.source}/{monitor.name}"
            fields = {"after": after, "missed_at": missed_at, "ended": ended}
        case WatermarkRow(through, gaps):
            key, fields = f"watermark/{partition}", {"through": through, "gaps": gaps}
    value = json.dumps({**fields, "writer": writer}, separators=(",", ":"))
    return EncodedRow(partition, key, value.encode())


def decode_row(key: bytes | None, value: bytes | None) -> tuple[Row, str] | None:
    """A row and the process that wrote it, which a deletion does not say. None for one that this release does not
    know, or that no intake can have written."""
    try:
        kind, _, rest = (key or b"").decode().partition("/")
        if kind == "beat" and value is None:
            return ForgottenRow(_monitor(rest)), ""
        fields = json.loads(value or b"null")
        writer = str(fields["writer"])
        if kind == "watermark":
            gaps = tuple(Gap(_instant(start), _instant(end)) for start, end in fields["gaps"])
            return WatermarkRow(_instant(fields["through"]), gaps), writer
        monitor = _monitor(rest)
        if kind == "beat":
            return BeatRow(monitor), writer
        if kind == "silence":
            after, missed_at = _instant(fields["after"]), _instant(fields["missed_at"])
            return SilenceRow(monitor, after, missed_at, bool(fields["ended"])), writer
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _monitor(text: str) -> MonitorId:
    """Raises ValueError for a name that no mapping allows."""
    source, _, name = text.partition("/")
    if not MONITOR_NAME.fullmatch(name):
        raise ValueError("no name of a monitor")
    return MonitorId(source, name)


def _instant(value: object) -> int:
    """Raises ValueError for what is no instant that an event can have."""
    if not isinstance(value, int) or not 0 <= value <= LATEST:
        raise ValueError("no instant")
    return value
