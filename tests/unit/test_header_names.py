"""What is read of a fetch: past header names that are not UTF-8 (R27), and the same by whole batches as by records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords as KafkaPythonRecords

from streams.kafka.patches import AIOKAFKA, KAFKA_PYTHON


class Name(str):
    """A header's name that is written as other bytes."""

    def encode(self, *_: object) -> bytes:
        return b"\xff" + super().encode()


def batch(base: int, names: Iterable[str], *, producer: int = -1, compression: int = 0) -> bytes:
    """One record for each name."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, producer != -1, producer, 0, 0, 1 << 20)
    for number, name in enumerate(names):
        builder.append(number, 1, b"k", b"%d" % (base + number), [(name, b"v"), ("last", None)])
    built = bytearray(builder.build())
    built[:8] = base.to_bytes(8, "big")
    return bytes(built)


def abort_marker(base: int, producer: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, True, producer, 0, 0, 1 << 20)
    builder.append(0, 1, b"\0\0\0\0", b"\0\0\0\0\0\0", [])
    built = bytearray(builder.build())
    built[:8] = base.to_bytes(8, "big")
    built[22] |= 0x20  # a control batch
    return bytes(built)


def read(fetched: bytes, aborted: list[tuple[int, int]] | None = None, start: int = 0) -> list[Any]:
    """What comes of a fetch, which is the same record by record and by whole batches."""
    found, following = read_so(fetched, aborted, start, whole=False)
    chunks, then = read_so(fetched, aborted, start, whole=True)
    assert [shown(each) for chunk in chunks for each in chunk.records] == [shown(each) for each in found]
    assert then == following
    return found


def read_so(fetched: bytes, aborted: list[tuple[int, int]] | None, start: int, *, whole: bool) -> tuple[list[Any], int]:
    """What comes, and where the next fetch starts."""
    assert AIOKAFKA.applied("header_names")
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(fetched), aborted, start, None, None, False, READ_COMMITTED
    )
    records.whole = whole
    return list(records), records.next_fetch_offset


def shown(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


@pytest.mark.parametrize("compression", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_whatever_a_publisher_compresses_with_is_read(compression: int) -> None:
    """R27: a batch that can't be read would stop its partition."""
    packed = batch(0, ["a" * 1_000, Name("b" * 1_000)], compression=compression)
    assert len(packed) < 1_000
    assert [each.headers[0][0] for each in read(packed)] == ["a" * 1_000, "\\xff" + "b" * 1_000]


@pytest.mark.parametrize("compression", [0, 1])
def test_a_name_that_is_not_utf_8_does_not_hide_what_is_around_it(compression: int) -> None:
    """R27."""
    found = read(
        batch(0, ["a", "é"], compression=compression)
        + batch(2, ["b", Name("c"), "é"], compression=compression)
        + batch(5, ["d"], compression=compression)
    )
    assert [each.offset for each in found] == [0, 1, 2, 3, 4, 5]
    assert [each.value for each in found] == [b"%d" % number for number in range(6)]
    assert [each.headers[0] for each in found] == [
        *(("a", b"v"), ("é", b"v"), ("b", b"v"), ("\\xffc", b"v"), ("é", b"v"), ("d", b"v")),
    ]
    assert {each.headers[1] for each in found} == {("last", None)}


def test_a_fetch_that_starts_within_its_first_batch() -> None:
    assert [each.offset for each in read(batch(0, ["a", Name("b"), "c"]), start=1)] == [1, 2]


def test_what_was_aborted_stays_unread() -> None:
    """Also where a producer aborts before and after the batch in question: no marker is counted twice."""
    fetched = (
        batch(0, ["a"], producer=7)
        + abort_marker(1, 7)
        + batch(2, ["b"], producer=7)
        + batch(3, [Name("c")])
        + batch(4, ["d"], producer=7)
        + abort_marker(5, 7)
        + batch(6, [Name("e")])
    )
    assert [each.offset for each in read(fetched, [(7, 0), (7, 2)])] == [3, 6]


NAMES = st.lists(st.sampled_from(["a", "é", Name("c")]), min_size=1, max_size=4)
GAPS = st.integers(0, 2)
TRANSACTIONS = st.lists(st.tuples(st.sampled_from([-1, 7, 8]), NAMES, st.booleans(), GAPS), min_size=1, max_size=6)


@given(transactions=TRANSACTIONS, start=st.integers(0, 3), compression=st.sampled_from([0, 1]))
def test_whole_batches_are_the_same_records(
    transactions: list[tuple[int, list[str], bool, int]], start: int, compression: int
) -> None:
    """Whatever is aborted, oddly named, compressed, compacted away or before the position in the first batch."""
    fetched, offset = b"", 0
    aborted: list[tuple[int, int]] = []
    expected: list[int] = []
    for producer, names, abort, gap in transactions:
        fetched += batch(offset, names, producer=producer, compression=compression)
        first, offset = offset, offset + len(names)
        if abort and producer != -1:
            aborted.append((producer, first))
            fetched += abort_marker(offset, producer)
            offset += 1
        else:
            expected += range(first, offset)
        offset += gap
    start = min(start, len(transactions[0][1]) - 1)
    assert [each.offset for each in read(fetched, aborted, start)] == [each for each in expected if each >= start]


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_kafka_python_reads_them_too(compression: int) -> None:
    """A client's consumer could not read past such a record either."""
    assert KAFKA_PYTHON.applied("header_names")
    fetched = batch(5, ["a", Name("b"), "c"], compression=compression)
    records = [each for found in KafkaPythonRecords(fetched) for each in found]
    assert [(each.offset, each.value, each.headers) for each in records] == [
        (5, b"5", [("a", b"v"), ("last", None)]),
        (6, b"6", [("\\xffb", b"v"), ("last", None)]),
        (7, b"7", [("c", b"v"), ("last", None)]),
    ]
