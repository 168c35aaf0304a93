"""A deployment that catches up: all inputs are in the topics, tasks read them in any interleaving, with restarts."""

from __future__ import annotations

import json
from collections import deque
from random import Random  # noqa: TID251 -- seeded
from typing import Any

from agent_harness import INCIDENTS, LEDGER, Cluster, StreamTask, ready_of

from agents.changelog.early_inputs import KIND as EARLY
from agents.changelog.early_inputs import EarlyInputs
from agents.changelog.input_rows import InputRows, row_key
from agents.context import position_of
from streams.runtime.processor import Effects, Record
from streams.sla.erasure import Erasures
from streams.sla.events import Position

TOPICS = {"incident-events": INCIDENTS, "contract-events": LEDGER}
Key = tuple[str, int]


class CatchingUp(Cluster):
    """As `streams.runtime.transaction_builder` does it, a task applies the record that arrived first of those in its
    two topics; all inputs are there from the start. When it has read everything, the wall clock fires its timers."""

    def __init__(self, *of: Any, now: int, seed: int, restarts: float = 0.0, **more: Any) -> None:
        super().__init__(*of, **more)
        self.clock.instant = now
        self._random = Random(seed)
        self._restarts = restarts
        self._inputs: dict[Key, deque[Record]] = {key: deque() for key in self.tasks}
        self._copies: dict[Key, deque[Record]] = {key: deque() for key in self.tasks}

    def append(self, line: dict[str, Any], arrival: int) -> None:
        """Lines in the order of their arrival."""
        ready = ready_of(line)
        name, partition = self.topics.name(ready.topic), self.own(ready.subject)
        offset, key = self._next(name, partition), ready.subject.encode()
        record = Record(name, partition, offset, arrival, key, ready.value, ready.headers)
        self._inputs[TOPICS[ready.topic], partition].append(record)

    def run(self) -> None:
        """Until nothing is left to do before now."""
        while chosen := [key for key in self.tasks if self._has_work(key)]:
            # Some tasks get ahead of the others, each for a while.
            key = self._random.choice(chosen)
            for _ in range(self._random.choice([1, 1, 3, 30])):
                if not self._has_work(key):
                    break
                self._step(key)

    def _has_work(self, key: Key) -> bool:
        due = self.tasks[key].processor.next_due()
        return bool(self._inputs[key] or self._copies[key]) or (due is not None and due < self.clock.instant)

    def _step(self, key: Key) -> None:
        task, inputs, copies = self.tasks[key], self._inputs[key], self._copies[key]
        if self._restarts and self._random.random() < self._restarts:
            self.rebuild(task)
        if not inputs and not copies:
            self.fire_some(task, self.clock.instant)
        else:
            queue = inputs if inputs and (not copies or inputs[0].arrival <= copies[0].arrival) else copies
            arrival = max(queue[0].arrival, task.time)
            if arrival > task.time and not self.fire_some(task, arrival):
                return
            task.time = arrival
            record = queue.popleft()._replace(arrival=arrival)
            if self._restarts and self._random.random() < self._restarts:
                self.crash(task, record)
            effects = Effects()
            task.processor.apply(record, effects)
            self._commit(task, effects)
        while self._internal:
            agent, record = self._internal.popleft()
            self._copies[agent, record.partition].append(record)

    def _commit(self, task: StreamTask, effects: Effects) -> None:
        """A row of an early input is deleted before its number is used again; only its own redaction replaces it."""
        for key, value in effects.rows.items():
            old = task.rows.get(key) if key.startswith(row_key(EARLY, "")) else None
            if old is not None and value is not None:
                assert self._origin(old) == self._origin(value), f"{key!r} is overwritten"
        super()._commit(task, effects)

    def _origin(self, row: bytes) -> Position:
        inputs = EarlyInputs(InputRows(self.codec), Erasures(b""))
        inputs.restore(row)
        return position_of(inputs.first().record)

    def fire_some(self, task: StreamTask, before: int) -> bool:
        """Fire a few timers in a transaction; False when more are due."""
        effects = Effects()
        task.processor.fire(before, self._random.choice([1, 2, 50]), effects)
        due = task.processor.next_due()
        task.time = max(task.time, before if due is None else min(due, before))
        self._commit(task, effects)
        return due is None or due >= before


def credits_of(cluster: Cluster) -> list[str]:
    """Every statement and credit, in an order that does not depend on partitions."""
    found = [each for each in cluster.outputs("credits") if each["type"].startswith("credit.")]
    return sorted(json.dumps(_shown(each), sort_keys=True) for each in found)


def _shown(output: dict[str, Any]) -> list[Any]:
    data = output["data"]
    what = ("tenant_id", "month", "status", "revision", "downtime_s", "excluded_s", "credit", "amount", "waived")
    return [*(str(data.get(name)) for name in what), output["type"], output["time"], output["id"]]
