"""When to retry and when to give up: schedules, jitter from a stable seed, a circuit breaker. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from connect.notify.destinations.kind import Destination
from connect.notify.message import Message
from streams.sla.instants import HOUR, MINUTE, SECOND

_FIRST_WAIT, _LONGEST_WAIT = SECOND, 5 * MINUTE
#: Retry-After delays a destination's messages no longer than this.
LONGEST_RETRY_AFTER = HOUR
_FAILURES_BEFORE_OPEN = 5
_FIRST_PROBE, _LONGEST_PROBE = SECOND, MINUTE


def next_try(destination: Destination, message: Message, now: int, retry_after: int | None = None) -> int | None:
    """The instant of the attempt after one that failed at `now`, or None when that was the last. `retry_after` is what
    Retry-After asks for, in microseconds."""
    # A clock that was ahead may have dated the beginning: it is now at the latest.
    give_up_at = min(message.since, now) + destination.give_up_after
    if now >= give_up_at:
        return None
    attempts = message.tries + 1
    schedule = destination.kind.retry_schedule
    if schedule is not None:
        if attempts > len(schedule):
            return None
        wait = schedule[attempts - 1]
    else:
        wait = min(_FIRST_WAIT << min(attempts - 1, 20), _LONGEST_WAIT)
        wait = wait // 2 + int(wait // 2 * _jitter(f"{destination.name}\x1f{message.id}\x1f{attempts}"))
    wait = max(wait, min(retry_after or 0, LONGEST_RETRY_AFTER))
    return min(now + wait, give_up_at)


def by_clock(destination: Destination, message: Message, now: int) -> Message:
    """A message that another process has stored, whose clock may have been ahead: no attempt is further ahead than a
    wait can be. Since when it waits stays as it is, for it may be this clock that is behind."""
    schedule, longest = destination.kind.retry_schedule or (), LONGEST_RETRY_AFTER
    if 0 < message.tries <= len(schedule):
        longest = max(longest, schedule[message.tries - 1])
    due = message.due if message.due <= now + longest else now
    return message._replace(due=due)


def _jitter(seed: str) -> float:
    """From 0 up to 1, always the same for a seed, so that every replay waits equally long."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32


@dataclass(slots=True)
class CircuitBreaker:
    """Opens after five failures in a row. While it is open one message at a time probes the destination, at growing
    intervals up to a minute, until one is delivered."""

    failures: int = 0

    @property
    def open(self) -> bool:
        return self.failures >= _FAILURES_BEFORE_OPEN

    def failed(self, now: int) -> int:
        """Count a failure; the instant before which nothing is to be tried."""
        self.failures += 1
        if not self.open:
            return now
        return now + min(_FIRST_PROBE << min(self.failures - _FAILURES_BEFORE_OPEN, 20), _LONGEST_PROBE)

    def succeeded(self) -> None:
        self.failures = 0
