"""`sla partitions`: which incident partition statements wait for (R26)."""

from __future__ import annotations

import pytest

from connect.kafka_io.progress_reader import ProgressRows
from connect.kafka_io.reader import TopicRecord
from streams.runtime.checkpoint import Checkpoint, encode_checkpoint
from streams.serde.codec import Codec
from streams.sla.instants import HOUR, MINUTE, SECOND
from streams.worker_progress import REQUEST, REQUEST_TYPE, WATERMARK, PartitionState, WatermarkRequest, states

NOW = 1_800_000_000 * SECOND


def waited_for(
    watermarks: dict[int, int], unread: dict[int, int], requests: dict[int, WatermarkRequest] | None = None
) -> list[int]:
    return [each.partition for each in states(watermarks, requests or {}, unread, NOW) if each.waited_for]


@pytest.mark.parametrize(
    ("behind", "asked_ago", "unread", "expected"),
    [
        (0, HOUR, 0, []),  # answered
        (HOUR, SECOND, 7, []),  # asked just now
        (HOUR, 2 * MINUTE, 7, [1]),  # halted, or slow
        (1, 2 * MINUTE, 0, [1]),  # without a worker
    ],
)
def test_a_partition_that_does_not_answer_is_waited_for(
    behind: int, asked_ago: int, unread: int, expected: list[int]
) -> None:
    requests = {each: WatermarkRequest(NOW - HOUR, NOW - asked_ago) for each in range(3)}
    watermarks = {0: NOW - HOUR, 1: NOW - HOUR - behind, 2: NOW}
    assert waited_for(watermarks, {0: 0, 1: unread, 2: 0}, requests) == expected


def test_nobody_waits_for_a_partition_that_was_not_asked() -> None:
    assert waited_for({0: NOW, 1: NOW - 40 * 24 * HOUR}, {0: 0, 1: 7}) == []


def test_a_partition_that_never_answered_its_first_request_is_waited_for() -> None:
    request = WatermarkRequest(NOW - HOUR, NOW - 2 * MINUTE)
    assert waited_for({}, {0: 0, 1: 0}, {0: request}) == [0]


def test_a_partition_without_a_watermark_is_waited_for_once_another_has_one_or_input_waits() -> None:
    assert waited_for({}, {0: 0, 1: 0}) == []
    assert waited_for({}, {0: 3, 1: 0}) == [0]
    assert waited_for({0: NOW}, {0: 0, 1: 0}) == [1]
    assert states({0: NOW}, {}, {0: 1}, NOW) == [PartitionState(0, NOW, 1, False)]


def row(key: str, partition: int, fields: dict[str, object] | bytes, arrival: int = NOW) -> TopicRecord:
    value = fields if isinstance(fields, bytes) else Codec().encode(REQUEST_TYPE, fields)
    return TopicRecord("sla.incidents-changelog", partition, 0, arrival, key.encode(), value, [])


def test_rows_tell_the_progress_in_whatever_order_they_are_read() -> None:
    rows = ProgressRows()
    rows.add_row("incidents", row(WATERMARK, 0, {"partition": 0, "until": 20}))
    rows.add_row("incidents", row(WATERMARK, 0, {"partition": 0, "until": 10}))
    rows.add_row("incidents", row(REQUEST, 1, {"partition": 1, "until": 30}, NOW - HOUR))
    rows.add_request(row("partition-0", 1, {"partition": 1, "until": 25}))
    rows.add_request(row("partition-0", 0, {"partition": 0, "until": 20}))
    rows.add_request(row("acme", 0, b"not a request"))
    for time, arrival in ((50, NOW), (40, NOW - SECOND)):
        rows.add_row("ledger", row("@applied", 2, encode_checkpoint(Checkpoint({}, time)), arrival))
    rows.add_row("ledger", row(WATERMARK, 3, {"partition": 3, "until": 10}))
    assert rows.watermarks == {0: 20}
    assert rows.requests[1] == WatermarkRequest(30, NOW - HOUR)
    assert rows.awaited() == {1: 30}
    assert rows.reached == {("ledger", 2): (50, NOW)}
