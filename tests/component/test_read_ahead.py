"""Values that are read before they are applied: the effects are those of reading each in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from agent_harness import Cluster, ready_of
from story import contract, micros, opened, policies, resolved, responded, updated

from agents.incidents import INPUTS
from schemas import registry as schema_files
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Record, RetryLater
from streams.runtime.record_queue import RecordQueue
from streams.runtime.transaction_builder import READ_AHEAD, OpenTransaction, TransactionBuilder, TransactionLimits
from streams.serde.codec import SINGLE_OBJECT_HEAD, Codec, confluent_head

START = micros("10:00")
TOPIC = f"sla.{INPUTS[0]}"


def incidents(codec: Codec | None = None) -> Any:
    """The processor of the only partition."""
    cluster = Cluster(policies(), partitions=1, codec=codec)
    return next(task.processor for (agent, _), task in cluster.tasks.items() if agent == "incidents")


def records(values: Sequence[bytes | None], topic: str = TOPIC) -> list[Record]:
    return [Record(topic, 0, offset, START, b"inc", value, []) for offset, value in enumerate(values)]


def applied(processor: Any, records: Sequence[Record]) -> tuple[list[Any], dict[bytes, bytes | None]]:
    effects = Effects()
    for record in records:
        processor.apply(record, effects)
    processor.write_applied(effects)
    return effects.sends, effects.rows


VALUES = [
    ready_of(opened("10:00")).value,
    b"damaged",
    None,
    ready_of(contract("09:00")).value,  # no input of this agent
    ready_of(responded("10:00", id="r")).value,
    ready_of(responded("10:00", id="r")).value,  # a duplicate
    ready_of(updated("99 10:00")).value,  # from the future
    ready_of(resolved("10:00")).value,
]


@pytest.mark.parametrize("at_once", [1, 3, len(VALUES)])
def test_the_effects_are_the_same(at_once: int) -> None:
    expected = applied(incidents(), records(VALUES))
    processor, effects = incidents(), Effects()
    for record in records(VALUES):
        if record.offset % at_once == 0:
            processor.read_ahead(TOPIC, VALUES[record.offset : record.offset + at_once])
        processor.apply(record, effects)
    processor.write_applied(effects)
    assert (effects.sends, effects.rows) == expected
    assert len(effects.sends) > len(VALUES)


def test_what_was_read_and_never_comes_changes_nothing() -> None:
    processor = incidents()
    processor.read_ahead(TOPIC, [ready_of(opened("10:00", of="other")).value, *VALUES])
    assert applied(processor, records(VALUES[:1])) == applied(incidents(), records(VALUES[:1]))


def test_internal_records_are_not_read_ahead() -> None:
    processor, internal = incidents(), f"sla.{INPUTS[1]}"
    processor.read_ahead(internal, VALUES)
    assert processor._ingress._read == {}


def test_a_value_that_has_to_wait_waits_in_its_turn() -> None:
    class Asking:
        def schema_for(self, schema_id: int) -> object:
            raise RetryLater(f"schema id {schema_id}", asyncio.get_event_loop().create_future())

    async def scenario() -> None:
        codec = Codec(Asking())
        codec.use_schema_ids({"incident.opened": 1})
        assert "incident.opened" in schema_files.load().latest
        first = confluent_head(1) + ready_of(opened("10:00")).value[SINGLE_OBJECT_HEAD:]
        second = confluent_head(2) + ready_of(responded("10:00")).value[SINGLE_OBJECT_HEAD:]
        processor = incidents(codec)
        processor.read_ahead(TOPIC, [first, second, *VALUES])
        one, two = records([first, second])
        assert applied(processor, [one])[1]
        with pytest.raises(RetryLater, match="schema id 2"):
            processor.apply(two, Effects())

    asyncio.run(scenario())


class Reading:
    """A processor that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[bytes | None]]] = []

    def read_ahead(self, topic: str, values: Sequence[bytes | None]) -> None:
        self.calls.append(("read", [*values]))

    def apply(self, record: Record, effects: Effects) -> None:
        self.calls.append(("apply", [record.value]))

    def write_applied(self, effects: Effects) -> None:
        self.calls.append(("write", []))

    def next_due(self) -> int | None:
        return None


def test_a_task_reads_each_value_once_in_order_and_not_far_ahead() -> None:
    count = 2 * READ_AHEAD + 3
    values = [b"%d" % number for number in range(count)]
    raw: list[Any] = [
        SimpleNamespace(offset=n, timestamp=1, key=None, value=v, headers=[]) for n, v in enumerate(values)
    ]
    queue, processor = RecordQueue((TOPIC,), count), Reading()
    queue.begin({TOPIC: 0})
    queue.offer(Batch(TOPIC, 0, 0, count, raw))
    limits = TransactionLimits(records=count, timers=1, seconds=60)
    made: Any = processor
    builder = TransactionBuilder(
        *("incidents", 0, made, queue, limits),
        time=0,
        failed={},
        failed_subjects={},
        backlog={},
        stopwatch=lambda: 0.0,
    )
    builder.step(OpenTransaction())
    reads = [asked for kind, asked in processor.calls if kind == "read"]
    assert [len(asked) for asked in reads] == [READ_AHEAD, READ_AHEAD, 3]
    assert [value for asked in reads for value in asked] == values
    assert [asked[0] for kind, asked in processor.calls if kind == "apply"] == values
    assert processor.calls[0][0] == "read"
    assert [kind for kind, _ in processor.calls[: READ_AHEAD + 2]] == ["read", *["apply"] * READ_AHEAD, "read"]
    assert processor.calls[-1][0] == "write"
