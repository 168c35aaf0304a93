"""Results of slow queries are kept for a while, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest
from board_history import NOW
from page_client import page_client, shown
from sqlalchemy import Connection, Engine

from board.queries import attainment
from board.recent_results import RecentResults
from streams.sla.instants import SECOND
from tests.unit.memory_clock import Stopped
from tests.waiting import TIMEOUT_S


class MovableTime(Stopped):
    """Stands still until a test moves it."""

    def move(self, micros: int) -> None:
        self._now += micros


def test_a_result_is_computed_again_once_it_is_old() -> None:
    clock, numbers = MovableTime(NOW), count()
    recent = RecentResults(clock, keep=30 * SECOND)

    def seen() -> int:
        return recent.get("key", lambda: next(numbers))

    assert [seen(), seen()] == [0, 0]
    clock.move(30 * SECOND - 1)
    assert seen() == 0
    clock.move(1)
    assert seen() == 1
    clock.move(-60 * SECOND)  # the clock of the machine was set back
    assert seen() == 2


def test_the_oldest_result_makes_room() -> None:
    recent = RecentResults(Stopped(NOW), most=2)
    for key in ("a", "b", "c"):
        recent.get(key, lambda: "first")
    assert [recent.get(key, lambda: "second") for key in ("b", "c", "a")] == ["first", "first", "second"]


def test_the_overview_asks_once_for_each_choice(read_model: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], bool]] = []
    original = attainment.attainment_by_tenant

    def counted(
        connection: Connection, months: Sequence[str], *, backfill: bool, limit: int = 20
    ) -> list[attainment.AttainmentRow]:
        asked.append((tuple(months), backfill))
        return original(connection, months, backfill=backfill, limit=limit)

    monkeypatch.setattr(attainment, "attainment_by_tenant", counted)
    client = page_client(read_model, NOW)
    pages = [shown(client.get(address).text) for address in ("/overview", "/overview", "/overview?month=2026-06")]
    assert pages[0] == pages[1]
    assert len(asked) == 2
    client.get("/overview?month=2026-06&backfill=1")
    assert len(asked) == len(set(asked)) == 3


def test_who_asks_while_a_result_is_computed_waits_for_it() -> None:
    recent, begun, go_on = RecentResults(Stopped(NOW)), Event(), Event()
    asked: list[str] = []

    def slowly() -> str:
        asked.append("once")
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return "found"

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(recent.get, "key", slowly)
        assert begun.wait(TIMEOUT_S)
        others = [pool.submit(recent.get, "key", slowly) for _ in range(2)]
        go_on.set()
        assert [each.result(TIMEOUT_S) for each in (first, *others)] == ["found"] * 3
    assert asked == ["once"]


def test_a_failure_is_not_kept() -> None:
    recent = RecentResults(Stopped(NOW))

    def fail() -> str:
        raise ValueError("the database is away")

    with pytest.raises(ValueError, match="away"):
        recent.get("key", fail)
    assert recent.get("key", lambda: "found") == "found"
