"""Timers that fire together: what they write is what they would write one by one, and a failure names its incident."""

from __future__ import annotations

from typing import Any

import pytest
from agent_harness import INCIDENTS, Cluster, ready_of
from story import contract, erased, micros, opened, policies, resolved, updated
from test_applied_inputs import OneByOne, builder_of, cannot_write

from agents.incidents import IncidentsProcessor
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.runtime.transaction_builder import FIRE_TOGETHER, SLICE_S, OpenTransaction
from streams.sla.arrival import TimeLimits
from streams.sla.incidents.fold import Fold
from streams.sla.instants import DAY

AFTER = micros("20:00")
COUNT = 2 * FIRE_TOGETHER + 3


def restored(count: int = COUNT, **options: Any) -> IncidentsProcessor:
    """A processor with so many open incidents of one instant, none of which is cached."""
    cluster = Cluster(policies(), partitions=1, **options)
    cluster.publish(contract("09:00", of="acme"), micros("09:00"))
    for number in range(count):
        cluster.publish(opened("10:00", of=f"inc-{number:02}", tenants=["acme"]), micros("10:00"))
    task = cluster.tasks[INCIDENTS, 0]
    cluster.rebuild(task)
    assert isinstance(task.processor, IncidentsProcessor)
    return task.processor


def written(inner: Any, limit: int = 1_000) -> tuple[list[Any], list[tuple[bytes, bytes | None]]]:
    """All that a task sends when it fires what is due, in its order, and its rows."""
    builder = builder_of(inner, [], limit)
    sends: list[Any] = []
    rows: list[tuple[bytes, bytes | None]] = []
    while (due := inner.next_due()) is not None and due < AFTER:
        transaction = OpenTransaction()
        builder.fire_due(AFTER, transaction)
        while not builder.finish(transaction):
            pass
        sends += transaction.effects.sends
        rows += transaction.effects.rows.items()
    return sends, rows


@pytest.mark.parametrize("limit", [7, 1_000])
@pytest.mark.parametrize("max_cached", [1, 4_000])
def test_timers_that_fire_together_write_what_they_would_one_by_one(limit: int, max_cached: int) -> None:
    expected = written(OneByOne(restored()), limit)
    assert written(restored(max_cached=max_cached), limit) == expected
    assert len({key for key, _ in expected[1]}) >= 2 * COUNT


def test_incidents_that_wait_for_an_erasure_are_not_loaded_ahead() -> None:
    def made() -> IncidentsProcessor:
        cluster = Cluster(policies(), partitions=1)
        for number in range(COUNT):
            cluster.publish(opened("10:00", of=f"inc-{number:02}", tenants=["acme"]), micros("10:00"))
        cluster.publish(erased("11:00", of="acme"), micros("11:00"))
        inner = cluster.tasks[INCIDENTS, 0].processor
        assert isinstance(inner, IncidentsProcessor)
        return inner

    assert written(made()) == written(OneByOne(made()))


@pytest.mark.parametrize("failing", [0, 5, FIRE_TOGETHER + 2])
@pytest.mark.parametrize("stage", ["_publish", "_write_step"])
def test_the_incident_whose_decision_cannot_be_written_is_named(
    failing: int, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = restored()
    cannot_write(monkeypatch, inner, stage, f"inc-{failing:02}")
    with pytest.raises(SubjectFailed) as failed:
        inner.fire(AFTER, COUNT, Effects())
    assert failed.value.subject == f"inc-{failing:02}"
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_an_incident_that_cannot_be_read_fails_alone() -> None:
    inner = restored()
    inner._steps._rows["inc-03"] = b"damaged"
    effects = Effects()
    with pytest.raises(SubjectFailed) as failed:
        inner.fire(AFTER, FIRE_TOGETHER, effects)
    assert failed.value.subject == "inc-03"


def test_an_incident_that_cannot_be_folded_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = restored()
    roll = Fold.roll

    def crashing(self: Fold, before: int) -> None:
        if self.opened_at == micros("10:01") and before <= micros("10:01"):
            raise ZeroDivisionError("no such luck")
        roll(self, before)

    value = ready_of(opened("10:01", of="odd")).value
    inner.apply(Record("sla.incident-events", 0, 99, micros("10:01"), b"odd", value, []), Effects())
    inner._store._state.cache.discard("odd")
    monkeypatch.setattr(Fold, "roll", crashing)
    with pytest.raises(SubjectFailed) as failed:
        inner.fire(AFTER, 2 * COUNT, Effects())
    assert failed.value.subject == "odd"


class Counting:
    """A processor that works in slices: its timers take so many seconds each."""

    def __init__(self, seconds: list[float]) -> None:
        self.left = seconds
        self.elapsed = 0.0
        self.limits: list[int] = []

    def read_ahead(self, topic: str, values: Any) -> None: ...

    def write_applied(self, effects: Effects) -> None: ...

    def next_due(self) -> int | None:
        return 1 if self.left else None

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        self.limits.append(limit)
        taken = self.left[:limit]
        del self.left[:limit]
        self.elapsed += sum(taken)
        return len(taken)


def fired(made: Counting, limit: int = 1_000) -> list[int]:
    """How many timers each call of a slice was asked for, which has room for ten seconds."""
    made.limits.clear()
    builder = builder_of(made, [], limit)
    builder._stopwatch = lambda: made.elapsed * SLICE_S / 10
    builder.fire_due(AFTER, OpenTransaction())
    return made.limits


def test_as_many_timers_fire_together_as_fit_into_the_slice() -> None:
    assert fired(Counting([0.25] * 100)) == [1, 16, 16, 7]
    assert fired(Counting([0.25] * 100), limit=20) == [1, 16, 3]
    assert fired(Counting([0.25] * 8 + [8.0] * 9)) == [1, 16]


def test_timers_that_take_long_fire_alone() -> None:
    assert fired(Counting([4.0] * 9)) == [1, 1, 1]
    assert fired(Counting([4.0] + [0.25] * 99)) == [1, 1, 16, 7]


@pytest.mark.parametrize("limit", [1, FIRE_TOGETHER])
def test_an_incident_whose_last_timer_and_eviction_fire_together_is_gone(limit: int) -> None:
    limits = TimeLimits(retain_closed=2 * DAY, retain_markers=DAY)
    cluster = Cluster(policies(), limits, partitions=1, act_limit=limit, mark_every=100 * DAY)
    # Its opening comes late, after its end: breaches of the past wait for the timers of that instant.
    cluster.publish(resolved("4 00:00"), micros("4 00:00"))
    cluster.publish(opened("1 14:00", tenants=["acme"]), micros("4 14:00"))
    cluster.pass_time(micros("10:00") + 10 * DAY)
    assert cluster.rows(INCIDENTS, "i") == {}
    cluster.publish(updated("12 12:00"), micros("12 12:00"))
    cluster.pass_time(micros("14 12:00"))
    assert cluster.codes() == ["orphan"]
