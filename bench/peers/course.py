"""What all runs share: a broker, the input on it, and what the small job must say about that input."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.load import Encoded, incidents
from bench.peers import job
from bench.peers.run import Run
from bench.peers.watch import Outputs
from bench.throughput import PARTITIONS, publish
from cli.embedded_kafka.broker import Broker
from streams.time_source import SystemTimeSource


@dataclass(frozen=True, slots=True)
class Course:
    """The same in every round for every contender of the same share."""

    broker: Broker
    input: str
    events: int
    warm: float
    """The share of the events that is left out at either end."""
    limit_s: float
    """The longest that a run may take."""
    ends: tuple[int, ...]
    """Where each partition of the input ends."""
    expected: Outputs

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    def create(self, topic: str, settings: Mapping[str, str] | None = None) -> None:
        """A topic with as many partitions as the input."""
        asyncio.run(_create(self.bootstrap, topic, settings or {}))

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[Run]:
        """Names and a folder for one run; its topics and its folder are gone afterwards."""
        folder = tempfile.mkdtemp(prefix=f"sla-{name}-")
        try:
            yield Run(self.bootstrap, name, self.input, len(self.ends), folder)
        finally:
            asyncio.run(_delete(self.bootstrap, name))
            shutil.rmtree(Path(folder), ignore_errors=True)


def lay(broker: Broker, topic: str, events: int, warm: float, limit_s: float) -> Course:
    """Fills the input and works out what is expected."""
    expected = Outputs(PARTITIONS)
    asyncio.run(_create(broker.bootstrap, topic, {"message.timestamp.type": "LogAppendTime"}))
    load = incidents(events, SystemTimeSource().now(), PARTITIONS)
    counts = asyncio.run(publish(broker.bootstrap, topic, _expecting(load, expected)))
    return Course(broker, topic, events, warm, limit_s, tuple(counts), expected)


def _expecting(load: Iterator[Encoded], expected: Outputs) -> Iterator[Encoded]:
    state: dict[bytes, job.Incident] = {}
    for each in load:
        _, partition, key, value, _ = each
        kind, event = job.decode(value)
        after = state[key] = job.decide(state.get(key), kind, event)
        expected.add(partition, job.encode_decision(event, after))
        yield each


async def _create(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs=dict(settings))])
    finally:
        await admin.close()


async def _delete(bootstrap: str, name: str) -> None:
    """Every topic of a run: frameworks put its name into those that they create themselves."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = [topic for topic in await admin.list_topics() if name in topic]
        if topics:
            await admin.delete_topics(topics)
    finally:
        await admin.close()
