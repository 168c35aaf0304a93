"""Reads back what the workers made of published input: accepted, rejected and why, or not read yet (R27).

A worker commits an input's offset in the transaction that writes its reject. So once the agent's consumer group has
passed an input, either its reject can be read, or it was accepted.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from connect.kafka_io.batches import SentRange
from connect.kafka_io.group_offsets import GroupOffsets
from connect.kafka_io.reader import TopicReader
from connect.kafka_io.rejected_records import names_last_input
from streams.runtime.dead_letter import rejected_headers
from streams.schema_registry.schema_source import reading_codec
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.settings import Settings
from streams.sla.events import Rejection

#: Input topic, without prefix → the agent that reads it.
AGENT_OF = {INCIDENT_EVENTS: "incidents", CONTRACT_EVENTS: "ledger"}
_POLL_S = 0.2
#: Reading what was rejected may take so long beyond the timeout.
_REJECTS_S = 5.0


class RejectedInput(NamedTuple):
    """An input that was rejected: its coordinates, and why."""

    topic: str
    partition: int
    offset: int
    code: str
    message: str
    event_id: str | None


class InputResults(NamedTuple):
    """How many inputs were accepted (repeats included), which were rejected, and of how many the result is not known
    yet: no worker has read them, or the rejects could not be read in time."""

    accepted: int
    rejected: list[RejectedInput]
    unread: int


class InputResultReader:
    """Opened before inputs are published, so no reject is missed. A context manager; raises BrokerProblem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        rejected = f"{settings.topic_prefix}.rejected"
        self._reader = TopicReader(settings.bootstrap(), [rejected], settings.aiokafka_security())
        self._groups = GroupOffsets(settings)
        self._decode = reading_codec(settings.schema_registry()).decode
        self._rejected: list[RejectedInput] = []

    def __enter__(self) -> Self:
        self._reader.__enter__()
        self._reader.from_now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._groups.__exit__()
        finally:
            self._reader.__exit__(kind, error, trace)

    def wait(
        self, sent: Sequence[SentRange], timeout_s: float, on_read: Callable[[int], None] | None = None
    ) -> InputResults:
        """The results of these inputs, once every worker has read them, or after a timeout and at most _REJECTS_S.
        With `on_read`, which is called with how many were read, both times begin anew whenever more was."""
        total = sum(each.end - each.start for each in sent)
        deadline = time.monotonic() + timeout_s
        unread = self._unread(sent)
        while unread and time.monotonic() < deadline:
            if on_read is not None:
                on_read(total - unread)
            self._read_rejects(_POLL_S)
            before, unread = unread, self._unread(sent)
            if on_read is not None and unread < before:
                deadline = time.monotonic() + timeout_s
        # The offsets were committed together with the rejects, so those are there now.
        self._reader.to_current_end()
        deadline = max(deadline, time.monotonic() + _REJECTS_S)
        while not (complete := self._reader.at_end()) and time.monotonic() < deadline:
            if self._read_rejects(_POLL_S) and on_read is not None:
                deadline = max(deadline, time.monotonic() + _REJECTS_S)
        is_sent = _membership(sent)
        mine = {each for each in self._rejected if is_sent(each)}
        rejected = sorted(mine, key=lambda each: (each.topic, each.partition, each.offset))
        if not complete:
            unread = total - len(rejected)
        return InputResults(total - unread - len(rejected), rejected, unread)

    def _read_rejects(self, timeout_s: float) -> int:
        records = self._reader.poll(timeout_s)
        for record in records:
            headers = rejected_headers(record.headers)
            if headers is None or names_last_input(headers, record.value):
                continue
            decoded = self._decode(record.value, len(record.value or b""))
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
        return len(records)

    def _by_agent(self, sent: Sequence[SentRange]) -> dict[str, set[tuple[str, int]]]:
        found: dict[str, set[tuple[str, int]]] = {}
        for each in sent:
            agent = AGENT_OF[each.topic.removeprefix(f"{self._settings.topic_prefix}.")]
            found.setdefault(agent, set()).add((each.topic, each.partition))
        return found

    def _unread(self, sent: Sequence[SentRange]) -> int:
        """How many inputs the agents' consumer groups have not passed."""
        committed: dict[tuple[str, int], int] = {}
        for agent, partitions in self._by_agent(sent).items():
            committed |= self._groups.committed(agent, partitions)
        return sum(max(each.end - max(committed.get((each.topic, each.partition), 0), each.start), 0) for each in sent)


def _membership(sent: Sequence[SentRange]) -> Callable[[RejectedInput], bool]:
    """Whether a rejected input is among those sent, by binary search."""
    ranges: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for each in sorted(sent):
        ranges.setdefault((each.topic, each.partition), []).append((each.start, each.end))

    def is_sent(rejected: RejectedInput) -> bool:
        found = ranges.get((rejected.topic, rejected.partition), [])
        index = bisect_right(found, rejected.offset, key=lambda each: each[0]) - 1
        return index >= 0 and rejected.offset < found[index][1]

    return is_sent
