"""Backups of the two input topics: every record as it is, with its partition and the instant of its arrival.

A backup is a file of JSON lines, one for each record: topic (without the prefix), partition, offset, timestamp
(milliseconds since the epoch), and key, value and headers in base64. Its last line counts records and partitions of
each topic and has the SHA-256 of all lines before it, so that a file that was cut off or changed is refused.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, BinaryIO

from cli.kafka_io.topic_admin import apply_topics
from connect.kafka_io.batches import acknowledged
from connect.kafka_io.connection import REQUEST_TIMEOUT_MS, BrokerProblem, explained, partitions_of
from connect.kafka_io.reader import TopicReader, TopicRecord
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.partitioner import partition_of
from streams.topics import TopicSpec

_AT_ONCE = 2_000
_STOP_S = 2


class BackupUnusable(SlaError):  # noqa: N818 -- it names what happened
    """A backup can't be restored; the message says why."""


def write_backup(
    file: BinaryIO,
    bootstrap: Iterable[str],
    prefix: str,
    topics: Iterable[str],
    security: Mapping[str, object] | None = None,
    one: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Write what is in the topics (full names) now; the number of records of each, by the name without the prefix.
    Raises BrokerProblem."""
    names = list(topics)
    counts: Counter[str] = Counter({name.removeprefix(f"{prefix}."): 0 for name in names})
    digest = hashlib.sha256()
    with TopicReader(bootstrap, names, security) as reader:
        reader.from_beginning()
        partitions = Counter(topic.removeprefix(f"{prefix}.") for topic, _ in reader.all_ends())
        for records in reader.there():
            for record in records:
                name = record.topic.removeprefix(f"{prefix}.")
                line = _line(record, name)
                digest.update(line)
                file.write(line)
                counts[name] += 1
                one()
    end = {"records": counts, "partitions": partitions, "sha256": digest.hexdigest()}
    file.write(json.dumps(end).encode() + b"\n")
    return counts


def restore_backup(
    file: BinaryIO,
    bootstrap: Iterable[str],
    prefix: str,
    specs: Sequence[TopicSpec],
    security: Mapping[str, Any] | None = None,
    admin_security: Mapping[str, Any] | None = None,
    one: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Write the records of a backup into empty input topics (`specs`), in the order of their arrival and with the
    arrival that they had; the number of records of each topic.

    Where the number of partitions is that of the backup, every record goes to its partition; otherwise to that of its
    key. The topics are created if they are missing. While this runs, the broker keeps the timestamps that it is given
    (`message.timestamp.type`); afterwards the topics are as declared. Raises BackupUnusable, BrokerProblem, KafkaError.
    """
    places, end = _index(file)
    counts: Counter[str] = Counter(end["records"])
    addresses = list(bootstrap)
    wanted = {spec.name.removeprefix(f"{prefix}."): spec for spec in specs}
    if strange := sorted(counts.keys() - wanted.keys()):
        raise BackupUnusable(f"the backup has records of {strange[0]}, which is not an input topic")
    apply_topics(addresses, specs, admin_security)
    with TopicReader(addresses, [spec.name for spec in specs], security) as reader:
        reader.from_beginning()
        if filled := sorted({topic for (topic, _), end in reader.all_ends().items() if end}):
            raise BackupUnusable(
                f"{filled[0]} has had records already; restore into a topic that is empty and new: "
                "another --prefix, or delete it first while no process uses it"
            )
    try:
        apply_topics(addresses, [replace(spec, arrival_time=False) for spec in specs], admin_security)
        names = {name: spec.name for name, spec in wanted.items()}
        asyncio.run(_send(file, places, end["partitions"], addresses, names, security, one))
    except BrokerProblem as problem:
        part = "the topics may have a part of the backup: delete them before you restore it again"
        raise BrokerProblem(f"{problem}; {part}") from problem
    finally:
        apply_topics(addresses, specs, admin_security)
    return counts


#: Timestamp, topic, partition, offset and position in the file: sorted, the order of arrival.
_Place = tuple[int, str, int, int, int]


def _index(file: BinaryIO) -> tuple[list[_Place], dict[str, Any]]:
    """Where the records are, in the order of arrival, and the last line. Raises BackupUnusable."""
    places: list[_Place] = []
    digest, position = hashlib.sha256(), 0
    end: dict[str, Any] | None = None
    for number, line in enumerate(file, 1):
        try:
            fields = json.loads(line)
            if "sha256" in fields:
                end = fields
                break
            place = fields["timestamp"], fields["topic"], fields["partition"], fields["offset"], position
        except (ValueError, KeyError, TypeError) as error:
            raise BackupUnusable(f"line {number} is not a record of a backup; take another copy of the file") from error
        places.append(place)
        digest.update(line)
        position += len(line)
    if end is None:
        raise BackupUnusable(f"the file ends after {len(places):,} records without its last line: it was cut off")
    if end["sha256"] != digest.hexdigest():
        raise BackupUnusable("the file was changed: its records do not have the SHA-256 of its last line")
    places.sort()
    return places, end


async def _send(
    file: BinaryIO,
    places: Sequence[_Place],
    had: Mapping[str, int],
    addresses: Sequence[str],
    names: Mapping[str, str],
    security: Mapping[str, Any] | None,
    one: Callable[[], None],
) -> None:
    partitions = await partitions_of(addresses, names.values(), security)
    producer = aiokafka_clients.idempotent_producer(
        addresses, security, client_id="sla-restore", request_timeout_ms=REQUEST_TIMEOUT_MS, linger_ms=20
    )
    with explained(addresses):
        await producer.start()
        try:
            waiting = iter(places)
            while some := list(islice(waiting, _AT_ONCE)):
                sent = []
                for timestamp, name, partition, _, position in some:
                    file.seek(position)
                    fields = json.loads(file.readline())
                    key, count = _bytes(fields["key"]), len(partitions[names[name]])
                    target = partition if had[name] == count else _target(key, partition, count)
                    headers = [(header, _bytes(value)) for header, value in fields["headers"]]
                    sent.append(
                        await producer.send(
                            names[name],
                            _bytes(fields["value"]),
                            key,
                            partition=target,
                            timestamp_ms=timestamp,
                            headers=headers,
                        )
                    )
                    one()
                for each in sent:
                    await acknowledged(each)
        finally:  # also after Ctrl-C: it waits for records that can't be delivered
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), _STOP_S)


def _target(key: bytes | None, partition: int, count: int) -> int:
    """Where a record goes when the number of partitions is another; one with no readable key stays in order."""
    try:
        return partition % count if key is None else partition_of(key.decode(), count)
    except UnicodeDecodeError:
        return partition % count


def _line(record: TopicRecord, name: str) -> bytes:
    fields = {
        "topic": name,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.arrival // 1_000,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[header, _text(value)] for header, value in record.headers],
    }
    return json.dumps(fields).encode() + b"\n"


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
