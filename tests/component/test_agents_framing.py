"""Agents with a schema registry: events in Confluent framing in and out, state and copies readable without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest
from agent_harness import INCIDENTS, Cluster, ready_of
from story import (
    Line,
    claimed,
    contract,
    maintenance,
    micros,
    opened,
    policies,
    reopened,
    resolved,
    responded,
    updated,
)

from cli.replay.outcome import disagreements
from schemas import registry as schema_files
from streams.errors import RegistryUnavailable
from streams.internal_topics import FORWARDED
from streams.runtime.processor import Effects, Record, RetryLater
from streams.serde.codec import SINGLE_OBJECT, Codec, confluent_head, decode
from streams.serde.confluent_framing import Framing
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE
from streams.topics import TOPIC_OF

START = micros("10:00")
IDS = {event_type: number for number, event_type in enumerate(sorted(TOPIC_OF), 1)}


class Registry:
    """Knows our schemas; away, it raises, and `asking` it makes wait."""

    def __init__(self) -> None:
        self.away = False
        self.asking: asyncio.Future[None] | None = None
        self.schemas: dict[int, object] = {
            number: schema_files.load().latest[event_type].definition for event_type, number in IDS.items()
        }

    def schema_for(self, schema_id: int) -> object | None:
        if self.away:
            raise RegistryUnavailable("down")
        if self.asking is not None:
            raise RetryLater("asking", self.asking)
        return self.schemas.get(schema_id)


def framed(registry: Registry) -> Cluster:
    return Cluster(policies(), codec=Codec(registry), framing=Framing(IDS), mark_every=DAY)


HISTORY: tuple[tuple[Line, int], ...] = (
    (contract("09:00", "2026-01-01T00:00:00Z"), START - HOUR),
    (responded("10:05", id="early"), START + 6 * MINUTE),
    (opened("10:00", tenants=["acme"]), START + 7 * MINUTE),
    (maintenance("10:00", "1 12:00", "1 13:00"), START + 8 * MINUTE),
    (updated("10:20"), START + 20 * MINUTE),
    (resolved("3 11:00"), START + 3 * DAY + HOUR),
    (reopened("3 11:30"), START + 3 * DAY + 2 * HOUR),
    (resolved("3 12:00", id="second"), START + 3 * DAY + 3 * HOUR),
    (claimed("35 10:00", "2026-03"), START + 35 * DAY),
)


def play(cluster: Cluster, frames: Iterable[Framing], after_each: Callable[[], None] = lambda: None) -> None:
    for (line, arrival), framing in zip(HISTORY, frames, strict=True):
        cluster.pass_time(arrival)
        ready = ready_of(line)
        where = (cluster.own(ready.subject) + arrival // MINUTE) % cluster.topics.partitions  # often not its own
        key = ready.subject.encode()
        cluster.put(ready.topic, where, framing(ready.value), arrival, key=key, headers=ready.headers)
        after_each()
    cluster.pass_time(START + 60 * DAY)


def test_both_framings_in_one_topic_say_what_one_says() -> None:
    plain, mixed = Cluster(policies(), mark_every=DAY), framed(Registry())
    play(plain, [Framing()] * len(HISTORY))
    play(mixed, [Framing(IDS) if number % 2 else Framing() for number in range(len(HISTORY))])
    assert mixed.codes() == plain.codes() == []
    assert disagreements(plain.outcome(), mixed.outcome()) == []
    assert plain.outcome().kinds == mixed.outcome().kinds
    assert mixed.outcome().issued


def test_outputs_are_framed_and_what_agents_keep_and_tell_each_other_is_not() -> None:
    registry = Registry()
    cluster = framed(registry)

    def without_a_registry() -> None:
        """Every processor is restored while the registry is away, with a codec that knows no id."""
        registry.away = True
        cluster.codec = Codec(registry)
        cluster.rebuild_all()
        registry.away = False

    play(cluster, [Framing(IDS)] * len(HISTORY), without_a_registry)
    assert cluster.codes() == []
    assert {"sla.met", "credit.statement", "credit.issued", "impact.changed"} <= cluster.outcome().kinds.keys()
    for send in cluster.sends:
        assert send.value is not None
        if not send.topic.endswith("-internal"):
            assert send.value[:1] == b"\0", send.topic
        elif (b"sla_kind", FORWARDED) not in [(name.encode(), value) for name, value in send.headers]:
            assert send.value[:2] == SINGLE_OBJECT
            assert not isinstance(decode(send.value, len(send.value)), Rejection)
    for task in cluster.tasks.values():
        assert all(row[:2] == SINGLE_OBJECT for row in task.rows.values())


def test_an_orphan_comes_back_as_it_came() -> None:
    registry = Registry()
    cluster = framed(registry)
    ready = ready_of(responded("10:05"))
    value = Framing(IDS)(ready.value)
    cluster.put("incident-events", cluster.own("inc"), value, START, key=b"inc", headers=[("note", b"1")])
    (row,) = cluster.rows(INCIDENTS, "w").values()
    assert value in row
    registry.away, cluster.codec = True, Codec(registry)
    cluster.rebuild_all()
    cluster.pass_time(START + 3 * DAY)
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.send.value, rejects.headers) == ("orphan", value, [("note", b"1")])


@pytest.mark.parametrize("forwarded", [False, True])
def test_r27_what_can_not_be_read_yet_changes_nothing(forwarded: bool) -> None:
    """Of every kind of input, with an id of its own: asked for, then decided on as if nothing had been."""
    loop = asyncio.new_event_loop()
    registry = Registry()
    cluster, plain = framed(registry), Cluster(policies(), mark_every=DAY)
    for number, (line, arrival) in enumerate(HISTORY, 1_000):
        for each in (cluster, plain):
            each.pass_time(arrival)
        ready = ready_of(line)
        registry.schemas[number] = schema_files.load().latest[str(line["type"])].definition
        value = confluent_head(number) + ready.value[10:]
        own = cluster.own(ready.subject)
        where = (own + 1) % cluster.topics.partitions if forwarded else own
        agent = INCIDENTS if ready.topic == "incident-events" else "ledger"
        task, effects = cluster.tasks[agent, where], Effects()
        registry.asking = loop.create_future()
        record = Record(f"sla.{ready.topic}", where, number, arrival, ready.subject.encode(), value, ready.headers)
        with pytest.raises(RetryLater):
            task.processor.apply(record, effects)
        assert (effects.sends, effects.rows) == ([], {})
        registry.asking = None
        for each, written in ((cluster, value), (plain, ready.value)):
            each.put(ready.topic, where, written, arrival, key=ready.subject.encode(), headers=ready.headers)
    loop.close()
    for each in (cluster, plain):
        each.pass_time(START + 60 * DAY)
    assert cluster.codes() == []
    assert cluster.outcome().kinds == plain.outcome().kinds
    assert disagreements(plain.outcome(), cluster.outcome()) == []
