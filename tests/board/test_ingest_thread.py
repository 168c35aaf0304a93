"""The ingest thread where no broker answers: it says why, stops when asked, and never dies silently."""

from __future__ import annotations

import pytest
from signed_in import MovingClock
from sqlalchemy import Engine

from board.ingest.apply import AppliedChanges
from board.ingest.records import IngestRecord
from board.ingest.thread import Ingest
from board.ingest.writer import Work
from board.metrics import BoardMetrics
from board.recurrence import Recurrence
from streams.settings import read_settings
from streams.sla.instants import DAY, HOUR, SECOND
from streams.time_source import SystemTimeSource
from tests.waiting import wait


def ingest_of(engine: Engine) -> Ingest:
    return Ingest(engine, read_settings(brokers="127.0.0.1:1"), retention=DAY)


def test_a_broker_that_does_not_answer_is_told_and_the_thread_stops_when_asked(empty_read_model: Engine) -> None:
    ingest = ingest_of(empty_read_model)
    assert ingest.status.failure == "not connected yet"
    ingest.start()
    wait(lambda: "127.0.0.1:1" in str(ingest.status.failure))
    assert (ingest.status.reached_end, ingest.status.applied) == (False, 0)
    ingest.stop()
    assert not ingest._thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_says_so(empty_read_model: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = ingest_of(empty_read_model)

    async def dies() -> None:
        raise MemoryError

    monkeypatch.setattr(ingest, "_sessions", dies)
    ingest.start()
    wait(lambda: "restart the board" in str(ingest.status.failure))
    ingest.stop()
    assert not ingest._thread.is_alive()


def test_a_thread_that_was_never_started_is_stopped_at_once(empty_read_model: Engine) -> None:
    ingest = ingest_of(empty_read_model)
    ingest.stop()
    assert not ingest._thread.is_alive()


def test_a_failure_lasts_until_a_transaction_is_committed_or_nothing_is_left(empty_read_model: Engine) -> None:
    """A database on a full disk can be read: each new session begins, and fails where it writes."""
    ingest, place = ingest_of(empty_read_model), ("alerts", 0)
    nothing = AppliedChanges()
    for committed in (True, False):
        ingest._board.change(failure="the database: disk full", reached_end=True)
        ingest._begin({place: 3}, {place: 5}, 5)
        ingest._show_end({place: 3}, {place: 5})
        assert ingest.status.failure == "the database: disk full"
        if committed:
            ingest._applied(nothing, 1, {place: 4}, {place: 5})
        else:
            ingest._show_end({place: 5}, {place: 5})
        assert ingest.status.failure is None


class FixedTime(SystemTimeSource):
    def now(self) -> int:
        return 100 * SECOND


def test_how_long_an_alert_took_until_it_shows_is_measured_once_the_topics_are_read(empty_read_model: Engine) -> None:
    measured = BoardMetrics()
    settings = read_settings(brokers="127.0.0.1:1")
    ingest = Ingest(empty_read_model, settings, retention=DAY, metrics=measured, time_source=FixedTime())

    def seconds() -> tuple[float | None, ...]:
        name = "sla_board_arrival_to_visible_seconds"
        return tuple(measured.registry.get_sample_value(f"{name}_{each}") for each in ("count", "sum"))

    of_topics = {"incidents": 10, "alerts": 98, "rejected": 20}
    records = [IngestRecord(topic, 0, 0, at * SECOND, None, None) for topic, at in of_topics.items()]
    ingest._measure(Work(records=[*records, IngestRecord("alerts", 0, 1, 99 * SECOND, None, None)]))
    assert seconds() == (0, 0), "what a rebuilt board reads is old"
    ingest._board.change(reached_end=True)
    ingest._measure(Work(records=records))
    ingest._measure(Work(records=[each for each in records if each.topic != "alerts"]))
    assert seconds() == (1, 2)


def test_work_of_an_interval_is_due_after_a_clock_was_set_back() -> None:
    clock = MovingClock(DAY)
    work = Recurrence(clock, HOUR)
    assert [work.due(), work.due()] == [True, False]
    clock.move(HOUR)
    assert [work.due(), work.due()] == [True, False]
    clock.move(-20 * HOUR)
    assert [work.due(), work.due()] == [True, False]
