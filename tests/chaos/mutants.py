"""The runtime with one promise broken: the simulation must find each of them out.

Each mutant replaces a few lines of the runtime's own classes. The clients below them are fakes with aiokafka's
interface, so mutants of `transactions` and `kafka_log` are what they would be over aiokafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from unittest import mock

from streams.kafka import aiokafka_clients
from streams.runtime import kafka_log
from streams.runtime.errors import TaskInterrupted
from streams.runtime.interfaces import Batch, Write
from streams.runtime.kafka_log import KafkaLog
from streams.runtime.processor import Effects, Send
from streams.runtime.record_queue import RecordQueue
from streams.runtime.settings import RuntimeSettings
from streams.runtime.stream_time import StreamTime
from streams.runtime.task import StreamTask
from streams.runtime.transactions import KafkaTransactions

Rows = Sequence[tuple[bytes, bytes | None]]
_commit, _fence = KafkaTransactions.commit, KafkaLog.fence
_replay, _committed = KafkaLog.replay, KafkaLog.committed
_offer, _transactional_id = RecordQueue.offer, RuntimeSettings.transactional_id
_numbers = count()


async def _send_not_awaited(
    self: KafkaTransactions, topic: str, partition: int, sends: list[Send], timestamp_ms: int
) -> None:
    for batch in self._batches(sends, timestamp_ms):
        await self._producer.send_batch(batch, topic, partition=partition)


async def _fence_after_reading(self: Any) -> KafkaTransactions:
    self.early = [chunk async for chunk in _replay(self)], await _committed(self)
    return await _fence(self)


async def _replay_early(self: Any) -> AsyncIterator[Rows]:
    for chunk in self.early[0]:
        yield chunk


async def _committed_early(self: Any) -> Mapping[str, int]:
    offsets: Mapping[str, int] = self.early[1]
    return offsets


def _request_nobody(self: StreamTime, instant: int) -> None:
    self._builder.known = max(self._builder.known, instant)
    self._wake.set()


async def _apart(self: KafkaTransactions, write: Write) -> None:
    """The outputs in a transaction of their own."""
    try:
        await self._producer.begin_transaction()
        sends = (self._send_to(s.topic, s.partition, [s], write.timestamp_ms) for s in write.effects.sends)
        await asyncio.gather(*sends)
        await self._producer.commit_transaction()
    except Exception as error:
        raise self._classify(error) from error


def _state_of(write: Write) -> Write:
    effects = Effects()
    effects.rows = write.effects.rows
    return write._replace(effects=effects)


async def _output_before_state(self: KafkaTransactions, write: Write) -> None:
    await _apart(self, write)
    await _commit(self, _state_of(write))


async def _state_before_output(self: KafkaTransactions, write: Write) -> None:
    await _commit(self, _state_of(write))
    await _apart(self, write)


def _another_id(self: RuntimeSettings, agent: str, partition: int) -> str:
    return f"{_transactional_id(self, agent, partition)}-{next(_numbers)}"


async def _commit_again(self: KafkaTransactions, write: Write) -> None:
    try:
        await _commit(self, write)
    except TaskInterrupted:
        await _commit(self, write)


async def _commit_and_hope(self: KafkaTransactions, write: Write) -> None:
    try:
        await _commit(self, write)
    except TaskInterrupted:
        return


def _take_again(self: RecordQueue, batch: Batch) -> bool:
    if self._received and batch.start < self._received[batch.topic]:
        self._received[batch.topic] = batch.start
    return _offer(self, batch)


def _take_over_gaps(self: RecordQueue, batch: Batch) -> bool:
    if self._received and batch.start > self._received[batch.topic]:
        self._received[batch.topic] = batch.start
    return _offer(self, batch)


async def _replay_one_fetch(self: KafkaLog) -> AsyncIterator[Rows]:
    async for chunk in _replay(self):
        yield chunk
        return


def _uncommitted(settings: RuntimeSettings, **options: Any) -> Any:
    return aiokafka_clients.aiokafka.AIOKafkaConsumer(isolation_level="read_uncommitted", **options)


def _position_received(self: RecordQueue, topic: str) -> int:
    return self._received[topic]


def _wait_for_the_end(self: RecordQueue, ends: Mapping[str, int]) -> int | None:
    return None if self.reached(ends) else 0


_always = property(lambda self: True, lambda self, value: None)

Replaced = tuple[object, str, Any]
MUTANTS: Mapping[str, Sequence[Replaced]] = {
    "send-not-awaited": [(KafkaTransactions, "_send_to", _send_not_awaited)],
    # A task starts at the applied row's offsets, so that row has to be read early too; the group's alone are only
    # compared with it, and a difference is looked at twice.
    "offsets-before-fence": [
        (KafkaLog, "fence", _fence_after_reading),
        (KafkaLog, "replay", _replay_early),
        (KafkaLog, "committed", _committed_early),
    ],
    "timers-before-catch-up": [(StreamTime, "_request_ends", _request_nobody)],
    "output-before-state": [(KafkaTransactions, "commit", _output_before_state)],
    "state-before-output": [(KafkaTransactions, "commit", _state_before_output)],
    "random-transactional-id": [(RuntimeSettings, "transactional_id", _another_id)],
    "producer-used-again": [(KafkaTransactions, "commit", _commit_again)],
    "unknown-outcome-ignored": [(KafkaTransactions, "commit", _commit_and_hope)],
    "rewound-batch-taken-again": [(RecordQueue, "offer", _take_again)],
    "gap-not-seen": [(RecordQueue, "offer", _take_over_gaps)],
    "changelog-read-in-part": [(KafkaLog, "replay", _replay_one_fetch)],
    "aborted-rows-read": [(kafka_log, "new_consumer", _uncommitted)],
    "offsets-of-what-was-received": [(RecordQueue, "position", _position_received)],
    # Both were so until the simulation found them.
    "waits-for-a-closed-queue": [(RecordQueue, "covered_ms", _wait_for_the_end)],
    "halts-at-the-first-difference": [(StreamTask, "_offsets_differed", _always)],
}


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """While entered, the runtime is this mutant; itself for None."""
    with ExitStack() as stack:
        for target, attribute, replacement in MUTANTS[name] if name else ():
            stack.enter_context(mock.patch.object(target, attribute, replacement, create=True))
        yield
