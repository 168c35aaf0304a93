"""Rate limits of sources and bounded memories of what they sent."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from connect.intake.mapping.rules import Source
from streams.sla.instants import SECOND

_MAX_REMEMBERED = 10_000
#: Alertmanager repeats what it knew until its group_interval is over, 5 minutes by default.
_SETTLED = 10 * 60 * SECOND


class TokenBucket:
    """A token bucket over an injected clock: `burst` requests at once, `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int, now: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._updated_at = now

    def acquire(self, now: int) -> int | None:
        """Take a token. None when there was one, else the whole seconds until there is one."""
        elapsed = max(now - self._updated_at, 0) / SECOND  # a wall clock can be stepped back
        self._tokens = min(self._tokens + elapsed * self._per_second, self._burst)
        self._updated_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return max(math.ceil((1 - self._tokens) / self._per_second), 1)


class SourceRateLimits:
    """A token bucket for each source."""

    def __init__(self, sources: Mapping[str, Source], now: int) -> None:
        self._buckets = {name: TokenBucket(each.per_second, each.burst, now) for name, each in sources.items()}

    def acquire(self, name: str, now: int) -> int | None:
        """As `TokenBucket.acquire`, for one source."""
        return self._buckets[name].acquire(now)


class RecentDigests:
    """Digests of recently rejected bodies, so that a sender that repeats a bad request does not fill the topic."""

    def __init__(self, limit: int = _MAX_REMEMBERED) -> None:
        self._limit = limit
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Remember a digest; beyond the limit the oldest is forgotten."""
        self._digests[digest] = None
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)


class ResolvedAlerts:
    """Incidents that were resolved recently, to detect an alert that fires on after it was reported resolved."""

    def __init__(self, limit: int = 10 * _MAX_REMEMBERED) -> None:
        self._limit = limit
        self._by_subject: OrderedDict[str, tuple[int, int, int | None]] = OrderedDict()

    def add(self, subject: str, ended: int, now: int) -> None:
        """Kafka has acknowledged that an incident was resolved as of `ended`; the latest such instant counts."""
        known = self._by_subject.get(subject)
        if known is None or ended > known[0]:
            self._by_subject[subject] = ended, now, None
            self._by_subject.move_to_end(subject)
            if len(self._by_subject) > self._limit:
                self._by_subject.popitem(last=False)

    def still_firing(self, subject: str, now: int) -> tuple[int, int] | None:
        """When an incident reported firing was resolved, and when it was first reported firing again. None when it was
        not resolved, or so recently that the report may have been sent before the resolution."""
        known = self._by_subject.get(subject)
        if known is None or now < known[1] + _SETTLED:
            return None
        ended, resolved_at, first_report = known
        first_report = now if first_report is None else first_report
        self._by_subject[subject] = ended, resolved_at, first_report
        return ended, first_report
