"""Batches that Kafka takes although no client of repute writes them: each of their records is read, or named unread."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka.record.util import calc_crc32c
from kafka.consumer.fetcher import Fetcher as KafkaPythonFetcher
from kafka.record.memory_records import MemoryRecords as KafkaPythonRecords
from test_taking import ONE, Fetcher

from streams.kafka.batch_reader import FetcherReader
from streams.kafka.decompression import GZIP, ZSTD
from streams.kafka.patches import KAFKA_PYTHON
from streams.kafka.records import UnreadBatch

Found = list[tuple[int, Any]]
"""Offset and value of each record."""


def record(offset_delta: int, value: bytes, *, attributes: int = 0, key: bytes = b"~") -> bytes:
    """A record without headers."""
    fields = bytes([attributes]) + b"\0" + number(offset_delta)
    fields += number(len(key)) + key + number(len(value)) + value + b"\0"
    return number(len(fields)) + fields


def number(value: int) -> bytes:
    """Zigzag encoding."""
    left, written = (value << 1) ^ (value >> 63), bytearray()
    while left > 0x7F:
        written.append((left & 0x7F) | 0x80)
        left >>= 7
    return bytes([*written, left])


def batch(*records: bytes, base: int = 0, codec: int = 0, last: int | None = None) -> bytes:
    """A batch with the right checksum; `last` is its last offset where compaction has removed records."""
    last_delta = len(records) - 1 if last is None else last - base
    payload = b"".join(records)
    body = struct.pack(">hiqqqhii", codec, last_delta, 1_000, 1_000, -1, -1, -1, len(records)) + payload
    return struct.pack(">qiibI", base, len(body) + 9, -1, 2, calc_crc32c(body)) + body


def taken(*fetched: bytes) -> tuple[Found, int]:
    """What the product's own processes read, and the next offset."""

    async def take() -> tuple[Found, int]:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        reader, found, end = FetcherReader(fetcher), [], 0
        while some := await reader.take(frozenset({ONE}), 0.0):
            found += [(each.offset, each.value) for batch in some for each in batch.records]
            end = some[-1].end
        return found, end

    return asyncio.run(take())


def got(*fetched: bytes) -> tuple[Found, int]:
    """What `getmany` returns, and the next offset."""

    async def get() -> tuple[Found, int]:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        found: Found = []
        while some := await fetcher.fetched_records([ONE], 0, None):
            found += [(each.offset, each.value) for each in some[ONE]]
        return found, fetcher.states[ONE].position

    return asyncio.run(get())


def polled(*fetched: bytes) -> tuple[Found, int]:
    """What client services read with kafka-python, and the next offset."""
    assert KAFKA_PYTHON.applied("bounded_batches")
    reader = KafkaPythonFetcher.PartitionRecords(
        fetch_offset=0, tp=ONE, records=KafkaPythonRecords(b"".join(fetched)), isolation_level=1, check_crcs=True
    )
    found = [(each.offset, each.value) for each in reader.record_iterator]
    return found, reader.next_fetch_offset


EACH = pytest.mark.parametrize("read", [taken, got, polled])
Read = Callable[..., tuple[Found, int]]


@EACH
@pytest.mark.parametrize("deltas", [(0, 0, 0), (0, 500, 2), (0, 2**31 - 1, 1), (0, -3, -7), (2, 1, 0), (-1, 0, 1)])
def test_records_have_the_offsets_that_kafka_counts(read: Read, deltas: Sequence[int]) -> None:
    """Kafka takes any offset inside of a batch without compression."""
    odd = batch(*(record(delta, b"%d" % place) for place, delta in enumerate(deltas)), base=1)
    found, end = read(batch(record(0, b"before")), odd, batch(record(0, b"after"), base=4))
    assert found == [(0, b"before"), (1, b"0"), (2, b"1"), (3, b"2"), (4, b"after")]
    assert end == 5


@EACH
def test_what_compaction_has_left_keeps_its_offsets(read: Read) -> None:
    found, end = read(batch(record(1, b"a"), record(4, b"b"), base=10, last=16), batch(record(0, b"after"), base=17))
    assert (found, end) == ([(11, b"a"), (14, b"b"), (17, b"after")], 18)


@EACH
@pytest.mark.parametrize("key", [b"~", number(1_500_000_000)], ids=["short", "far"])
def test_what_can_not_be_read_stops_nothing(read: Read, key: bytes) -> None:
    """The attributes of a record are a byte without use. Clients read more than one where its highest bit is set, and
    take the key for its length: aiokafka then read outside of its memory, which ended the process."""
    broken = record(1, b"x" * 40, attributes=0x80, key=key)
    found, end = read(batch(record(0, b"good"), broken, record(2, b"lost")), batch(record(0, b"after"), base=3))
    assert (found[0], found[-1], end) == ((0, b"good"), (3, b"after"), 4)
    ((offset, unread),) = found[1:-1]
    assert isinstance(unread, UnreadBatch)
    assert (offset, unread.first, unread.last, unread.code) == (2, 1, 2, "undecodable")
    assert "is malformed at offsets 1 to 2" in unread.message


@EACH
@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_what_can_not_be_decompressed_stops_nothing(read: Read, codec: int) -> None:
    broken = batch(record(0, b"a"), record(1, b"b"), base=1, codec=codec)
    found, end = read(batch(record(0, b"before")), broken, batch(record(0, b"after"), base=3))
    assert (found[0], found[-1], end) == ((0, b"before"), (3, b"after"), 4)
    ((offset, unread),) = found[1:-1]
    assert isinstance(unread, UnreadBatch)
    assert (offset, unread.first, unread.last, unread.size) == (2, 1, 2, len(broken))


@EACH
def test_bytes_behind_the_last_record_make_no_record(read: Read) -> None:
    plain = batch(record(0, b"a"), record(1, b"b") + b"rest", base=1)
    found, end = read(batch(record(0, b"before")), plain, batch(record(0, b"after"), base=3))
    assert (found, end) == ([(0, b"before"), (1, b"a"), (2, b"b"), (3, b"after")], 4)
