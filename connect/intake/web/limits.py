"""Rate limits of sources, and a bounded set of recently rejected bodies."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from connect.intake.mapping.rules import Source
from streams.sla.instants import SECOND

_MAX_REMEMBERED = 10_000


class TokenBucket:
    """A token bucket over an injected clock: `burst` requests at once, `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int, now: int) -> None:
        self.rate = (per_second, burst)
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
    """A token bucket for each source. Those of `previous` are continued where the rate is the same, so that a reload
    of the mapping grants no source a second burst."""

    def __init__(self, sources: Mapping[str, Source], now: int, previous: SourceRateLimits | None = None) -> None:
        continued: Mapping[str, TokenBucket] = {} if previous is None else previous._buckets
        self._buckets: Mapping[str, TokenBucket] = {
            name: bucket
            if (bucket := continued.get(name)) is not None and bucket.rate == (each.per_second, each.burst)
            else TokenBucket(each.per_second, each.burst, now)
            for name, each in sources.items()
        }

    def acquire(self, name: str, now: int) -> int | None:
        """As `TokenBucket.acquire`, for one source."""
        return self._buckets[name].acquire(now)


class RecentKeys:
    """The keys that were added last, such as digests of recently rejected bodies: a sender that repeats a bad request
    does not fill the topic."""

    def __init__(self, limit: int = _MAX_REMEMBERED) -> None:
        self._limit = limit
        self._keys: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes) -> None:
        """Remember a key; beyond the limit the oldest is forgotten."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._limit:
            self._keys.popitem(last=False)

    def discard(self, key: bytes) -> None:
        """Forget a key."""
        self._keys.pop(key, None)
