"""Requests that Kafka refuses again and again, as without a permission: fetches of input, and those of the group."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from streams.kafka.causes import cause_of
from streams.log_damper import LogDamper

#: What lasts no longer is an outage or a change of leaders, of which other parts tell.
_REPORTED_AFTER_S: Final = 5.0
#: They are tried again each second or more often.
_LOG_EVERY_S: Final = 60.0


class LastingFailures:
    """Which failures of one kind go on, and since when. `what` says what fails, `event` names it in the log; a failure
    that was not seen for `over_after_s` is over."""

    def __init__(
        self, what: str, event: str, over_after_s: float = 10.0, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._what = what
        self._event = event
        self._over_after_s = over_after_s
        self._seconds = seconds
        self._seen: dict[str, tuple[float, float]] = {}
        """When each was first and last seen."""
        self._damper = LogDamper(_LOG_EVERY_S)
        self._logger = structlog.get_logger(__name__)

    def failed(self, error: BaseException) -> None:
        """It failed."""
        self._forget_old()
        reason, now = cause_of(error).text, self._seconds()
        self._seen[reason] = self._seen.get(reason, (now, now))[0], now
        left_out = self._damper.admit(reason, now)  # they are few: errors of Kafka, with this worker's topics
        if left_out is not None:
            self._logger.warning(self._event, error=repr(error), reason=reason, left_out=left_out)

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
