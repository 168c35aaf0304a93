"""Input topics that Kafka refuses to give, as without the permission to read them: the lag may not show it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from streams.kafka.causes import cause_of

#: What lasts no longer is an outage or a change of leaders, of which other parts tell.
_REPORTED_AFTER_S: Final = 5.0
#: A failure is seen again after a second at most; after so long without it, it is over.
_OVER_AFTER_S: Final = 10.0


class FetchFailures:
    """Which failures of fetches go on, and since when."""

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[float, float]] = {}
        """When each was first and last seen."""

    def failed(self, error: Exception) -> None:
        """A fetch failed."""
        self._forget_old()
        reason, now = cause_of(error).text, self._seconds()
        self._seen[reason] = self._seen.get(reason, (now, now))[0], now

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        self._forget_old()
        return [
            {"reason": f"input can't be read: {reason}"}
            for reason, (first, last) in sorted(self._seen.items())
            if last - first >= _REPORTED_AFTER_S
        ]

    def _forget_old(self) -> None:
        now = self._seconds()
        self._seen = {reason: when for reason, when in self._seen.items() if now - when[1] < _OVER_AFTER_S}
