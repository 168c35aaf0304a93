"""Notices a worker that is left without an assignment although Kafka answers, so that it ends and is started again."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class RebalanceWatch:
    """How long the worker has waited for its assignment, in seconds of `seconds`."""

    def __init__(self, limit_s: float, seconds: Callable[[], float] = monotonic) -> None:
        self._limit_s = limit_s
        self._seconds = seconds
        self._since: float | None = None
        self._waited_s = 0.0

    def begin(self) -> None:
        """Partitions were revoked, or the worker has asked for its first."""
        self._since = self._seconds()
        self._waited_s = 0.0

    def end(self) -> None:
        """Partitions were assigned."""
        self._since = None
        self._waited_s = 0.0

    def kafka_unavailable(self) -> None:
        """Kafka did not answer: the wait is its fault and starts again."""
        if self._since is not None:
            self.begin()

    def kafka_answered(self) -> None:
        """Kafka answered a request of another connection."""
        if self._since is not None:
            self._waited_s = self._seconds() - self._since

    @property
    def stalled(self) -> str | None:
        """Why the worker has to start again; None while it may wait."""
        if self._waited_s <= self._limit_s:
            return None
        return f"no partitions were assigned within {self._waited_s:.0f} s, although Kafka answers"
