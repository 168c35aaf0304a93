"""What the broker holds: whether there is anything left to do, and the facts for the oracle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from zlib import crc32

from aiokafka.structs import TopicPartition

from streams.runtime.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from streams.runtime.ownership import OWNER_KEY

from .desk import ALERTS, OUT, REJECTED
from .fake_broker import Broker, Entry
from .oracle import Facts
from .worker import AGENT, SETTINGS


def all_done(broker: Broker, topics: Sequence[str]) -> bool:
    """Every input is applied, no timer is left, and what was committed is seen."""
    if broker.unsettled():
        return False
    group = SETTINGS.group(AGENT)
    for topic in topics:
        entries = read(broker, topic)
        if entries and broker.groups.get((group, TopicPartition(topic, 0)), 0) <= entries[-1].offset:
            return False
    return not any(b'"timers"' in value and json.loads(value)["timers"] for value in rows(broker).values())


def facts(broker: Broker, topics: Sequence[str]) -> Facts:
    """As a read_committed reader sees them."""
    group, found = SETTINGS.group(AGENT), rows(broker)
    raw = found.pop(CHECKPOINT_KEY, None)
    found.pop(OWNER_KEY, None)
    applied = None if raw is None else decode_checkpoint(raw)
    return Facts(
        inputs={topic: read(broker, topic) for topic in topics},
        ends={topic: broker.log(TopicPartition(topic, 0)).end for topic in topics},
        out=read(broker, OUT),
        alerts=[entry.value or b"" for entry in read(broker, ALERTS)],
        rejected=[entry.value or b"" for entry in read(broker, REJECTED)],
        rows=found,
        applied=applied.offsets if applied else {},
        applied_time=applied.time if applied else 0,
        committed={where.topic: offset for (name, where), offset in broker.groups.items() if name == group},
        unsettled=broker.unsettled(),
    )


def digest(broker: Broker) -> int:
    """A number for all of it."""
    logs = [
        (where, [(e.offset, e.timestamp, e.key, e.value, e.appended_us, e.marker) for e in log.entries])
        for where, log in sorted(broker.logs.items())
    ]
    return crc32(repr(logs).encode())


def read(broker: Broker, topic: str) -> list[Entry]:
    """All that is committed."""
    return broker.log(TopicPartition(topic, 0)).read(0, 1_000_000)[0]


def rows(broker: Broker) -> dict[bytes, bytes]:
    """The changelog: the last row of each key."""
    found = {entry.key or b"": entry.value for entry in read(broker, SETTINGS.changelog(AGENT))}
    return {key: value for key, value in found.items() if value is not None}
