"""What the shard relies on, asked of a real broker; tests/chaos asks the fake one the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import aiokafka
import pytest
from chaos.log_contract import AGENT, CHECKS, Rig, output, read, write
from kafka.admin import KafkaAdminClient, NewTopic

from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.settings import RuntimeSettings

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
        names = {self.topic: stamped, output(self): stamped, self.settings.changelog(AGENT): {}}
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

    async def begin(self, values: Sequence[bytes]) -> Callable[[bool], Awaitable[None]]:
        self._writers += 1
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=list(self.settings.brokers),
            transactional_id=f"{self.settings.app_id}-writer-{self._writers}",
        )
        await producer.start()
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(self.topic, value, b"k", partition=0)

        async def finish(commit: bool) -> None:
            await (producer.commit_transaction() if commit else producer.abort_transaction())
            await producer.stop()

        return finish


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_broker_keeps_the_contract(check: Callable[[Rig], Awaitable[None]], broker: str, prefix: str) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            rig = KafkaRig(RuntimeSettings(f"{prefix}app", (broker,), prefix, partitions=1), stack)
            rig.create_topics()
            await check(rig)

    asyncio.run(run())


def test_commits_one_after_the_other_ask_for_the_group_before_records_are_acknowledged(
    broker: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What aiokafka's own sender does after the records; and nothing of it has to be tried again (pipelined.py)."""

    async def run() -> list[str]:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            rig = KafkaRig(RuntimeSettings(f"{prefix}app", (broker,), prefix, partitions=1), stack)
            rig.create_topics()
            await rig.append([b"in"] * COMMITS)
            log = rig.log()
            transactions = await log.fence()
            asked = listen(transactions._producer)
            for number in range(COMMITS):
                await transactions.commit(write(rig, f"a{number}", number + 1, rows=3))
                if number == 0:
                    caplog.clear()  # topics that are new may have no leader yet
            await transactions.discard()
            assert await read(rig, output(rig)) == [b"a%d" % number for number in range(COMMITS)]
            assert await log.committed() == {rig.topic: COMMITS}
            return asked

    asked = asyncio.run(run())
    assert asked.index("AddOffsetsToTxnRequest") < asked.index("answer to ProduceRequest")
    assert asked.count("TxnOffsetCommitRequest") == asked.count("EndTxnRequest") == COMMITS
    told = [each.getMessage() for each in caplog.records if each.name.startswith("aiokafka")]
    assert not [message for message in told if "produce" in message]


def listen(producer: aiokafka.AIOKafkaProducer) -> list[str]:
    """What the producer asks its brokers, and which answers come, in their order, from now on."""
    seen: list[str] = []
    send = producer.client.send

    async def heard(node: int, request: object, **options: object) -> object:
        name = type(request).__name__
        seen.append(name)
        answer = await send(node, request, **options)
        seen.append(f"answer to {name}")
        return answer

    producer.client.send = heard
    return seen
