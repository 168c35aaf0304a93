"""The fake broker keeps the contract that tests/kafka/test_log_contract.py holds the real one to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random  # noqa: TID251 -- seeded

import pytest
from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

from streams.runtime.kafka_log import KafkaLog, Offsets

from .fake_broker import Broker, Sent
from .fake_log import installed
from .log_contract import AGENT, CHECKS, Rig
from .loop import Loop
from .network import Network
from .worker import SETTINGS


class FakeRig:
    """The fake broker without faults."""

    settings = SETTINGS
    topic = "sim.in"

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._writers = 0

    def log(self) -> KafkaLog:
        return KafkaLog(self.settings, Offsets(self.settings), AGENT, 0, (self.topic,))

    async def append(self, values: Sequence[bytes]) -> None:
        self._broker.append(TopicPartition(self.topic, 0), [Sent(0, b"k", value) for value in values])

    async def begin(self, values: Sequence[bytes], topic: str | None = None) -> Callable[[bool], Awaitable[None]]:
        self._writers += 1
        writer = f"writer-{self._writers}"
        epoch = self._broker.initialise(writer, 60_000)
        where = TopicPartition(topic or self.topic, 0)
        self._broker.produce(writer, epoch, where, [Sent(0, b"k", value) for value in values])

        async def finish(commit: bool) -> None:
            self._broker.end(writer, epoch, commit=commit)
            self._broker.initialise(writer, 60_000)  # a client returns when it is settled, or so it seems to the next

        return finish


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_the_fake_broker_keeps_the_contract(check: Callable[[Rig], Awaitable[None]], seed: int) -> None:
    loop = Loop(Random(seed))
    network = Network(loop, Random(seed))
    broker = Broker(network.now_us, network.later)

    async def run() -> None:
        await check(FakeRig(broker))

    with installed(broker, network):
        loop.run(run())
        network.closed = True
        loop.bury()


def test_a_transaction_that_is_left_open_is_aborted_after_its_timeout_and_its_owner_fenced() -> None:
    loop = Loop(Random(0))
    network = Network(loop, Random(0))
    broker = Broker(network.now_us, network.later)
    where = TopicPartition("out", 0)

    async def run() -> None:
        epoch = broker.initialise("me", 10_000)
        broker.produce("me", epoch, where, [Sent(0, b"k", b"v")])
        await asyncio.sleep(9.9)
        assert broker.log(where).stable == 0
        await asyncio.sleep(0.2)
        assert broker.log(where).stable == 2
        assert broker.log(where).read(0, 10) == ([], 2)
        with pytest.raises(kafka.ProducerFenced):
            broker.end("me", epoch, commit=True)

    loop.run(run())
