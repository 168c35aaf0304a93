"""The pool of threads that wait for Kafka: bounded, and closed within a time whatever its calls do."""

from __future__ import annotations

import threading

import pytest

from board.actions.thread_pool import BoundedPool, PoolBusy
from tests.waiting import TIMEOUT_S


def test_calls_give_their_results_and_errors() -> None:
    pool = BoundedPool("test", threads=2, waiting=8)
    results = [pool.submit(lambda number=number: number * 2) for number in range(8)]  # type: ignore[misc]
    assert [each.result(TIMEOUT_S) for each in results] == [0, 2, 4, 6, 8, 10, 12, 14]
    failed = pool.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result(TIMEOUT_S)
    assert pool.close(TIMEOUT_S)


def test_what_does_not_fit_is_refused_and_a_call_that_hangs_does_not_delay_the_end() -> None:
    pool, begun, released = BoundedPool("test", threads=1, waiting=1), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait(TIMEOUT_S)

    running = pool.submit(hang)
    assert begun.wait(TIMEOUT_S)
    waiting = pool.submit(lambda: None)
    with pytest.raises(PoolBusy, match="2 actions are waited for"):
        pool.submit(lambda: None)
    assert not pool.close(0.01)
    assert waiting.cancelled()
    with pytest.raises(PoolBusy, match="stopping"):
        pool.submit(lambda: None)
    released.set()
    running.result(TIMEOUT_S)
    assert pool.close(TIMEOUT_S)
