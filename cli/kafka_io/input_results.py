"""Reads back what the workers made of published input: accepted, rejected and why, or not read yet (R27).

A worker commits an input's offset in the transaction that writes its reject. So once the agent's consumer group has
passed an input, either its reject can be read, or it was accepted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka.structs import TopicPartition

from cli.kafka_io.batches import SentRange
from cli.kafka_io.connection import REQUEST_TIMEOUT_MS, explained
from cli.kafka_io.reader import TopicReader
from streams.kafka import aiokafka_clients
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.settings import Settings

#: Input topic, without prefix → the agent that reads it.
AGENT_OF = {INCIDENT_EVENTS: "incidents", CONTRACT_EVENTS: "ledger"}
_POLL_S = 0.2


class RejectedInput(NamedTuple):
    """An input that was rejected: its coordinates, and why."""

    topic: str
    partition: int
    offset: int
    code: str
    message: str
    event_id: str | None


class InputResults(NamedTuple):
    """How many inputs were accepted (repeats included), which were rejected, and how many no worker has read yet."""

    accepted: int
    rejected: list[RejectedInput]
    unread: int


class InputResultReader:
    """Opened before inputs are published, so no reject is missed. A context manager; raises BrokerProblem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._brokers = list(settings.bootstrap())
        self._security = settings.aiokafka_security()
        self._reader = TopicReader(self._brokers, [f"{settings.topic_prefix}.rejected"], self._security)
        self._runner = asyncio.Runner()
        self._groups: dict[str, Any] = {}
        self._rejected: list[RejectedInput] = []

    def __enter__(self) -> Self:
        self._reader.__enter__()
        self._reader.from_now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._runner:
                for consumer in self._groups.values():
                    self._runner.run(consumer.stop())
        finally:
            self._reader.__exit__(kind, error, trace)

    def wait(self, sent: Sequence[SentRange], timeout_s: float) -> InputResults:
        """The results of these inputs, once every worker has read them, or after a timeout."""
        deadline = time.monotonic() + timeout_s
        unread = self._unread(sent)
        while unread and time.monotonic() < deadline:
            self._read_rejects(_POLL_S)
            unread = self._unread(sent)
        # The offsets were committed together with the rejects, so those are there now.
        self._reader.to_current_end()
        while not self._reader.at_end():
            self._read_rejects(_POLL_S)
        total = sum(each.end - each.start for each in sent)
        mine = {each for each in self._rejected if _within(each, sent)}
        rejected = sorted(mine, key=lambda each: (each.topic, each.partition, each.offset))
        return InputResults(total - unread - len(rejected), rejected, unread)

    def _read_rejects(self, timeout_s: float) -> None:
        from cli.events.record_view import rejected_headers
        from streams.sla.events import Rejection

        decode = None
        for record in self._reader.poll(timeout_s):
            headers = rejected_headers(record)
            if headers is None:
                continue
            if decode is None:
                from cli.support.options import codec_of

                decode = codec_of(self._settings).decode
            decoded = decode(record.value, len(record.value or b""))
            event_id = None if isinstance(decoded, Rejection) else decoded[1].get("event_id")
            self._rejected.append(
                RejectedInput(
                    headers.topic,
                    headers.partition,
                    headers.offset,
                    headers.code,
                    headers.message,
                    event_id if isinstance(event_id, str) else None,
                )
            )

    def _unread(self, sent: Sequence[SentRange]) -> int:
        """How many inputs the agents' consumer groups have not passed."""
        with explained(self._brokers):
            committed = self._runner.run(self._committed({(each.topic, each.partition) for each in sent}))
        return sum(max(each.end - max(committed.get((each.topic, each.partition), 0), each.start), 0) for each in sent)

    async def _committed(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for topic, partition in partitions:
            consumer = await self._group_of(topic)
            offset = await consumer.committed(TopicPartition(topic, partition))
            found[topic, partition] = offset or 0
        return found

    async def _group_of(self, topic: str) -> Any:
        agent = AGENT_OF.get(topic.removeprefix(f"{self._settings.topic_prefix}."), "incidents")
        if agent not in self._groups:
            consumer = aiokafka_clients.consumer(
                self._brokers,
                self._security,
                client_id="sla-results",
                group_id=self._settings.runtime().group(agent),
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            await consumer.start()
            self._groups[agent] = consumer
        return self._groups[agent]


def _within(rejected: RejectedInput, sent: Sequence[SentRange]) -> bool:
    return any(
        (rejected.topic, rejected.partition) == each[:2] and each.start <= rejected.offset < each.end for each in sent
    )
