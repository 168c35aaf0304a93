"""What is said of failures of Kafka: the reason in words, and which reasons the log has again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka.errors import InvalidTimestampError

from streams.errors import SlaError
from streams.kafka.cancellation import CLIENT_ENDED
from streams.kafka.causes import explained_error

#: A reason that ends and comes back, with no other one between, is in the log at most once in this time.
_AGAIN_S = 60.0


def reason_of(error: Exception | asyncio.CancelledError) -> str:
    """Why work with Kafka has failed."""
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_ENDED
    reason = str(error) if isinstance(error, SlaError) else explained_error(error)
    if "operation on the cluster" in reason:  # Kafka's answer to producers that may not write to any topic
        reason += "; the notifier needs Write on its topic `notifications` (`sla topics acls`)"
    if isinstance(error, InvalidTimestampError):
        reason += (
            "; the clock of this machine is ahead of Kafka's by more than the topic `notifications` allows: correct "
            "it, or let the broker stamp the rows (`sla topics apply`)"
        )
    return reason


class ReportedReason:
    """The reason that the log has last. A failure that comes again and again with pauses, as that of a client which
    connects but may not read, would be in it every few seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._reason: str | None = None
        self._at = 0.0
        self._lasts = False
        """Whether Kafka has not answered since that entry."""

    def is_new(self, reason: str) -> bool:
        """Whether this failure is to be logged."""
        now = self._now()
        if reason == self._reason and (self._lasts or now < self._at + _AGAIN_S):
            return False  # what is left out is not what lasts: where it goes on, it is logged once the time is over
        self._reason, self._at, self._lasts = reason, now, True
        return True

    def over(self) -> None:
        """Kafka answers."""
        self._lasts = False
