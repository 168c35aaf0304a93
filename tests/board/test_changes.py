"""The changes that readers of the event stream get: merged, bounded, and resumed from a position."""

from __future__ import annotations

import asyncio
import threading

import pytest

from board.changes import MOST_NAMES, Change, Changes
from tests.waiting import TIMEOUT_S


def test_a_reader_gets_what_was_published_since_it_asked_last_as_one_change() -> None:
    async def read() -> None:
        changes = Changes()
        with changes.subscribe() as reader:
            changes.publish(Change(5, frozenset({"a"}), rejects=True))
            changes.publish(Change(6, frozenset({"b"}), frozenset({("acme", "2026-10")})))
            await asyncio.sleep(0)
            both = Change(6, frozenset({"a", "b"}), frozenset({("acme", "2026-10")}), rejects=True)
            assert await reader.next(1) == both
            changes.publish(Change(7, frozenset({"c"})))
            assert await reader.next(1) == Change(7, frozenset({"c"}))
            assert await reader.next(0.001) is None

    asyncio.run(read())


def test_changes_come_from_another_thread() -> None:
    async def read() -> Change | None:
        changes = Changes()
        with changes.subscribe() as reader:
            thread = threading.Thread(target=changes.publish, args=(Change(3, frozenset({"a"})),))
            thread.start()
            found = await reader.next(TIMEOUT_S)
            thread.join()
            return found

    assert asyncio.run(read()) == Change(3, frozenset({"a"}))


def test_a_reader_that_takes_nothing_costs_bounded_memory_and_is_told_to_load_again() -> None:
    async def read() -> Change | None:
        changes = Changes()
        with changes.subscribe() as reader:
            for number in range(MOST_NAMES + 1):
                changes.publish(Change(number, frozenset({f"i{number}"})))
            return await reader.next(1)

    found = asyncio.run(read())
    assert found == Change(MOST_NAMES, resync=True)


def test_one_change_of_too_many_names_says_resync() -> None:
    async def read() -> Change | None:
        changes = Changes()
        with changes.subscribe() as reader:
            changes.publish(Change(9, frozenset(map(str, range(MOST_NAMES + 1))), notifications=True))
            return await reader.next(1)

    assert asyncio.run(read()) == Change(9, notifications=True, resync=True)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (30, None),
        (20, Change(30, frozenset({"c"}))),
        (10, Change(30, frozenset({"b", "c"}))),
        (5, Change(30, resync=True)),  # forgotten, or never seen
        (15, Change(30, resync=True)),  # of another database
        (31, Change(30, resync=True)),
    ],
)
def test_a_reader_that_reconnects_gets_what_it_missed(after: int, expected: Change | None) -> None:
    async def read() -> Change | None:
        changes = Changes()
        for position, incident in ((10, "a"), (20, "b"), (30, "c")):
            changes.publish(Change(position, frozenset({incident})))
        with changes.subscribe(after) as reader:
            return await reader.next(0.001)

    assert asyncio.run(read()) == expected


def test_closing_ends_present_and_later_readers() -> None:
    async def read() -> None:
        changes = Changes()
        with changes.subscribe() as reader:
            threading.Thread(target=changes.close).start()
            assert await reader.next(TIMEOUT_S) is None
            assert reader.closed
        with changes.subscribe() as late:
            assert await late.next(TIMEOUT_S) is None
            assert late.closed

    asyncio.run(read())


def test_nothing_is_left_of_a_reader_that_went_away() -> None:
    async def read() -> None:
        changes = Changes()
        with changes.subscribe():
            assert changes.subscribers == 1
        assert changes.subscribers == 0
        changes.publish(Change(1))

    asyncio.run(read())


def test_what_is_read_after_a_position_is_followed_without_a_gap() -> None:
    async def read() -> Change | None:
        changes = Changes()
        assert changes.position == 0
        changes.publish(Change(10, frozenset({"a"})))
        shown = changes.position
        changes.publish(Change(11, frozenset({"b"})))
        with changes.subscribe(shown) as reader:
            return await reader.next(TIMEOUT_S)

    assert asyncio.run(read()) == Change(11, frozenset({"b"}))
