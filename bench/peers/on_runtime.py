"""The small job in our runtime, exactly once: a program that `bench.peers` starts."""

from __future__ import annotations

import asyncio
import sys

from bench.peers import job
from bench.peers.run import read_run
from streams.logs import configure_logs
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.processor import Effects, Record, Send
from streams.runtime.settings import RuntimeSettings
from streams.runtime.worker import run_worker

AGENT = "small"


def settings_of(name: str, bootstrap: str, partitions: int) -> RuntimeSettings:
    """The runtime's own defaults: what the product's worker has."""
    return RuntimeSettings(app_id=name, brokers=(bootstrap,), prefix=name, partitions=partitions)


class SmallJobProcessor:
    """The job on one partition."""

    def __init__(self, partition: int, output: str) -> None:
        self._partition = partition
        self._output = output
        self._incidents: dict[bytes, job.Incident] = {}

    def restore(self, key: bytes, value: bytes) -> None:
        """One incident."""
        self._incidents[key] = job.decode_state(value)

    def restored(self) -> None:
        """No indexes."""

    def apply(self, record: Record, effects: Effects) -> None:
        """Decide, keep, say."""
        key = record.key or b""
        kind, event = job.decode(record.value or b"")
        after = self._incidents[key] = job.decide(self._incidents.get(key), kind, event)
        effects.put(key, job.encode_state(after))
        effects.send(Send(self._output, self._partition, key, job.encode_decision(event, after), []))

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        """Nothing is wrong with this input."""
        raise AssertionError(message)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        raise AssertionError(f"{subject} crashed {attempts} times: {message}")

    def next_due(self) -> int | None:
        """No timers."""
        return None

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        """No timers."""
        return 0


def main() -> int:
    """Work until SIGTERM."""
    run = read_run(__doc__)
    configure_logs(json=True, level="WARNING")
    spec = AgentSpec(AGENT, (run.input,), lambda partition: SmallJobProcessor(partition, run.output))
    return asyncio.run(run_worker(settings_of(run.name, run.bootstrap, run.partitions), [spec]))


if __name__ == "__main__":
    sys.exit(main())
