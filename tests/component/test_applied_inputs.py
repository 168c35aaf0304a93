"""Inputs that are decided on one by one and written together: what a task writes is what it would write one by one."""

from __future__ import annotations

import random  # noqa: TID251 -- seeded
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from agent_harness import Cluster, ready_of
from story import (
    Line,
    amended,
    contract,
    erased,
    merged,
    micros,
    opened,
    policies,
    reclassified,
    reopened,
    resolved,
    responded,
    updated,
    waiting,
)

from agents.incidents import INPUTS, IncidentsProcessor
from streams.internal_topics import COPY, TO_INCIDENTS, wrap
from streams.runtime.errors import RecordFailed
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Record, WorksInSlices
from streams.runtime.record_queue import RecordQueue
from streams.runtime.transaction_builder import READ_AHEAD, OpenTransaction, TransactionBuilder, TransactionLimits
from streams.sla.events import Output

TOPIC, INTERNAL = (f"sla.{suffix}" for suffix in INPUTS)
TENANTS = ("acme", "globex", "initech")
Raw = tuple[str, int, bytes | None]
"""Topic, arrival in milliseconds, value."""


class OneByOne:
    """A processor that says nothing of slices."""

    def __init__(self, inner: IncidentsProcessor) -> None:
        self.restore, self.restored, self.apply, self.fire = inner.restore, inner.restored, inner.apply, inner.fire
        self.reject, self.quarantine, self.next_due = inner.reject, inner.quarantine, inner.next_due
        self.finish = inner.finish


def processor(**options: Any) -> IncidentsProcessor:
    """The processor of the only partition."""
    cluster = Cluster(policies(), partitions=1, **options)
    made = cluster.tasks["incidents", 0].processor
    assert isinstance(made, IncidentsProcessor)
    return made


def builder_of(inner: Any, records: list[Raw], limit: int = 1_000, **options: Any) -> TransactionBuilder:
    """A task that has received these records, and knows that no other has arrived."""
    queue = RecordQueue((TOPIC, INTERNAL), len(records))
    queue.begin({TOPIC: 0, INTERNAL: 0})
    for topic in (TOPIC, INTERNAL):
        raw: list[Any] = []
        for _, arrival, value in (one for one in records if one[0] == topic):
            headers = () if topic == TOPIC else _envelope(value)
            raw.append(SimpleNamespace(offset=len(raw), timestamp=arrival, key=b"k", value=value, headers=headers))
        queue.offer(Batch(topic, 0, 0, len(raw), raw))
    builder = TransactionBuilder(
        *("incidents", 0, inner, queue, TransactionLimits(records=limit, timers=limit, seconds=60, **options)),
        time=0,
        failed={},
        failed_subjects={},
        backlog={},
        stopwatch=lambda: 0.0,
    )
    builder.known = 1 << 60
    return builder


def _envelope(value: bytes | None) -> Any:
    return wrap(Record("sla.contract-events", 0, 0, 0, b"k", value, ()), TO_INCIDENTS, COPY, INTERNAL, 0).headers


def cannot_write(monkeypatch: pytest.MonkeyPatch, inner: IncidentsProcessor, stage: str, incident: str) -> None:
    """From now on what is decided about that incident fails in a step of its writer."""
    writer: Any = inner._writer
    write = getattr(writer, stage)

    def refusing(given: Any, *rest: Any) -> None:
        subject = given.subject if isinstance(given, Output) else given.incident_id
        if subject == incident:
            raise ZeroDivisionError("no such luck")
        write(given, *rest)

    monkeypatch.setattr(writer, stage, refusing)


def transactions(builder: TransactionBuilder) -> Iterator[Effects]:
    while builder.ready():
        transaction = OpenTransaction()
        while builder.ready() and not transaction.full:
            builder.step(transaction)
        while not builder.finish(transaction):
            pass
        yield transaction.effects


def written(inner: Any, records: list[Raw]) -> tuple[list[Any], dict[bytes, bytes | None], int]:
    """All that a task sends in its order, its rows at the end, and the bytes of both."""
    sends: list[Any] = []
    rows: dict[bytes, bytes | None] = {}
    size = 0
    for effects in transactions(builder_of(inner, records)):
        sends += effects.sends
        rows |= effects.rows
        size += effects.bytes
    return sends, rows, size


