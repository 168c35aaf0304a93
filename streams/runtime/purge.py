"""Deletes records of internal topics that their one reader has applied, as Kafka Streams purges repartition topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import TaskInterrupted
from streams.runtime.kafka_log import Offsets
from streams.runtime.task import StreamTask, TaskState

EVERY_S = 60.0


class Purge:
    """Deletes behind the committed offsets of running tasks; a failure is logged once, and tried again later."""

    def __init__(self, agents: Iterable[AgentSpec], offsets: Offsets) -> None:
        self._topics = {spec.name: spec.purges for spec in agents}
        self._offsets = offsets
        self._deleted: dict[tuple[str, int], int] = {}
        self._failed = False
        self._logger = structlog.get_logger(__name__)

    async def run(self, tasks: Iterable[StreamTask]) -> None:
        """Delete once, for these tasks."""
        wanted: dict[tuple[str, int], int] = {}
        for task in tasks:
            if task.state is TaskState.RUNNING:
                for topic in self._topics[task.agent]:
                    where, offset = (topic, task.partition), task.committed_offsets.get(topic, 0)
                    if offset > self._deleted.get(where, 0):
                        wanted[where] = offset
        if not wanted:
            return
        try:
            await self._offsets.delete_before(wanted)
        except TaskInterrupted as error:
            if not self._failed:
                self._logger.warning("purge_failed", topics=sorted({topic for topic, _ in wanted}), reason=str(error))
            self._failed = True
            return
        self._failed = False
        self._deleted |= wanted

    async def keep_running(self, tasks: dict[tuple[str, int], StreamTask]) -> None:
        """Delete every minute until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.run(list(tasks.values()))
