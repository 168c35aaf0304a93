"""Parked messages: retries that an operator asks for, retention, and those of removed destinations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from notify_bench import destination, play
from notify_desk import ROWS, Desk, parked_at
from structlog.testing import capture_logs

from connect.notify import alert_consumer, parked_upkeep
from connect.notify.alert_consumer import PARKED_RETENTION
from connect.notify.destinations.answers import Undeliverable
from connect.notify.page import Page
from connect.notify.page_store_rows import (
    Parked,
    StateRow,
    changes,
    discard_row,
    parked_row,
    retry_rows,
)
from connect.notify.parked_messages import NO_DESTINATION, ParkedMessages
from connect.notify.routing.rules import Routing
from streams.sla.instants import HOUR, SECOND
from tests.page_triggers import trigger


@pytest.mark.parametrize("release", ["present", "before"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "later"])
def test_a_parked_message_is_tried_again_when_an_operator_asks(running: bool, release: str) -> None:
    """The command of a release before has ended the parked row itself."""

    async def scenario() -> None:
        desk = Desk()
        page = Page("inc-1").apply(trigger("breached", id_="e1"), desk.bench.to, 0, busy=False)
        parked = Parked("d", "inc-1", page.head, "HTTP 400", 0)
        await desk.bench.store.write(0, [parked_row(parked)])
        asked = [*retry_rows(parked), *([discard_row(parked)] if release == "before" else [])]
        if not running:
            await desk.bench.store.write(0, asked)
        await desk.start()
        if running:
            await desk.bench.store.write(0, asked)
            for row in asked:
                desk.kafka.put(ROWS, row.value, key=row.key)
        await desk.until(lambda: desk.heard == ["e1"])
        await desk.until(lambda: desk.bench.store.left() == [])
        await desk.until(lambda: desk.bench.store.parked() == [])

    play(scenario)


def test_a_message_that_fails_again_while_an_operator_asks_for_more_stays_parked() -> None:
    """The command may be held between its rows, and an answer that is final comes within milliseconds."""

    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.always = lambda _: Undeliverable("HTTP 404")
        await desk.bench.store.write(0, [parked_row(parked_at(0, "e1"))])
        await desk.start()
        for row in retry_rows(parked_at(0, "e1")):
            await desk.bench.store.write(0, [row])
            desk.kafka.put(ROWS, row.value, key=row.key)
            await desk.until(lambda: desk.heard == ["e1"])
            await desk.until(lambda: [each.reason for each in desk.bench.store.parked()] == ["HTTP 404"])
        assert len(desk.bench.store.parked()) == 1

    play(scenario)


def test_parked_messages_are_discarded_after_their_retention_also_those_of_former_destinations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        clock, store = desk.bench.clock, desk.bench.store
        clock.at = now = PARKED_RETENTION + 100
        kept = HOUR + 100
        await store.write(0, [parked_row(parked_at(at, f"e{at}")) for at in (99, kept)])
        await store.write(0, [parked_row(parked_at(99, "f", "former"))])

        async def found_at(instant: int | None) -> None:
            await desk.until(lambda: desk.consumer._parked.too_old_since == instant)

        with capture_logs() as logs:
            await desk.start()
            await found_at(now)
            clock.at = 50  # it was ahead, and is set right before an hour is over
            await found_at(None)
            clock.at = now
            await found_at(now)
            assert len(store.parked()) == 3
            clock.at = now = now + HOUR
            await desk.until(lambda: [each.message.id for each in store.parked()] == [f"e{kept}"])
            later = parked_row(parked_at(kept + 1, "later"))  # parked meanwhile, then retried
            await store.write(0, [later])
            desk.kafka.put(ROWS, later.value, key=later.key)
            desk.kafka.put(ROWS, None, key=parked_row(parked_at(kept, f"e{kept}")).key)
            await desk.until(lambda: desk.kafka.at[ROWS] == len(desk.kafka.logs[ROWS]))
            await found_at(None)
            assert {each.message.id for each in store.parked()} == {f"e{kept}", "later"}
            clock.at = now = now + 2
            await found_at(now)
            clock.at = now + HOUR
            await desk.until(lambda: [each.message.id for each in store.parked()] == [f"e{kept}"])
        told = [log["count"] for log in logs if log["event"] == "parked_messages_too_old"]
        assert told == [2, 2, 1], "once each time"
        assert [log["count"] for log in logs if log["event"] == "parked_messages_discarded"] == [2, 1]
        assert desk.bench.metrics.registry.get_sample_value("sla_notify_discarded_total", {"destination": "d"}) == 3

    play(scenario)


def test_parked_messages_are_looked_at_one_by_one_only_once_some_are_too_old() -> None:
    """They are looked at every two seconds, and a hundred destinations may have ten thousand each."""
    parked = ParkedMessages(lambda _: True, 10)
    rows = {f"d\x1fparked\x1f{number}".encode(): b'{"at":%d}' % (100 + number) for number in range(3)}
    for key, value in rows.items():
        parked.read(0, key, value)
    looked: list[int] = []

    class Watched(dict[bytes, int]):
        def values(self) -> Any:
            looked.append(len(self))
            return super().values()

    parked._parked[0, "d"] = Watched(parked._parked[0, "d"])
    assert [parked.look(now) for now in (0, 50, 110)] == [0, 0, 0]
    assert parked.discard(110, too_old=False) == {}
    assert looked == []
    assert parked.look(112) == 2
    assert [row.key for row in parked.discard(112)[0]] == list(rows)[:2]
    assert [parked.look(now) for now in (112, 112, 113)] == [0, 0, 1]
    assert looked == [3, 1, 1]


def test_beyond_a_number_the_oldest_parked_messages_are_discarded() -> None:
    parked = ParkedMessages(lambda name: name == "d", 1_000, most=3)
    for at in (5, 3, 9, 7, 1):
        row = parked_row(parked_at(at, f"e{at}"))
        parked.read(0, row.key, row.value)
    parked.read(1, b"d\x1fparked\x1fe1", b"\xff")  # can't be read: as old as can be
    parked.read(0, b"other\x1fparked\x1fe1", b"{}")
    assert len(parked) == 6
    rows = parked.discard(500)
    assert [row.key for row in rows[0]] == [b"d\x1fparked\x1fe1", b"d\x1fparked\x1fe3"]
    assert parked.discard(1_001)[1] == [StateRow(b"d\x1fparked\x1fe1", None)]
    assert len(parked) == 3


def test_the_number_of_parked_messages_is_limited_for_each_destination() -> None:
    parked = ParkedMessages(lambda _: True, 1_000, most=2)
    for name in ("d", "former"):
        for at in range(3):
            row = parked_row(parked_at(at, f"e{at}", name))
            parked.read(0, row.key, row.value)
    assert [row.key for row in parked.discard(10)[0]] == [b"d\x1fparked\x1fe0", b"former\x1fparked\x1fe0"]


def test_what_waits_for_a_destination_that_is_no_more_is_told() -> None:
    async def scenario() -> None:
        desk = Desk()
        page = Page("inc-1").apply(trigger("breached"), desk.bench.to, 0, busy=False)
        await desk.bench.store.write(0, changes("former", None, page))
        with capture_logs() as logs:
            await desk.start()
        (shown,) = [log for log in logs if "absent" in log]
        assert (shown["absent"], shown["count"]) == ("former", 2)

    play(scenario)


def test_parked_messages_of_a_destination_that_is_removed_while_it_runs_are_discarded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parked_upkeep, "_RETAINED_LONGER", 0)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        routing = desk.consumer._routing
        alone = routing.routing
        routing.routing = Routing({**alone.destinations, "former": destination("webhook", "former")}, alone.routes)
        store = desk.bench.store
        desk.bench.clock.move(PARKED_RETENTION + 100)
        await store.write(0, [parked_row(parked_at(99, "f", "former")), parked_row(parked_at(100, "g", "former"))])
        await desk.start()
        await asyncio.sleep(0.01)
        assert len(store.parked()) == 2, "its own worker looks after them"
        routing.use(alone, {})
        await desk.until(lambda: [each.message.id for each in store.parked()] == ["g"])

    play(scenario)


def test_what_is_left_of_a_removed_destination_is_discarded_after_the_retention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pages by their latest alert, waiting messages by when they began to wait."""
    monkeypatch.setattr(parked_upkeep, "_RETAINED_LONGER", 0)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    def rows_of(name: str, incident: str, at_s: int, *, waits: bool) -> list[StateRow]:
        alert = replace_at(trigger("breached", incident, f"e-{incident}"), at_s * 1_000)
        page = Page(incident).apply(alert, destination("webhook", name), at_s * SECOND, busy=False)
        return list(changes(name, None, page if waits else page.delivered()))

    def replace_at(given: Any, at: int) -> Any:
        return replace(given, at=at)

    async def scenario() -> None:
        desk = Desk("webhook")
        store = desk.bench.store
        desk.bench.clock.move(PARKED_RETENTION + 100 * SECOND)
        for name, rows in {
            "kept": rows_of("former", "inc-1", 101, waits=True),
            "old": rows_of("former", "inc-2", 99, waits=True) + rows_of("former", "inc-3", 99, waits=False),
            "mine": rows_of("d", "inc-4", 99, waits=False),
        }.items():
            assert rows, name
            await store.write(0, rows)
        await store.write(0, [StateRow(b"former\x1fpending\x1finc-5\x1fe", b"rubbish")])
        with capture_logs() as logs:
            await desk.start()
            await desk.until(lambda: len(store.left()) <= 3)
            await desk.until(lambda: any(log["event"] == "removed_destination_discarded" for log in logs))
        assert {(each.split(b"\x1f")[0], each.split(b"\x1f")[2]) for each in store.left()} == {
            (b"former", b"inc-1"), (b"d", b"inc-4")
        }  # fmt: skip
        told = next(log for log in logs if log["event"] == "removed_destination_discarded")
        assert (told["absent"], told["count"]) == (["former"], 4)

    play(scenario)


@pytest.mark.parametrize("running", [True, False], ids=["running", "later"])
def test_a_retry_at_a_destination_that_is_no_more_stays_parked(monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        asked = retry_rows(parked_at(0, "f", "former"))
        await desk.bench.store.write(0, [parked_row(parked_at(0, "f", "former"))])
        if running:
            await desk.start()
        await desk.bench.store.write(0, asked)
        if running:
            for row in asked:
                desk.kafka.put(ROWS, row.value, key=row.key)
        else:
            await desk.start()
        await desk.until(lambda: [each.reason for each in desk.bench.store.parked()] == [NO_DESTINATION])
        assert not [key for key in desk.bench.store.left() if b"retry" in key]

    play(scenario)
