"""What can go wrong with a task.

TaskError
├── TaskInterrupted   Kafka is unavailable or an outcome is unknown: the task discards its state and restarts
│   └── TimestampsRefused  Kafka takes no record so far from its clock: the next has at most this machine's time;
│                      refused again, it is WriteRefused
├── TaskFenced        another owner has taken over the partition: the task stops and writes nothing
├── RecordFailed       the processor raised for one record: retried alone, then rejected as `internal`
├── GroupStalled       a rebalance does not end, or none begins: the whole worker stops, to be started again
├── TimersFailed       the processor raised on a timer: retried, then its subject is quarantined or the task halts
└── TaskHalted        going on would be wrong: only this task waits for an operator
    ├── OffsetsDiffer  changelog and consumer group disagree on the next offset
    ├── TopicRecreated an input topic was deleted and created anew: the state does not continue in it
    ├── InputLost      retention removed records that were never applied, or the log was truncated
    ├── StateLost      the changelog has lost its first rows
    ├── StateUnreadable  a changelog row cannot be restored
    ├── WriteRefused   Kafka refuses what the task writes: tried again from time to time, for a person may correct it
    └── WorkerRefused  state or topics do not fit this deployment: the whole worker stops
"""

# ruff: noqa: N818 -- these name what happened to a task
from __future__ import annotations


class TaskError(Exception):
    """Base class; carries the task's coordinates."""

    def __init__(self, message: str, *, agent: str = "", partition: int = -1) -> None:
        super().__init__(message)
        self.agent = agent
        self.partition = partition


class TaskInterrupted(TaskError):
    """Kafka is unavailable, or an outcome is unknown."""


class TimestampsRefused(TaskInterrupted):
    """Kafka refuses records with the task's stream time: it is too far from the broker's clock."""


class TaskFenced(TaskError):
    """A newer owner has initialised the same transactional id."""


class GroupStalled(TaskError):
    """A rebalance does not end: tasks do not stop, or no partitions are assigned although Kafka answers. Or
    the consumer takes part in none any more."""


class RecordFailed(TaskError):
    """The processor raised for the record at `topic`, `offset`."""

    def __init__(self, cause: Exception, *, agent: str, partition: int, topic: str, offset: int) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}", agent=agent, partition=partition)
        self.topic = topic
        self.offset = offset


class TimersFailed(TaskError):
    """The processor raised on a timer due before `before`; `subject` is set when it is known."""

    def __init__(self, message: str, *, agent: str, partition: int, before: int, subject: str | None = None) -> None:
        super().__init__(message, agent=agent, partition=partition)
        self.before = before
        self.subject = subject


class TaskHalted(TaskError):
    """This task waits for an operator; the others go on."""


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
    """Some records from `applied` on no longer exist: the log holds `log_start` to `log_end`."""

    def __init__(
        self, *, agent: str, partition: int, topic: str, applied: int, log_start: int | None, log_end: int | None
    ) -> None:
        super().__init__(
            f"{topic}-{partition}: the next offset is {applied}, the log holds {log_start} to {log_end}",
            agent=agent,
            partition=partition,
        )
        self.topic = topic
        self.applied = applied
        self.log_start = log_start
        self.log_end = log_end


class TopicRecreated(TaskHalted):
    """`topic` has another id than when the checkpoint was written, or a changelog than when it was read."""

    def __init__(self, *, agent: str, partition: int, topic: str, known: bytes, found: bytes) -> None:
        super().__init__(
            f"{topic} was deleted and created anew: its id is {found.hex()}, the state was built from {known.hex()}. "
            "Its records do not continue that state. Restore the topic from a backup of the brokers; or stop all "
            "workers, delete the changelog and internal topics and the workers' consumer groups, run `sla topics "
            "apply`, and start anew from the records that are in the input topics now",
            agent=agent,
            partition=partition,
        )
        self.topic = topic


class StateLost(TaskHalted):
    """The changelog has a checkpoint, but no more the row that was written before all others."""

    def __init__(self, *, agent: str, partition: int) -> None:
        super().__init__(
            "the changelog has lost its first rows, and with them state: it was deleted and created anew under a "
            "running worker, or retention has deleted from it. Stop all workers, and start a new deployment from the "
            "input topics (docs/operations.md, Backup)",
            agent=agent,
            partition=partition,
        )


class StateUnreadable(TaskHalted):
    """A changelog row cannot be restored."""


class WriteRefused(TaskHalted):
    """Kafka refuses the task's writes, and will until a permission or a topic's limit is corrected."""


class WorkerRefused(TaskHalted):
    """Found before anything was written: this worker does not fit the state or the topics (R18)."""
