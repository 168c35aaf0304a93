"""Reading back results when the partitions of rejects can't be read."""

from __future__ import annotations

import pytest

from connect.actions import input_results
from connect.actions.input_results import InputResultReader, InputResults
from connect.kafka_io.batches import SentRange
from connect.kafka_io.reader import TopicRecord
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.settings import Settings

SENT = [SentRange("sla.incident-events", 0, 3, 5)]


class Clock:
    """Moves when something waits."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Reader:
    """The topic of rejects, `left` polls before its end."""

    def __init__(self, clock: Clock, left: float) -> None:
        self._clock = clock
        self.left = left

    def to_current_end(self) -> None:
        pass

    def at_end(self) -> bool:
        return self.left <= 0

    def poll(self, timeout_s: float) -> list[object]:
        self._clock.now += timeout_s
        self.left -= 1
        return []


class Groups:
    """The agents' consumer groups: they have passed all input."""

    def committed(self, agent: str, partitions: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return dict.fromkeys(partitions, 5)


@pytest.mark.parametrize(
    ("left", "timeout_s", "expected", "waited"),
    [
        (3, 1.0, InputResults(2, [], 0), 0.6),
        (float("inf"), 1.0, InputResults(0, [], 2), 5.0),
        (float("inf"), 60.0, InputResults(0, [], 2), 60.0),
    ],
)
def test_rejects_that_can_not_be_read_leave_the_result_open(
    monkeypatch: pytest.MonkeyPatch, left: float, timeout_s: float, expected: InputResults, waited: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(input_results, "time", clock)
    monkeypatch.setattr(input_results, "TopicReader", lambda *_: Reader(clock, left))
    monkeypatch.setattr(input_results, "GroupOffsets", lambda _: Groups())
    assert InputResultReader(Settings()).wait(SENT, timeout_s) == expected
    assert clock.now == pytest.approx(waited, abs=0.3)


class SlowGroups:
    """They pass one input more at each look, up to `until`."""

    def __init__(self, until: int) -> None:
        self._until = until
        self._passed = 0

    def committed(self, agent: str, partitions: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        self._passed = min(self._passed + 1, self._until)
        return dict.fromkeys(partitions, self._passed)


@pytest.mark.parametrize(
    ("until", "expected", "waited"),
    [(100, InputResults(100, [], 0), 20.0), (50, InputResults(50, [], 50), 11.0)],
    ids=["workers read on all the time", "they stop half way"],
)
def test_a_large_file_is_waited_for_as_long_as_workers_read_on(
    monkeypatch: pytest.MonkeyPatch, until: int, expected: InputResults, waited: float
) -> None:
    clock, counted = Clock(), list[int]()
    monkeypatch.setattr(input_results, "time", clock)
    monkeypatch.setattr(input_results, "TopicReader", lambda *_: Reader(clock, 0))
    monkeypatch.setattr(input_results, "GroupOffsets", lambda _: SlowGroups(until))
    sent = [SentRange("sla.incident-events", 0, 0, 100)]
    assert InputResultReader(Settings()).wait(sent, 1.0, counted.append) == expected
    assert clock.now == pytest.approx(waited, abs=0.5)
    assert counted[:3] == [1, 2, 3], "shown on a terminal"
    begun = clock.now
    assert InputResultReader(Settings()).wait(sent, 1.0).unread, "the board has to answer"
    assert clock.now - begun == pytest.approx(1.0, abs=0.3)


class Rejects(Reader):
    """The topic has these records."""

    def __init__(self, records: list[TopicRecord]) -> None:
        super().__init__(Clock(), 1)
        self._records = records

    def poll(self, timeout_s: float) -> list[object]:
        self.left -= 1
        return list(self._records)


def test_an_input_that_a_quarantine_names_was_not_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(offset: int, value: bytes | None) -> TopicRecord:
        original = Record("sla.incident-events", 0, offset, 1, b"inc-1", value, ())
        send = rejected(original, "internal", "a timer failed", "sla.rejected", 0)
        return TopicRecord("sla.rejected", 0, offset, 1, send.key, send.value, list(send.headers))

    records = [named(3, None), named(4, b"v")]
    monkeypatch.setattr(input_results, "TopicReader", lambda *_: Rejects(records))
    monkeypatch.setattr(input_results, "GroupOffsets", lambda _: Groups())
    found = InputResultReader(Settings()).wait(SENT, 1.0)
    assert (found.accepted, [each.offset for each in found.rejected]) == (1, [4])
