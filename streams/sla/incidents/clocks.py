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
    """A running or ended clock. `deadline` is None while it is paused."""

    __slots__ = (
        "deadline",
        "ended_at",
        "instance",
        "metric",
        "remind_before",
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
        self.revision = -1
        self.remind_before: int | None = None
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
        """Take a (new) target, counted from the start with its pauses: the next deadline revision (R13, R14)."""
        self.target = target
        self.state = OPEN
        self.ended_at = None
        self.remind_before = remind_before
        self.deadline = due = calendar.deadline(target, hours, self.start, pauses)
        self.warnings = ()
        if due is None:  # paused: the next deadline is the next revision
            return
        self.revision += 1
        if warn_at:
            marks = zip(calendar.thresholds(target, hours, self.start, warn_at, pauses), warn_at, strict=True)
            self.warnings = tuple((at, fraction) for at, fraction in marks if at is not None)

    def set_target_as_if_resumed(self, hours: BusinessHours, pauses: calendar.Pauses, at: int) -> None:
        """While paused: set the deadline as if the pause ended at `at`, for a verdict to name (R3, R14)."""
        assert self.target is not None
        begin = pauses.end(at)
        self.deadline = calendar.deadline(self.target, hours, self.start, pauses)
        pauses.reopen(begin)
        self.revision += 1

    @property
    def key(self) -> ClockKey:
        assert self.deadline is not None
        return ClockKey(self.metric, self.instance, self.deadline)

    def remind_at(self) -> int | None:
        """When `sla.update_due` is due (R9): before the deadline, or at once for an update on request."""
        if self.metric != UPDATE or self.deadline is None:
            return None
        if self.requested:
            return self.start
        return max(self.start, self.deadline - (self.remind_before or 0))

    def end(self, state: str, at: int) -> None:
        self.state = state
        self.ended_at = at
