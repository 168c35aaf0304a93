"""When to try again, when to give up: schedules, jitter from a stable seed, a breaker for the dead. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from connect.notify.page import Message
from connect.notify.routing.rules import Destination
from streams.sla.instants import HOUR, MINUTE, SECOND

#: Standard Webhooks: what passes between one try and the next; the first is at once.
WEBHOOK_WAITS = (
    *(5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR),
    *(10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)
_FIRST_WAIT, _LONGEST_WAIT = SECOND, 5 * MINUTE
#: A destination may not silence its lane for longer by Retry-After.
LONGEST_RETRY_AFTER = HOUR
_FAILURES_BEFORE_PROBING = 5
_FIRST_PROBE, _LONGEST_PROBE = SECOND, MINUTE


def next_try(destination: Destination, message: Message, now: int, asked: int | None = None) -> int | None:
    """The instant of the next try after one that failed at `now`, or None when that was the last. `asked` is what
    Retry-After says, in microseconds."""
    give_up_at = message.since + destination.give_up_after
    if now >= give_up_at:
        return None
    tried = message.tries + 1
    if destination.kind == "webhook":
        if tried > len(WEBHOOK_WAITS):
            return None
        wait = WEBHOOK_WAITS[tried - 1]
    else:
        wait = min(_FIRST_WAIT << min(tried - 1, 20), _LONGEST_WAIT)
        wait = wait // 2 + int(wait // 2 * _share(f"{destination.name}\x1f{message.id}\x1f{tried}"))
    wait = max(wait, min(asked or 0, LONGEST_RETRY_AFTER))
    return min(now + wait, give_up_at)


def _share(seed: str) -> float:
    """From 0 up to 1, always the same for a seed: spread, yet the same in every run."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32


@dataclass(slots=True)
class Breaker:
    """After five failures in a row a destination is taken for dead: one message at a time probes it, ever more rarely,
    up to once a minute, until something gets through."""

    failures: int = 0

    @property
    def open(self) -> bool:
        return self.failures >= _FAILURES_BEFORE_PROBING

    def failed(self, now: int) -> int:
        """One more; the instant before which nothing is to be tried."""
        self.failures += 1
        if not self.open:
            return now
        return now + min(_FIRST_PROBE << min(self.failures - _FAILURES_BEFORE_PROBING, 20), _LONGEST_PROBE)

    def worked(self) -> None:
        self.failures = 0
