"""The reported status of a task: state and reason for readiness, metrics and the log."""

from __future__ import annotations

from enum import StrEnum

import structlog

from streams.runtime import metrics
from streams.runtime.errors import WorkerRefused, WriteRefused
from streams.runtime.processor import RetryLater


class TaskState(StrEnum):
    """What a task is doing."""

    RECOVERING = "recovering"
    RUNNING = "running"
    FENCED = "fenced"
    HALTED = "halted"
    STOPPED = "stopped"


class TaskStatus:
    """State, reason and restarts of the task of `agent` for `partition`."""

    def __init__(self, agent: str, partition: int) -> None:
        self.agent = agent
        self.partition = partition
        self.state = TaskState.RECOVERING
        self.reason = "not started"
        self.refused: WorkerRefused | None = None
        """Why the whole worker must stop; None while it may run."""
        self.interrupted = ""
        """What ended the run loop or the recovery last; empty once something is committed since."""
        self.refusal = ""
        """Why Kafka refused a write that it has not taken since: a person is needed, also while it is tried again."""
        self.waiting = ""
        """What the next record waits for outside Kafka, while the task runs."""
        self.timers_fired = 0
        """How many timers have fired, and are committed."""
        self.problems: list[str] = []
        """What the processor reports while the task runs."""
        self.restarts = 0
        """How often the task has recovered and begun to run."""
        self._labels = (agent, str(partition))
        self._logger = structlog.get_logger("streams.runtime.task").bind(agent=agent, partition=partition)

    @property
    def reported(self) -> tuple[TaskState, str]:
        """State and reason for readiness and metrics. A task that tries a refused write again is no less halted."""
        if self.refusal and self.state in (TaskState.RECOVERING, TaskState.RUNNING):
            return TaskState.HALTED, self.refusal
        return self.state, self.reason

    def _enter(self, state: TaskState, reason: str) -> None:
        self.state = state
        self.reason = reason
        self._report()

    def _report(self) -> None:
        for each in TaskState:
            metrics.STATE.labels(*self._labels, each.value).set(each is self.reported[0])

    def _allowed(self) -> None:
        """Kafka takes what it refused."""
        if self.refusal:
            self.refusal = ""
            self._report()

    def _enter_failed(self, state: TaskState, error: Exception) -> None:
        """Count and log a failure, and enter the state that it leads to."""
        metrics.FAILURES.labels(*self._labels, type(error).__name__).inc()
        self.interrupted = str(error)
        self._enter(state, self.interrupted)
        if isinstance(error, WorkerRefused):
            self.refused = error
        if isinstance(error, WriteRefused):
            self.refusal = str(error)
        if state is TaskState.HALTED:
            self._logger.error("task_halted", error=type(error).__name__, reason=str(error))
        elif state is TaskState.FENCED:
            self._logger.warning("task_fenced", reason=str(error))

    def _entered_running(self, offsets: dict[str, int], seconds: float) -> None:
        metrics.RECOVERY_SECONDS.labels(*self._labels).set(seconds)
        self._logger.info("task_running", offsets=offsets, recovery_s=round(seconds, 3))

    def _on_waiting(self, waiting: RetryLater | None) -> None:
        self.waiting = "" if waiting is None else str(waiting)
        metrics.WAITING.labels(*self._labels).set(waiting is not None)
        if waiting is None:
            self._logger.info("task_wait_ended")
        else:
            self._logger.warning("task_waiting", reason=self.waiting)
