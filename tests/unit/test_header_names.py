"""Header names that are not UTF-8 are read past (R27), by way of what aiokafka makes of a fetch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

from streams.runtime.header_names import accept_any


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
    accept_any()
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(fetched), aborted, start, None, None, False, READ_COMMITTED
    )
    return list(records)


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
