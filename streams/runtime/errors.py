"""What can go wrong with a task.

TaskError
├── TaskInterrupted   the outcome is unknown or the broker is away: state is thrown away, the task starts again
├── TaskFenced        another owner has taken the task over: it stops and writes nothing
├── RecordFailed       the processor raised for one record: retried alone, then rejected as `internal`
├── TimersFailed       the processor raised while timers acted: retried, then its subject or the task is set aside
└── TaskHalted        going on would be wrong; this task alone waits for a person
    ├── OffsetsDiffer  the changelog and the consumer group disagree on what has been applied
    ├── InputLost      retention removed records that were never applied, or the log was truncated
    ├── StateUnreadable  a changelog row cannot be restored
    ├── WriteRefused   the broker refuses what the task writes, for good
    └── WorkerRefused  this deployment must not go on with the state or topics it found: the whole worker stops
"""

# ruff: noqa: N818 -- these name what happened to a task
from __future__ import annotations


class TaskError(Exception):
    """Base of all; carries the task's coordinates."""

    def __init__(self, message: str, *, agent: str = "", partition: int = -1) -> None:
        super().__init__(message)
        self.agent = agent
        self.partition = partition


class TaskInterrupted(TaskError):
    """The broker is away or an outcome is unknown."""


class TaskFenced(TaskError):
    """A newer owner has initialised the same transactional id."""


class RecordFailed(TaskError):
    """The processor raised for the record at `topic`, `offset`."""

    def __init__(self, cause: Exception, *, agent: str, partition: int, topic: str, offset: int) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}", agent=agent, partition=partition)
        self.topic = topic
        self.offset = offset


class TimersFailed(TaskError):
    """The processor raised while timers due before `before` acted; `subject` when it knows on which one."""

    def __init__(self, message: str, *, agent: str, partition: int, before: int, subject: str | None = None) -> None:
        super().__init__(message, agent=agent, partition=partition)
        self.before = before
        self.subject = subject


class TaskHalted(TaskError):
    """This task waits for a person; the others go on."""


class OffsetsDiffer(TaskHalted):
    """`applied` (from the changelog) and `committed` (from the consumer group) are not the same offset."""

    def __init__(self, *, agent: str, partition: int, topic: str, applied: int | None, committed: int | None) -> None:
        super().__init__(
            f"{topic}-{partition}: the next offset is {applied} by the changelog, {committed} by the consumer group",
            agent=agent,
            partition=partition,
        )
        self.topic = topic
        self.applied = applied
        self.committed = committed


class InputLost(TaskHalted):
    """Records from `applied` on are not all there any more: the log reaches from `log_start` to `log_end`."""

    def __init__(
        self, *, agent: str, partition: int, topic: str, applied: int, log_start: int | None, log_end: int | None
    ) -> None:
        super().__init__(
            f"{topic}-{partition}: the next offset is {applied}, the log reaches from {log_start} to {log_end}",
            agent=agent,
            partition=partition,
        )
        self.topic = topic
        self.applied = applied
        self.log_start = log_start
        self.log_end = log_end


class StateUnreadable(TaskHalted):
    """A changelog row cannot be restored."""


class WriteRefused(TaskHalted):
    """The broker refuses the task's writes and would refuse them again."""


class WorkerRefused(TaskHalted):
    """It was found, before anything was written, that this worker is not the one that state or topics need (R18)."""
