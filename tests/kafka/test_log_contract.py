"""What the task relies on, asked of a real broker; tests/chaos asks the fake one the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import aiokafka
import pytest
from chaos.log_contract import AGENT, CHECKS, Rig, output
from kafka.admin import KafkaAdminClient, NewTopic

from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.settings import RuntimeSettings
from tests.waiting import TIMEOUT_S

COMMITS = 20

pytestmark = pytest.mark.kafka


class KafkaRig:
    """Topics of one test on the broker that all tests share."""

    def __init__(self, settings: RuntimeSettings, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.topic = f"{settings.prefix}.in"
        self._stack = stack
        self._writers = 0

    def create_topics(self) -> None:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        # Compacted as in the product: the checks write times of 2023, which retention would delete within minutes.
        compacted = {"cleanup.policy": "compact"}
        names = {self.topic: stamped, output(self): stamped, self.settings.changelog(AGENT): compacted}
        admin = KafkaAdminClient(bootstrap_servers=list(self.settings.brokers))
        admin.create_topics([NewTopic(name, 1, 1, topic_configs=conf) for name, conf in names.items()])
        admin.close()

    def log(self) -> KafkaLog:
        offsets = Offsets(self.settings)
        self._stack.push_async_callback(offsets.close)
        return KafkaLog(self.settings, offsets, AGENT, 0, (self.topic,))

    async def append(self, values: Sequence[bytes]) -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=list(self.settings.brokers)) as producer:
            for value in values:
                await producer.send_and_wait(self.topic, value, b"k", partition=0)

    async def begin(self, values: Sequence[bytes], topic: str | None = None) -> Callable[[bool], Awaitable[None]]:
        self._writers += 1
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=list(self.settings.brokers),
            transactional_id=f"{self.settings.app_id}-writer-{self._writers}",
        )
        await producer.start()
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic or self.topic, value, b"k", partition=0)

        async def finish(commit: bool) -> None:
            await (producer.commit_transaction() if commit else producer.abort_transaction())
            await producer.stop()

        return finish


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_broker_keeps_the_contract(check: Callable[[Rig], Awaitable[None]], broker: str, prefix: str) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack, asyncio.timeout(2 * TIMEOUT_S):
            rig = KafkaRig(RuntimeSettings(f"{prefix}app", (broker,), prefix, partitions=1), stack)
            rig.create_topics()
            await check(rig)

    asyncio.run(run())
