"""A record queue is bounded in records and in bytes, and counts both exactly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.interfaces import Batch
from streams.runtime.record_queue import RecordQueue


def batch(start: int, count: int, size: int, topic: str = "in") -> Batch:
    records: list[Any] = [SimpleNamespace(offset=start + number, timestamp=1) for number in range(count)]
    return Batch(topic, 0, start, start + count, records, size)


def test_it_is_full_by_bytes_before_it_is_full_by_records() -> None:
    queue = RecordQueue(("in", "other"), 100, 1_000)
    queue.begin({"in": 0, "other": 0})
    queue.offer(batch(0, 2, 900))
    assert queue.crossed(("in", "other")) == []
    queue.offer(batch(2, 2, 200))
    assert queue.crossed(("in", "other")) == ["in"]
    assert not queue.accepts("in")
    queue.pop("in")
    assert queue.crossed(("in",)) == [], "a batch is in memory until its last record is applied"
    queue.pop("in")
    assert queue.crossed(("in",)) == ["in"]
    assert queue.accepts("in")


def test_batches_that_come_before_the_start_are_bounded_too() -> None:
    queue = RecordQueue(("in",), 100, 1_000)
    queue.offer(batch(0, 1, 600))
    queue.offer(batch(1, 1, 600))
    queue.begin({"in": 0})
    assert queue.size == 0
    assert queue.received("in") == 0, "they are read again"


@given(st.lists(st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 500)), st.none()), max_size=60))
def test_bytes_are_those_of_batches_with_a_record_left(steps: list[tuple[int, int] | None]) -> None:
    queue, offset = RecordQueue(("in",), 100, 1_000), 0
    queue.begin({"in": 0})
    held: list[list[int]] = []
    for step in steps:
        if step is not None:
            queue.offer(batch(offset, *step))
            offset += step[0]
            if step[0]:
                held.append([*step])
        elif held:
            queue.pop("in")
            held[0][0] -= 1
            if not held[0][0]:
                held.pop(0)
        assert queue._bytes["in"] == sum(size for _, size in held)
    queue.reset()
    assert queue._bytes["in"] == 0
