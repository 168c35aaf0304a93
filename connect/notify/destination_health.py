"""How a destination does: its circuit breaker, and the instant before which nothing may be sent. Without I/O."""

from __future__ import annotations

import structlog

from connect.notify.retry_policy import LONGEST_RETRY_AFTER, CircuitBreaker
from streams.sla.instants import SECOND


class DestinationHealth:
    """Instants in microseconds."""

    def __init__(self, destination: str) -> None:
        self._breaker = CircuitBreaker()
        self.not_before = 0
        """The instant before which nothing is sent."""
        self.disabled: str | None = None
        """Why nothing more is sent: the destination has answered that it is gone."""
        self._log = structlog.get_logger("connect.notify").bind(destination=destination)

    @property
    def probing(self) -> bool:
        """Whether the circuit is open, so that one message at a time is tried."""
        return self._breaker.open

    @property
    def healthy(self) -> bool:
        """Whether the destination accepts messages, as far as is known."""
        return self.disabled is None and not self._breaker.open

    def set_back(self, by: int) -> None:
        """The clock was set back by so much."""
        self.not_before -= by

    def sent(self, now: int, min_interval: int) -> None:
        """A request was started."""
        self.not_before = max(self.not_before, now + min_interval)

    def failed(self, reason: str, retry_after: int | None, now: int, *, rate_limited: bool, waiting: int) -> None:
        """An attempt failed. Too many requests are no failure of the destination, but it needs a pause."""
        was_open = self._breaker.open
        until = now + SECOND if rate_limited else self._breaker.failed(now)
        if retry_after is not None:
            until = max(until, now + min(retry_after, LONGEST_RETRY_AFTER))
        self.not_before = max(self.not_before, until)
        if self._breaker.open and not was_open:
            self._log.warning("circuit_opened", reason=reason, waiting=waiting)
        elif self._breaker.failures == 1:
            self._log.warning("delivery_failed", reason=reason)

    def succeeded(self, waiting: int) -> None:
        """The destination has answered as it should."""
        if self._breaker.open:
            self._log.info("circuit_closed", waiting=waiting)
        self._breaker.succeeded()

    def gone(self, reason: str) -> None:
        """The destination says that it will accept nothing any more."""
        self.disabled = reason
        self._log.error("destination_gone", reason=reason, advice="restart to send there again")
