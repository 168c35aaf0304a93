"""Inputs that Kafka has and a running task does not get: no error says so, and timers of the task wait for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Final, NamedTuple

import structlog
from aiokafka.structs import TopicPartition

from streams.runtime import metrics

#: A slow commit and a change of leaders take less.
REPORTED_AFTER_S: Final = 120.0
#: What passes between two looks at most: a process that was stopped has not looked meanwhile.
_LOOK_S: Final = 15.0


class Behind(NamedTuple):
    """What a running task has applied, the next offset by topic and partition; how many timers it has fired, as inputs
    wait for those that are due before them; and how many offsets it is behind."""

    applied: Mapping[TopicPartition, int]
    fired: int
    lag: int


class StalledInputs:
    """For how long each task has been behind without applying or firing anything."""

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._looked = seconds()
        self._behind: dict[tuple[str, str], Behind] = {}
        self._stalled_s: dict[tuple[str, str], float] = {}
        self._reported: set[tuple[str, str]] = set()
        self._logger = structlog.get_logger(__name__)

    def observe(self, behind: Mapping[tuple[str, str], Behind], unknown: Collection[tuple[str, str]] = ()) -> None:
        """Take the present state of each running task, by agent and partition, that waits for nothing else. Where it is
        `unknown`, as Kafka did not answer, what was known stays."""
        now = self._seconds()
        passed, self._looked = min(now - self._looked, _LOOK_S), now
        before, known = self._stalled_s, self._behind
        unanswered = before.keys() & set(unknown)
        self._behind = {task: known[task] for task in unanswered} | dict(behind)
        self._stalled_s = {task: before[task] for task in unanswered} | {
            task: before.get(task, 0.0) + passed
            if each.lag and task in known and known[task].lag and known[task][:2] == each[:2]
            else 0.0
            for task, each in behind.items()
        }
        for task, stalled_s in self._stalled_s.items():
            metrics.STALLED.labels(*task).set(stalled_s)
        for task in before.keys() - self._stalled_s.keys():
            metrics.STALLED.remove(*task)
        long = {task for task, stalled_s in self._stalled_s.items() if stalled_s >= REPORTED_AFTER_S}
        for agent, partition in sorted(long - self._reported):
            self._logger.error("inputs_stalled", agent=agent, partition=int(partition))
        self._reported = long

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        return [
            {
                "agent": task[0],
                "partition": int(task[1]),
                "reason": f"{self._behind[task].lag} offsets wait in Kafka, and none was applied for "
                f"{int(self._stalled_s[task])} s: restart this worker",
            }
            for task in sorted(self._reported)
        ]
