"""The sender that asks for the group beside the partitions, over a broker that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.producer import sender as base
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka import pipelined_producer

BUSY, FENCED = 51, 47
OUT, IN = TopicPartition("out", 0), TopicPartition("in", 0)
START = ["InitProducerIdRequest"]


class Client:
    """One node that leads and coordinates everything."""

    def __init__(self, answers: dict[str, list[int]]) -> None:
        self._client_id = "t"
        self.asked: list[str] = []
        self.answered: dict[str, int] = {}
        """How many requests had been made when the last of a kind was answered."""
        self._answers = answers

    def leader_for_partition(self, _: TopicPartition) -> int:
        return 1

    async def coordinator_lookup(self, *_: object) -> int:
        return 1

    async def ready(self, *_: object, **__: object) -> bool:
        return True

    async def send(self, _: int, request: Any, **__: object) -> SimpleNamespace:
        name = type(request).__name__
        self.asked.append(name)
        await asyncio.sleep(0.05 if name == "AddOffsetsToTxnRequest" else 0)
        self.answered[name] = len(self.asked)
        codes = self._answers.get(name, [])
        code = codes.pop(0) if codes else 0
        topics = getattr(request, "_topics", [])
        if name == "ProduceRequest":
            made = [(topic, [(number, code, 0, -1, 0) for number, _ in parts]) for topic, parts in topics]
            return SimpleNamespace(API_VERSION=5, topics=made)
        errors = [
            (topic, [(part[0] if isinstance(part, tuple) else part, code) for part in ps]) for topic, ps in topics
        ]
        return SimpleNamespace(error_code=code, errors=errors, producer_id=7, producer_epoch=0)


def commits(answers: dict[str, list[int]], count: int = 1) -> list[str]:
    """What is asked while so many transactions are committed."""
    return talk(answers, count).asked


def talk(answers: dict[str, list[int]], count: int) -> Client:
    """The broker that so many transactions have been committed to."""
    client = Client(answers)

    async def run() -> None:
        producer = pipelined_producer.pipelined(aiokafka.AIOKafkaProducer(transactional_id="t"), "g")
        producer._sender.client = client
        producer._message_accumulator._cluster = client
        try:
            await producer._sender.start()
            for number in range(count):
                await producer.begin_transaction()
                batch = producer.create_batch()
                batch.append(key=b"k", value=b"v", timestamp=None)
                await (await producer._message_accumulator.add_batch(batch, OUT, 5))
                await producer.send_offsets_to_transaction({IN: OffsetAndMetadata(number, "")}, "g")
                await producer.commit_transaction()
        finally:
            producer._closed = True
            end = producer._txn_manager.wait_for_transaction_end()
            if end.done():
                end.exception()  # what failed it was raised above
            task = producer._sender.sender_task
            if task is not None and not task.done():
                await producer._sender.close()

    within(run)
    return client


def within(run: Callable[[], Awaitable[None]]) -> None:
    """Run it; whoever waits for something that never comes fails."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(bounded())


def test_the_group_is_asked_for_beside_the_partitions() -> None:
    each = ["AddPartitionsToTxn", "AddOffsetsToTxn", "Produce", "TxnOffsetCommit", "EndTxn"]
    assert commits({}, count=3) == START + [f"{name}Request" for name in each] * 3


def test_records_do_not_wait_for_the_group() -> None:
    client = talk({}, 1)
    before = client.asked[: client.answered["AddOffsetsToTxnRequest"]]
    assert before[-1] == "ProduceRequest"


def test_while_the_transaction_before_is_being_completed_partitions_alone_are_asked_for_again() -> None:
    asked = commits({"AddPartitionsToTxnRequest": [BUSY, BUSY], "AddOffsetsToTxnRequest": [BUSY]})
    assert asked[1:5] == [f"Add{what}ToTxnRequest" for what in ("Partitions", "Offsets", "Partitions", "Partitions")]
    assert sorted(asked[5:7]) == ["AddOffsetsToTxnRequest", "ProduceRequest"] or asked[5] == "ProduceRequest"
    assert asked[-2:] == ["TxnOffsetCommitRequest", "EndTxnRequest"]
    assert asked.count("ProduceRequest") == asked.count("TxnOffsetCommitRequest") == 1


@pytest.mark.parametrize("step", ["AddPartitionsToTxnRequest", "AddOffsetsToTxnRequest"])
def test_who_is_fenced_ends_there(step: str) -> None:
    with pytest.raises(KafkaError) as raised:
        commits({step: [FENCED]})
    found: BaseException | None = raised.value
    while found is not None and not isinstance(found, ProducerFenced):
        found = found.__cause__
    assert isinstance(found, ProducerFenced)


def test_another_aiokafka_keeps_its_own_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
        producer = pipelined_producer.pipelined(aiokafka.AIOKafkaProducer(transactional_id="t"), "g")
        producer._closed = True
        assert type(producer._sender) is base.Sender

    within(run)
