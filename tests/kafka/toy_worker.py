"""A worker whose decisions are simple enough to be checked by arithmetic: run it, kill it, count what it wrote."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

from cli.support.quick_imports import quick_imports

with quick_imports():
    from streams.logs import configure_logs
    from streams.runtime.agent_spec import AgentSpec
    from streams.runtime.processor import Effects, Record, Send
    from streams.runtime.settings import RuntimeSettings
    from streams.runtime.worker import run_worker

TIMER_AFTER_US = 1_500_000


class Counting:
    """Counts records per key; one output per record; one timer per key, due a while after its first record."""

    def __init__(self, partition: int, output: str) -> None:
        self._partition = partition
        self._output = output
        self._counts: dict[bytes, int] = {}
        self._due: dict[bytes, int] = {}
        self._order: list[tuple[int, bytes]] = []

    def restore(self, key: bytes, value: bytes) -> None:
        count, due = json.loads(value)
        self._counts[key] = count
        if due:
            self._due[key] = due

    def restored(self) -> None:
        self._order = sorted((due, key) for key, due in self._due.items())

    def apply(self, record: Record, effects: Effects) -> None:
        key = record.key or b""
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        if count == 1:
            self._due[key] = record.arrival + TIMER_AFTER_US
            self._order.append((self._due[key], key))  # arrivals ascend, so does what is due
        self._put(key, effects)
        body = {"kind": "count", "count": count, "offset": record.offset, "value": (record.value or b"").decode()}
        effects.send(Send(self._output, self._partition, key, json.dumps(body).encode(), []))

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        raise AssertionError("nothing is rejected here")

    def next_due(self) -> int | None:
        return self._order[0][0] if self._order else None

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        fired = 0
        while self._order and self._order[0][0] < before and fired < limit:
            due, key = self._order.pop(0)
            del self._due[key]
            self._put(key, effects)
            body = {"kind": "timer", "due": due, "count": self._counts[key], "before": before}
            effects.send(Send(self._output, self._partition, key, json.dumps(body).encode(), []))
            fired += 1
        return fired

    def _put(self, key: bytes, effects: Effects) -> None:
        effects.put(key, json.dumps([self._counts[key], self._due.get(key, 0)]).encode())


def main() -> int:
    options = json.loads(sys.argv[1])
    configure_logs(json=True)
    settings = RuntimeSettings(
        app_id=options["app_id"],
        brokers=(options["broker"],),
        prefix=options["prefix"],
        partitions=options["partitions"],
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
        max_batch=options.get("max_batch", 500),
    )
    specs = [
        AgentSpec(name, tuple(agent["topics"]), partial(Counting, output=agent["output"]))
        for name, agent in options["agents"].items()
    ]
    return asyncio.run(run_worker(settings, specs, health_port=options["health_port"]))


if __name__ == "__main__":
    sys.exit(main())
