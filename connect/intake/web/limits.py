"""What a source may ask for at once, and what the intake remembers of it: all of it bounded."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from connect.intake.mapping.rules import Source
from streams.sla.instants import SECOND

_MOST_REMEMBERED = 10_000
#: Alertmanager sends what it knew again until its group_interval is over, 5 minutes as delivered.
_SETTLED = 10 * 60 * SECOND


class Bucket:
    """A token bucket over an injected clock: `burst` at once, `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int, now: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at = now

    def take(self, now: int) -> int | None:
        """None when a request may pass, else in how many whole seconds the next one may."""
        passed = max(now - self._at, 0) / SECOND  # a wall clock can be stepped back
        self._left = min(self._left + passed * self._per_second, self._burst)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return None
        return max(math.ceil((1 - self._left) / self._per_second), 1)


class Rates:
    """A bucket for each source."""

    def __init__(self, sources: Mapping[str, Source], now: int) -> None:
        self._buckets = {name: Bucket(each.per_second, each.burst, now) for name, each in sources.items()}

    def take(self, name: str, now: int) -> int | None:
        """As `Bucket.take`, for one source."""
        return self._buckets[name].take(now)


class Budget:
    """Bytes that may be held at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, size: int) -> bool:
        """Whether there was room; it is taken then."""
        if self.taken + size > self.limit:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.taken -= size


class Recent:
    """The digests of bodies that were rejected lately: senders that repeat the same bad request fill no topic."""

    def __init__(self, limit: int = _MOST_REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._seen

    def add(self, digest: bytes) -> None:
        """Remember one; the oldest is forgotten."""
        self._seen[digest] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)


class Ended:
    """Incidents that were resolved lately, to notice that an alert goes on which was taken for resolved."""

    def __init__(self, limit: int = 10 * _MOST_REMEMBERED) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[int, int, int | None]] = OrderedDict()

    def add(self, subject: str, ended: int, now: int) -> None:
        """Now Kafka has that an incident was resolved as of an instant; the latest such instant counts."""
        known = self._known.get(subject)
        if known is None or ended > known[0]:
            self._known[subject] = ended, now, None
            self._known.move_to_end(subject)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)

    def going_on(self, subject: str, now: int) -> tuple[int, int] | None:
        """When an incident that is said to go on was taken for resolved, and when it was first said so; None when it
        was not, or that was heard so lately that what says it goes on may have been sent before."""
        known = self._known.get(subject)
        if known is None or now < known[1] + _SETTLED:
            return None
        ended, heard, said = known
        said = now if said is None else said
        self._known[subject] = ended, heard, said
        return ended, said
