"""Watches the workers: keeps the latest of their progress that was read from Kafka, for pages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from streams.sla.instants import MINUTE
from streams.worker_progress import TaskProgress, WorkerProgress

#: A task that has applied nothing for so long, although input waits, is halted or on no worker.
STOPPED_AFTER: Final = MINUTE

Task = tuple[str, int]


class ReadsProgress(Protocol):
    """What the watch asks."""

    def read(self) -> WorkerProgress:
        """The progress now. Raises SlaError."""
        ...


@dataclass(frozen=True, slots=True)
class WorkersStatus:
    """The latest progress, None before it could be read. `failure` is why the latest attempt failed: `progress` is then
    that of an earlier one. `stopped` are the tasks (agent, partition) that apply nothing although input waits."""

    progress: WorkerProgress | None = None
    failure: str | None = None
    stopped: frozenset[Task] = frozenset()


class StoppedTasks:
    """Finds tasks that stand still, by comparing what is read one time after another."""

    def __init__(self) -> None:
        self._since: dict[Task, tuple[int | None, int]] = {}
        """Task with unread input → when its latest transaction was written, and since when this is so."""

    def observe(self, progress: WorkerProgress) -> frozenset[Task]:
        """The tasks that have stood still for a minute, or all with unread input where there is no worker."""
        found = set()
        since: dict[Task, tuple[int | None, int]] = {}
        for each in progress.tasks:
            if not each.unread:
                continue
            key = each.agent, each.partition
            committed_at, begun = self._since.get(key, (None, progress.read_at))
            if key not in self._since or committed_at != each.committed_at:
                begun = progress.read_at
            since[key] = each.committed_at, begun
            if progress.workers == 0 or progress.read_at - begun >= STOPPED_AFTER:
                found.add(key)
        self._since = since
        return frozenset(found)


class WorkerWatch:
    """Keeps the latest progress, so that no page waits for Kafka. One thread calls `read` and `close`. `connect` makes
    a reader, and another one after a failure."""

    def __init__(self, connect: Callable[[], AbstractContextManager[ReadsProgress]]) -> None:
        self._connect = connect
        self._connection = ExitStack()
        self._reader: ReadsProgress | None = None
        self._status = WorkersStatus()
        self._tasks = StoppedTasks()

    @property
    def status(self) -> WorkersStatus:
        """The latest; any thread may ask."""
        return self._status

    def read(self) -> None:
        """Ask for the progress, and keep it. Raises SlaError."""
        if self._reader is None:
            self._reader = self._connection.enter_context(self._connect())
        self.note(self._reader.read())

    def close(self) -> None:
        """Close the connection; the next `read` makes another one."""
        self._reader = None
        self._connection.close()

    def note(self, progress: WorkerProgress) -> None:
        """Keep what was read."""
        self._status = WorkersStatus(progress, None, self._tasks.observe(progress))

    def note_failure(self, failure: str) -> None:
        """Keep why nothing could be read, beside what was read before."""
        self._status = replace(self._status, failure=failure)


@dataclass(frozen=True, slots=True)
class PartitionHealth:
    """What is known of one partition: its tasks of both agents, and its incident partition's place in R26. `overdue`
    counts timers that are due without effect, `overdue_since` is when the first was due. Microseconds."""

    partition: int
    incidents: TaskProgress | None
    ledger: TaskProgress | None
    watermark: int | None
    awaited: int | None
    waited_for: bool
    stopped: tuple[str, ...]
    overdue: int
    overdue_since: int | None


def partition_health(status: WorkersStatus, overdue: dict[int, tuple[int, int]]) -> tuple[PartitionHealth, ...]:
    """By partition; empty while nothing is known. `overdue` is timers and the first instant by partition."""
    progress = status.progress
    if progress is None:
        return ()
    tasks = {(each.agent, each.partition): each for each in progress.tasks}
    states = {each.partition: each for each in progress.partitions}
    found = []
    for number in sorted({each.partition for each in progress.tasks}):
        state, late = states.get(number), overdue.get(number)
        found.append(
            PartitionHealth(
                number,
                tasks.get(("incidents", number)),
                tasks.get(("ledger", number)),
                None if state is None else state.watermark,
                progress.awaited.get(number),
                state is not None and state.waited_for,
                tuple(agent for agent, partition in sorted(status.stopped) if partition == number),
                0 if late is None else late[0],
                None if late is None else late[1],
            )
        )
    return tuple(found)
