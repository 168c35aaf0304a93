"""One clock of an incident: a target counted from a start, with its deadline, revisions and verdict (R6–R14)."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from streams.sla import calendar
from streams.sla.policy import BusinessHours, Target

RESPONSE, UPDATE, RESOLUTION = "response", "update", "resolution"
OPEN, MET, BREACHED, CANCELLED = "open", "met", "breached", "cancelled"


class ClockKey(NamedTuple):
    """What a verdict is about; part of its output id (R3)."""

    metric: str
    instance: int
    deadline: int


class Breach(NamedTuple):
    """A deadline that passed. `at` is the breach's instant: the deadline, or the change that made it past (R13)."""

    key: ClockKey
    at: int
    reclassified: bool
    revision: int
    severity: str


class Met(NamedTuple):
    key: ClockKey
    at: int


class SlaClock:
    """A running or ended clock. `deadline` is None while it is paused; `key` is that of its last deadline."""

    __slots__ = (
        "deadline",
        "ended_at",
        "instance",
        "key",
        "metric",
        "remind_at",
        "requested",
        "revision",
        "start",
        "state",
        "target",
        "warnings",
    )

    def __init__(self, metric: str, instance: int, start: int, *, requested: bool = False) -> None:
        self.metric = metric
        self.instance = instance
        self.start = start
        self.requested = requested
        self.target: Target | None = None
        self.deadline: int | None = None
        self.key: ClockKey
        self.revision = -1
        self.remind_at: int | None = None
        """When `sla.update_due` is due (R9)."""
        self.warnings: tuple[tuple[int, Fraction], ...] = ()
        self.state = OPEN
        self.ended_at: int | None = None

    def set_target(
        self,
        target: Target,
        hours: BusinessHours,
        pauses: calendar.Pauses,
        warn_at: tuple[Fraction, ...],
        remind_before: int | None,
    ) -> None:
        """Set a (new) target, counted from the start with its pauses: the next deadline revision (R13, R14).
        `remind_before`, for update windows, is how much of the clock is left at the reminder; a requested update is
        due at once (R9)."""
        self.target = target
        self.state = OPEN
        self.ended_at = None
        self.remind_at = None
        self.deadline = due = calendar.deadline(target, hours, self.start, pauses)
        self.warnings = ()
        if due is None:  # paused: the next deadline is the next revision
            return
        self.key = ClockKey(self.metric, self.instance, due)
        self.revision += 1
        if remind_before is not None:
            if self.requested:
                self.remind_at = self.start
            else:
                self.remind_at = calendar.before_deadline(target, hours, self.start, remind_before, pauses)
        if warn_at:
            thresholds = zip(calendar.thresholds(target, hours, self.start, warn_at, pauses), warn_at, strict=True)
            self.warnings = tuple((at, fraction) for at, fraction in thresholds if at is not None)

    def set_target_as_if_resumed(self, hours: BusinessHours, pauses: calendar.Pauses, at: int) -> None:
        """While paused: set the deadline as if the pause ended at `at`, for a verdict to name (R3, R14)."""
        assert self.target is not None
        begin = pauses.end(at)
        self.deadline = due = calendar.deadline(self.target, hours, self.start, pauses)
        if due is not None:
            self.key = ClockKey(self.metric, self.instance, due)
        pauses.reopen(begin)
        self.revision += 1

    def end(self, state: str, at: int) -> None:
        self.state = state
        self.ended_at = at
