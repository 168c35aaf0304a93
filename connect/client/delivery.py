"""The future of one event that was sent, and the failures that a flush has to report."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from connect.client.errors import ClientError, DeliveryFailed
from streams.sla.events import Position

_LOG = logging.getLogger(__name__)
#: Failed events that are kept for the next flush; further ones are counted.
MOST_RETAINED = 1_000


class Callbacks:
    """Knows whether this thread runs callbacks of a delivery. It is the thread that receives acknowledgements, so none
    comes before they have ended."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def running(self) -> bool:
        return getattr(self._thread, "running", False)

    def run(self, report: Callable[[Any], None], outcome: Any) -> None:
        """Report the outcome of a delivery, which runs its callbacks."""
        before, self._thread.running = self.running, True
        try:
            report(outcome)
        finally:
            self._thread.running = before

    def call(self, callback: Callable[[Any], object], delivery: Any) -> None:
        """Run one callback. `sys.exit` there would end the thread that sends, and every later event would wait in
        vain."""
        try:
            callback(delivery)
        except Exception:
            raise  # concurrent.futures logs it
        except BaseException as error:
            if not self.running:
                raise
            _LOG.error("callback_failed: a callback of a delivery can't end the process: %r", error)

    def raise_if_running(self, what: str = "flush and close wait") -> None:
        """Raises ClientError in a callback."""
        if self.running:
            raise ClientError(
                f"{what} for acknowledgements, and none comes while a callback of a delivery runs; "
                "call them from another thread"
            )


class Delivery(Future[Position]):
    """The future of one event that was sent: `result(timeout=…)` gives its position once the broker has acknowledged
    it, or raises DeliveryFailed. With asyncio: `await asyncio.wrap_future(delivery)`. `event` is what was sent, in the
    JSON form; to send it again, give it to `Publisher.publish`."""

    def __init__(self, event: Mapping[str, object], callbacks: Callbacks | None = None) -> None:
        super().__init__()
        self.event = event
        self.event_id = str(event["id"])
        self.reported = False
        """Whether the caller has seen the outcome."""
        self._callbacks = callbacks or Callbacks()
        self.set_running_or_notify_cancel()  # it can't be cancelled any more

    def result(self, timeout: float | None = None) -> Position:
        """The position of the event. Raises DeliveryFailed, TimeoutError when it is not known yet (seconds), and
        ClientError in a callback of a delivery that would wait for it for ever."""
        self._check_wait(timeout)
        try:
            return super().result(timeout)
        finally:
            self.reported = self.reported or self.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The DeliveryFailed, or None. Raises TimeoutError when it is not known yet (seconds), and ClientError in a
        callback of a delivery that would wait for it for ever."""
        self._check_wait(timeout)
        try:
            return super().exception(timeout)
        finally:
            self.reported = self.reported or self.done()

    def add_done_callback(self, fn: Callable[[Future[Position]], object]) -> None:
        """Call `fn` with this delivery once its outcome is known. What it raises is logged, and ends nothing."""
        super().add_done_callback(partial(self._callbacks.call, fn))

    def _check_wait(self, timeout: float | None) -> None:
        if timeout is None and not self.done():
            self._callbacks.raise_if_running("results of other deliveries wait")


class Failures:
    """Failed deliveries since the last flush. Thread-safe. It retains the first 1,000 and counts all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retained: list[tuple[Delivery, DeliveryFailed]] = []
        self._others = 0
        self._others_retriable = True

    def add(self, delivery: Delivery, failure: DeliveryFailed) -> None:
        with self._lock:
            if len(self._retained) >= MOST_RETAINED:
                self._retained = [each for each in self._retained if not each[0].reported]
            if len(self._retained) < MOST_RETAINED:
                self._retained.append((delivery, failure))
                return
            self._others += 1
            self._others_retriable = self._others_retriable and failure.retriable

    def raise_unreported(self) -> None:
        """Raises DeliveryFailed for what failed since the last call, unless its delivery has already reported it."""
        with self._lock:
            retained, self._retained = self._retained, []
            others, self._others = self._others, 0
            retriable, self._others_retriable = self._others_retriable, True
        unreported = [failure for delivery, failure in retained if not delivery.reported]
        total = len(unreported) + others
        if total == 1:
            raise unreported[0]
        if total:
            events = [event for failure in unreported for event in failure.events]
            listed = f" (this error has the events of {len(events):,}, the deliveries have all)" if others else ""
            message = f"{total:,} events were not acknowledged{listed}, the first: {unreported[0]}"
            retriable = retriable and all(failure.retriable for failure in unreported)
            raise DeliveryFailed(message, events, retriable=retriable, count=total)


class Unacknowledged:
    """The events that Kafka has not acknowledged, of at most `limit` bytes, or one. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()
        self._deliveries: dict[int, Delivery] = {}

    def reserve(self, size: int, timeout_s: float) -> bool:
        """Wait until there is room for so many bytes; False where there is none in time."""

        def fits() -> bool:
            return self._used == 0 or self._used + size <= self._limit

        with self._changed:
            if not self._changed.wait_for(fits, timeout_s):
                return False
            self._used += size
            return True

    def release(self, size: int) -> None:
        """These bytes are acknowledged, or given up."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def add(self, delivery: Delivery) -> None:
        """It was sent."""
        with self._changed:
            self._deliveries[id(delivery)] = delivery

    def remove(self, delivery: Delivery) -> None:
        """Its outcome is known."""
        with self._changed:
            self._deliveries.pop(id(delivery), None)

    def deliveries(self) -> list[Delivery]:
        """Those whose outcome is not known, in the order in which they were sent."""
        with self._changed:
            return list(self._deliveries.values())