def _event(rng: random.Random, time: str, late: str, number: int) -> Line:
    """Something that happens to one of nine incidents at a time; `late` is half an hour before."""
    name = {"of": f"inc-{rng.randrange(9)}"}
    kinds: list[Callable[[], Line]] = [
        lambda: opened(time, tenants=rng.sample(TENANTS, 2), channel=rng.choice(["monitor", "phone"]), **name),
        lambda: opened(time, rng.choice(["cosmetic", "critical_performance"]), tenants=["acme"], **name),
        lambda: opened(time, **name) if rng.random() < 0.2 else updated(time, **name),
        lambda: responded(time, **name),
        lambda: responded(late, **name),
        lambda: updated(time, **name),
        lambda: updated(time, **name),
        lambda: waiting(time, **name),
        lambda: reclassified(time, impact="material_aspect", **name),
        lambda: reclassified(time, scope="tenants", tenant_ids=[rng.choice(TENANTS)], **name),
        lambda: resolved(time, **name),
        lambda: reopened(time, **name),
        lambda: merged(time, into=f"inc-{rng.randrange(9, 12)}", **name),
        lambda: amended(time, started=late, **name),
        lambda: updated("30 10:00", **name),  # from the future
        lambda: {**updated(time, **name), "id": f"e{max(number - 3, 0)}"},  # maybe a conflict
    ]
    return {"id": f"e{number}", **rng.choice(kinds)()}


def _story(rng: random.Random) -> Iterator[tuple[str, Line | None]]:
    """Events of a day in the order of their arrival, some of them copies from the ledger agent, some damaged."""
    minute = 0
    for number in range(rng.randrange(60, 140)):
        minute += rng.choice([0, 0, 0, 0, 1, 3, 45])
        time, late = (f"{8 + at // 60:02}:{at % 60:02}" for at in (minute, max(minute - 30, 0)))
        chance = rng.random()
        if chance < 0.04:
            yield INTERNAL, contract(time, of=rng.choice(TENANTS))
        elif chance < 0.06:
            yield INTERNAL, erased(time, of=rng.choice(TENANTS))
        else:
            yield TOPIC, None if chance < 0.08 else _event(rng, time, late, number)


def story(seed: int) -> list[Raw]:
    """Records of a day; several arrive at one instant."""
    rng = random.Random(seed)
    records: list[Raw] = []
    arrival = micros("08:00") // 1_000
    for topic, line in _story(rng):
        value = b"damaged"
        if line is not None:
            ready = ready_of(line)
            value, time = ready.value, ready.event.time
            if time < micros("20 00:00"):
                arrival = max(arrival, time // 1_000)
        records.append((topic, arrival, value))
    return records


@pytest.mark.parametrize("seed", range(12))
def test_a_task_writes_what_it_would_write_one_by_one(seed: int) -> None:
    records = story(seed)
    expected = written(OneByOne(processor()), records)
    assert written(processor(), records) == expected
    assert len(expected[0]) > 40


@pytest.mark.parametrize("seed", range(3))
def test_incidents_leave_the_cache_only_after_they_are_written(seed: int) -> None:
    records = story(seed)
    assert written(processor(max_cached=1), records) == written(OneByOne(processor()), records)


def _openings(count: int, **options: Any) -> list[Raw]:
    return [
        (TOPIC, micros("10:00") // 1_000, ready_of(opened("10:00", of=f"inc-{n}", **options)).value)
        for n in range(count)
    ]


def test_nothing_is_left_unwritten_at_the_end_of_a_slice() -> None:
    builder, transaction = builder_of(processor(), _openings(3)), OpenTransaction()
    builder.step(transaction)
    assert transaction.records == 3
    assert sum(key.startswith(b"i\x1f") for key in transaction.effects.rows) == 3


@pytest.mark.parametrize("failing", [0, 5, READ_AHEAD - 1, READ_AHEAD + 2])
@pytest.mark.parametrize("stage", ["output", "row"])
def test_a_record_whose_decision_cannot_be_written_fails_alone(
    failing: int, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = processor()
    assert isinstance(inner, WorksInSlices)
    cannot_write(monkeypatch, inner, "_publish" if stage == "output" else "_write_step", f"inc-{failing}")
    with pytest.raises(RecordFailed, match="ZeroDivisionError: no such luck") as failed:
        builder_of(inner, _openings(2 * READ_AHEAD)).step(OpenTransaction())
    assert (failed.value.topic, failed.value.offset) == (TOPIC, failing)


def test_a_transaction_is_full_as_soon_as_large_lists_are_written() -> None:
    tenants = [f"tenant-{number}" for number in range(1_000)]
    builder = builder_of(processor(), _openings(10, tenants=tenants), bytes=30_000)
    sizes = [effects.bytes for effects in transactions(builder)]
    assert len(sizes) == 10
    assert min(sizes) > 30_000
