"""Work that is due again after a while, by a wall clock that somebody may set back."""

from __future__ import annotations

from streams.time_source import TimeSource


class Recurrence:
    """Due at first, and whenever `every` microseconds have passed since it was due. A clock that is set back makes it
    due at once: else nothing would be done until it has caught up."""

    def __init__(self, time_source: TimeSource, every: int) -> None:
        self._time = time_source
        self._every = every
        self._at: int | None = None

    def due(self) -> bool:
        """Whether it is due now; then not again before the interval has passed."""
        now = self._time.now()
        if self._at is not None and 0 <= now - self._at < self._every:
            return False
        self._at = now
        return True
