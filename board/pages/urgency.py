"""How near a deadline is, by the thresholds of the policy; the same rule as in static/countdown.js."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from board.queries.incident_state import ClockRow

Urgency = Literal["calm", "soon", "urgent", "late", "paused", "none"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The clock that decides when something is due, and what a countdown needs of it. Instants are microseconds UTC.

    `thresholds` are the instants at which warnings and the reminder are sent, in order.
    """

    metric: str
    instance: int
    requested: bool
    started_at: int
    at: int
    thresholds: tuple[int, ...]

    def urgency(self, now: int) -> Urgency:
        """Soon once a threshold has passed, urgent after the last, late after the deadline."""
        if now >= self.at:
            return "late"
        passed = sum(now >= threshold for threshold in self.thresholds)
        if not passed:
            return "calm"
        return "urgent" if passed == len(self.thresholds) else "soon"

    def elapsed(self, instant: int) -> float:
        """The share of the time that has passed at an instant, in percent, from 0 to 100."""
        whole = self.at - self.started_at
        return min(max(100 * (instant - self.started_at) / whole, 0.0), 100.0) if whole > 0 else 100.0


def deadline_of(clock: ClockRow) -> Deadline | None:
    """The deadline of a clock that runs; None for any other."""
    if clock.state != "running" or clock.deadline is None:
        return None
    thresholds = [at for _, at in clock.warn_at] + ([clock.remind_at] if clock.remind_at is not None else [])
    return Deadline(
        clock.metric, clock.instance, clock.requested, clock.started_at, clock.deadline, tuple(sorted(thresholds))
    )


def nearest(clocks: Iterable[ClockRow]) -> Deadline | None:
    """The earliest deadline of the clocks that run; None when none does."""
    running = [found for clock in clocks if (found := deadline_of(clock)) is not None]
    return min(running, key=lambda each: each.at, default=None)
