"""The future of one event that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

from streams.sla.events import Position


class Delivery(Future[Position]):
    """The future of one event that was sent: `result(timeout=…)` gives its position once the broker has acknowledged
    it, or raises DeliveryFailed. With asyncio: `await asyncio.wrap_future(delivery)`. `event` is what was sent, in the
    JSON form; to send it again, give it to `Publisher.publish`."""

    def __init__(self, event: Mapping[str, object]) -> None:
        super().__init__()
        self.event = event
        self.event_id = str(event["id"])
        self.reported = False
        """Whether the caller has seen the outcome."""
        self.set_running_or_notify_cancel()  # it can't be cancelled any more

    def result(self, timeout: float | None = None) -> Position:
        """The position of the event. Raises DeliveryFailed, or TimeoutError when it is not known yet (seconds)."""
        try:
            return super().result(timeout)
        finally:
            self.reported = self.reported or self.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The DeliveryFailed, or None. Raises TimeoutError when it is not known yet (seconds)."""
        try:
            return super().exception(timeout)
        finally:
            self.reported = self.reported or self.done()
