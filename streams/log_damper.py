"""Limits how often log entries of one kind are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

#: Seconds between two tracebacks of the same failure.
_TRACEBACK_EVERY_S = 600.0


class LogDamper:
    """Lets one log entry of a kind through in each interval, with the number of those that were left out before it.

    The kinds have to be few: names of sources, statuses, reasons. `interval` and `now` have the same unit.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._kinds: dict[Hashable, tuple[float, int]] = {}

    def admit(self, kind: Hashable, now: float) -> int | None:
        """How many entries of the kind were left out since the last one, or None when this one is to be left out."""
        logged_at, left_out = self._kinds.get(kind, (None, 0))
        if logged_at is not None and logged_at <= now < logged_at + self._interval:
            self._kinds[kind] = logged_at, left_out + 1
            return None
        self._kinds[kind] = now, 0
        return left_out


class CrashLog:
    """Logs the exceptions of work that is tried again: the first of a kind with its traceback, and again every ten
    minutes, with the number of those between (`left_out`). A kind is what was raised where. `now` is in seconds."""

    def __init__(self, logger: Any, event: str, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._event = event
        self._now = now
        self._damper = LogDamper(_TRACEBACK_EVERY_S)

    def caught(self, error: BaseException, **fields: object) -> None:
        """Log an exception that was just caught."""
        left_out = self._damper.admit((type(error), _place(error)), self._now())
        if left_out is not None:
            self._logger.error(self._event, exc_info=error, left_out=left_out, **fields)


def _place(error: BaseException) -> tuple[str, int] | None:
    """File and line at which it was raised."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return None if step is None else (step.tb_frame.f_code.co_filename, step.tb_lineno)
