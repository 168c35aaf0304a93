"""Work that a thread repeats: when it is tried again, what the log and the caller are told, and when it closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from structlog.testing import capture_logs

from board.background.repeated import RepeatedWork
from streams.errors import SlaError
from tests.waiting import TIMEOUT_S


def test_a_failure_is_logged_once_told_each_time_and_closes_the_connection() -> None:
    done, told, closed = threading.Event(), list[str](), list[str]()

    def outcomes() -> Iterator[bool | Exception]:
        yield from (SlaError("away\nmore"), SlaError("away"), OSError("refused"), True, SlaError("away"), KeyError("x"))
        done.set()
        while True:
            yield False

    coming = outcomes()

    def work() -> bool:
        outcome = next(coming)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    thread = RepeatedWork(
        "test",
        work,
        waits="test_waits",
        failed="test_failed",
        every_s=60,  # after True it does not wait
        again_s=0,
        on_failure=told.append,
        close=lambda: closed.append("closed"),
    )
    with capture_logs() as logs:
        thread.start()
        assert done.wait(TIMEOUT_S)
        thread.stop(60)
    assert [(each["event"], each.get("reason")) for each in logs] == [
        ("test_waits", "away"),
        ("test_waits", "refused"),
        ("test_waits", "away"),
        ("test_failed", None),
    ]
    assert told == ["away", "away", "refused", "away", "internal error: KeyError('x')"]
    assert len(closed) == len(told) + 1


def test_a_connection_that_does_not_close_does_not_end_the_thread() -> None:
    again = threading.Event()
    calls: list[str] = []

    def work() -> None:
        calls.append("call")
        if len(calls) > 2:
            again.set()
        raise SlaError("away")

    def close() -> None:
        raise OSError("gone")

    thread = RepeatedWork("test", work, waits="test_waits", failed="test_failed", again_s=0, close=close)
    with capture_logs() as logs:
        thread.start()
        assert again.wait(TIMEOUT_S)
        thread.stop(60)
    assert {each["event"] for each in logs} == {"test_waits", "test_failed"}


def test_a_defect_that_lasts_is_logged_with_its_traceback_once() -> None:
    again, calls = threading.Event(), list[str]()

    def work() -> None:
        calls.append("call")
        if len(calls) > 5:
            again.set()
        raise KeyError(len(calls))

    thread = RepeatedWork("test", work, waits="test_waits", failed="test_failed", again_s=0)
    with capture_logs() as logs:
        thread.start()
        assert again.wait(TIMEOUT_S)
        thread.stop(60)
    (only,) = logs
    assert (only["event"], only["left_out"], type(only["exc_info"])) == ("test_failed", 0, KeyError)
