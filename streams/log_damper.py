"""Limits how often log entries of one kind are written."""

from __future__ import annotations

from collections.abc import Hashable


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
