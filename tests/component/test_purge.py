"""Internal topics hold only what their reader has yet to apply; nobody else's topic is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import TaskInterrupted
from streams.runtime.purge import Purge
from streams.runtime.task import TaskState


class Deletions:
    """Remembers what was deleted; fails when told."""

    def __init__(self) -> None:
        self.made: list[dict[tuple[str, int], int]] = []
        self.denied = False

    async def delete_before(self, offsets: Mapping[tuple[str, int], int]) -> None:
        if self.denied:
            raise TaskInterrupted("records can't be deleted: TopicAuthorizationFailedError")
        self.made.append(dict(offsets))


def task(partition: int, state: TaskState = TaskState.RUNNING, **offsets: int) -> Any:
    return SimpleNamespace(agent="ledger", partition=partition, state=state, committed_offsets=offsets)


def purge(deletions: Deletions) -> Purge:
    def none(_: int) -> Any:
        raise AssertionError

    return Purge([AgentSpec("ledger", ("events", "internal"), none, purges=frozenset({"internal"}))], deletions)  # type: ignore[arg-type]


def test_what_is_committed_is_deleted_once_and_inputs_never() -> None:
    deletions = Deletions()
    of = purge(deletions)
    tasks = [task(0, events=9, internal=5), task(1, events=9), task(2, TaskState.HALTED, events=9, internal=3)]
    asyncio.run(of.run(tasks))
    asyncio.run(of.run(tasks))
    tasks[1].committed_offsets = {"events": 10, "internal": 1}
    asyncio.run(of.run(tasks))
    assert deletions.made == [{("internal", 0): 5}, {("internal", 1): 1}]


def test_an_idle_deployment_asks_for_nothing() -> None:
    deletions = Deletions()
    asyncio.run(purge(deletions).run([task(0), task(1, internal=0)]))
    assert deletions.made == []


def test_a_missing_permission_is_logged_once_and_deletion_tried_again() -> None:
    deletions = Deletions()
    of = purge(deletions)
    deletions.denied = True
    with capture_logs() as logs:
        asyncio.run(of.run([task(0, internal=5)]))
        asyncio.run(of.run([task(0, internal=6)]))
    assert [(each["event"], each["topics"]) for each in logs] == [("purge_failed", ["internal"])]
    deletions.denied = False
    asyncio.run(of.run([task(0, internal=6)]))
    assert deletions.made == [{("internal", 0): 6}]
