"""`sla partitions`: which incident partition statements wait for (R26)."""

from __future__ import annotations

import pytest

from cli.reports.partitions import PartitionState, states
from streams.sla.instants import HOUR, MINUTE, SECOND

NOW = 1_800_000_000 * SECOND


def waited_for(watermarks: dict[int, int], unread: dict[int, int], mark_every: int = 10 * SECOND) -> list[int]:
    return [each.partition for each in states(watermarks, unread, mark_every) if each.waited_for]


@pytest.mark.parametrize(
    ("behind", "unread", "expected"),
    [
        (20 * SECOND, 0, []),
        (20 * SECOND, 7, []),
        (2 * MINUTE, 0, []),  # idle: its watermarks are rarer
        (2 * MINUTE, 7, [1]),  # halted, or slow
        (HOUR, 0, [1]),  # without a worker
    ],
)
def test_a_partition_that_is_behind_is_waited_for(behind: int, unread: int, expected: list[int]) -> None:
    assert waited_for({0: NOW, 1: NOW - behind, 2: NOW}, {0: 0, 1: unread, 2: 0}) == expected


def test_a_longer_interval_of_watermarks_is_allowed_for() -> None:
    assert waited_for({0: NOW, 1: NOW - 20 * MINUTE}, {0: 0, 1: 7}, mark_every=10 * MINUTE) == []


def test_a_partition_without_a_watermark_is_waited_for_once_another_has_one_or_input_waits() -> None:
    assert waited_for({}, {0: 0, 1: 0}) == []
    assert waited_for({}, {0: 3, 1: 0}) == [0]
    assert waited_for({0: NOW}, {0: 0, 1: 0}) == [1]
    assert states({0: NOW}, {0: 1}, SECOND) == [PartitionState(0, NOW, 1, False)]
