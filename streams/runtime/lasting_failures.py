"""Requests that Kafka refuses again and again, as without a permission: fetches of input, and those of the group."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from streams.kafka.causes import cause_of

#: What lasts no longer is an outage or a change of leaders, of which other parts tell.
_REPORTED_AFTER_S: Final = 5.0


class LastingFailures:
    """Which failures of one kind go on, and since when. `what` says what fails; a failure that was not seen for
    `over_after_s` is over."""

    def __init__(self, what: str, over_after_s: float = 10.0, seconds: Callable[[], float] = monotonic) -> None:
        self._what = what
        self._over_after_s = over_after_s
        self._seconds = seconds
        self._seen: dict[str, tuple[float, float]] = {}
        """When each was first and last seen."""

    def failed(self, error: BaseException) -> None:
        """It failed."""
        self._forget_old()
        reason, now = cause_of(error).text, self._seconds()
        self._seen[reason] = self._seen.get(reason, (now, now))[0], now

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        self._forget_old()
        return [
            {"reason": f"{self._what}: {reason}"}
            for reason, (first, last) in sorted(self._seen.items())
            if last - first >= _REPORTED_AFTER_S
        ]

    def _forget_old(self) -> None:
        now = self._seconds()
        self._seen = {reason: when for reason, when in self._seen.items() if now - when[1] < self._over_after_s}
