"""How many offsets of their input topics the tasks of a worker have not applied yet, and what nobody can read yet of
their topics, as gauges."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

from aiokafka.structs import TopicPartition

from streams.runtime import metrics
from streams.runtime.errors import TaskInterrupted
from streams.runtime.open_transactions import OpenTransactions
from streams.runtime.stalled_inputs import Behind, StalledInputs
from streams.runtime.task import StreamTask


class Ends(Protocol):
    """Answers where partitions end."""

    async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """The last stable offset of each. Raises TaskInterrupted."""
        ...

    async def stable_ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """The same, in a request that holds up no other one. Raises TaskInterrupted."""
        ...

    async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        """The ends with what open transactions have written. Raises TaskInterrupted."""
        ...


class ConsumerLag:
    """Measures the lag of the running tasks, and how long other programs' transactions have been open in what they
    read or write. `written_by` has the topics that each agent writes, its changelog among them."""

    def __init__(
        self,
        offsets: Ends,
        open_transactions: OpenTransactions | None = None,
        written_by: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._offsets = offsets
        self._written_by = written_by or {}
        self.open_transactions = open_transactions or OpenTransactions()
        self.stalled = StalledInputs()
        self._measured: set[tuple[str, str]] = set()
        self._measuring: asyncio.Task[None] | None = None

    def begin(self, tasks: Iterable[StreamTask]) -> None:
        """Measure in the background, unless that goes on since the last call: partitions without a leader answer late.
        Raises what the last measurement raised."""
        measuring = self._measuring
        if measuring is None or measuring.done():
            self._measuring = None
            if measuring is not None and not measuring.cancelled():  # what a client cancels is measured again
                measuring.result()
            self._measuring = asyncio.create_task(self.measure(tasks))

    def end(self) -> None:
        """Measure no longer."""
        if self._measuring is not None:
            self._measuring.cancel()

    async def measure(self, tasks: Iterable[StreamTask]) -> None:
        """Set the gauge of each running task, and remove those of all others: another worker may have them. While Kafka
        does not answer, the gauges stay as they are."""
        tasks = list(tasks)
        applied = {
            (task.agent, str(task.partition)): {
                TopicPartition(topic, task.partition): offset for topic, offset in task.applied().items()
            }
            for task in tasks
        }
        applied = {labels: positions for labels, positions in applied.items() if positions}
        ends = await _by_task(self._offsets.ends, applied.values())
        lags = {
            labels: sum(max(ends[place] - offset, 0) for place, offset in positions.items())
            for labels, positions in applied.items()
            if ends.keys() >= positions.keys()
        }
        for labels, lag in lags.items():
            metrics.LAG.labels(*labels).set(lag)
        fired = {(task.agent, str(task.partition)): task.timers_fired for task in tasks if not task.waiting}
        self.stalled.observe(
            {labels: Behind(applied[labels], fired[labels], lags[labels]) for labels in lags.keys() & fired.keys()},
            unknown=(applied.keys() - lags.keys()) & fired.keys(),
        )
        for labels in self._measured - applied.keys():
            metrics.LAG.remove(*labels)
        self._measured = set(applied)
        outputs = {
            (agent, number): [TopicPartition(topic, int(number)) for topic in self._written_by.get(agent, ())]
            for agent, number in applied
        }
        stable = {**await _by_task(self._offsets.stable_ends, outputs.values()), **ends}
        users: dict[TopicPartition, list[tuple[str, int]]] = {}
        for (agent, partition), positions in applied.items():
            for place in {*positions, *outputs[agent, partition]}:
                users.setdefault(place, []).append((agent, int(partition)))
        with contextlib.suppress(TaskInterrupted):
            written = await self._offsets.written(tuple(sorted(stable))) if stable else {}
            self.open_transactions.observe(users, stable, written)


async def _by_task(
    ask: Callable[[tuple[TopicPartition, ...]], Awaitable[Mapping[TopicPartition, int]]],
    places_of_tasks: Iterable[Collection[TopicPartition]],
) -> Mapping[TopicPartition, int]:
    """Asked for by task, as the tasks do: of one whose partition has no leader, those of the others are known."""
    found: dict[TopicPartition, int] = {}

    async def of_one(places: Collection[TopicPartition]) -> None:
        with contextlib.suppress(TaskInterrupted):
            found.update(await ask(tuple(sorted(places))))

    await asyncio.gather(*map(of_one, places_of_tasks))
    return found
