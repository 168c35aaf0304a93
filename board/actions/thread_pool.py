"""Threads for work that waits for Kafka: few, with a short queue, and none of them keeps the process from ending."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from streams.errors import SlaError

ResultT = TypeVar("ResultT")


class PoolBusy(SlaError):  # noqa: N818 -- it names what happened
    """Every thread works and the queue is full, or the pool was closed."""


class BoundedPool:
    """At most `threads` calls run, and at most `waiting` wait. Threads start when they are needed; they are daemons, so
    a call that hangs does not outlive the process's end. Thread-safe."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._waiting = waiting
        self._changed = threading.Condition()
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._started = 0
        self._idle = 0
        self._running = 0
        self._closed = False

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Run a call in a thread. Raises PoolBusy."""
        future: Future[ResultT] = Future()
        with self._changed:
            if self._closed:
                raise PoolBusy("the board is stopping")
            if len(self._queue) >= self._waiting:
                raise PoolBusy(f"{self._running + len(self._queue)} actions are waited for")
            self._queue.append((future, work))
            if self._idle < len(self._queue) and self._started < self._threads:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
            self._changed.notify()
        return future

    def close(self, within_s: float) -> bool:
        """Take no more work, drop what waits, and wait for what runs; whether all has ended in time."""
        with self._changed:
            self._closed = True
            while self._queue:
                self._queue.popleft()[0].cancel()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._running == 0, within_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._idle -= 1
                if not self._queue:
                    return
                future, work = self._queue.popleft()
                self._running += 1
            try:
                if future.set_running_or_notify_cancel():
                    _run(future, work)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:  # whoever waits for the result gets it
        future.set_exception(error)
    else:
        future.set_result(result)
