"""`sla tail --from-beginning --until-idle`: what is there comes by arrival, sorted on disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cli.events import tail
from cli.events.sorted_events import sorted_events
from cli.events.tail import _exact, _show_sorted
from cli.kafka_io import disk_sort
from cli.kafka_io.disk_sort import NoRoom
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import SILENCE_LIMIT_S, TopicReader, TopicRecord
from streams.serde.codec import decode, encode
from tests.standard_modules import altered

FIELDS = {
    **{"source": "/sla/ledger", "subject": "acme", "occurred_at": 1_769_850_000_000_000, "tenant_id": "acme"},
    **{"policy": {"name": "gold", "version": "1", "digest": "d"}, "month": "2026-01", "statement_revision": 1},
    **{"amount": {"amount_minor": 40_000, "currency": "JPY"}, "cause": "claimed"},
}


def credit(name: str, offset: int, arrival: int) -> TopicRecord:
    value = encode("credit.issued", {"event_id": name, **FIELDS})
    return TopicRecord("sla.credits", 0, offset, arrival, b"acme", value, [])


def test_events_come_by_arrival_whatever_timestamps_others_write() -> None:
    batches = [
        [credit("late", 0, 2**70), credit("c", 1, 30)],
        [credit("b", 2, 20)._replace(value=b"alien \xff"), credit("a", 3, 20), credit("first", 4, -1_000)],
    ]
    found = list(sorted_events(batches, decode))
    assert [line and json.loads(line)["id"] for line, _ in found] == ["first", None, "a", "c", "late"]
    assert [problem for _, problem in found if problem] == [found[1][1]]
    assert "offset 2: undecodable" in str(found[1][1])


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(name: str) -> object:
        database = connect(name)
        database.execute("PRAGMA max_page_count = 4")
        return database

    monkeypatch.setattr(disk_sort, "sqlite3", altered(sqlite3, connect=small))
    with pytest.raises(NoRoom, match="can't be sorted on disk: database or disk is full; TMPDIR names the directory"):
        list(sorted_events([[credit(f"c{number}", number, 0) for number in range(100)]], decode))


class Reader(TopicReader):
    """Three records, of which two were there at the start; then nothing more."""

    size = 2

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__(["127.0.0.1:1"], ["sla.credits"])
        self._polls: Iterator[list[TopicRecord]] = iter([[credit(f"c{number}", number, number) for number in range(3)]])
        self._stuck = stuck
        self.empty = 0

    def at_end(self) -> bool:
        return not self._stuck and self._polls.__length_hint__() == 0  # type: ignore[attr-defined]

    def poll(self, timeout_s: float = 0) -> list[TopicRecord]:
        found = next(self._polls, [])
        self.empty += not found
        return found


def test_nothing_is_printed_while_a_count_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go to standard error, where the count is, and not to the file that standard output is."""
    shown: list[bool] = []

    @contextmanager
    def counting(what: str, *, total: int | None) -> Iterator[Callable[[], None]]:
        shown.append(True)
        yield lambda: None
        shown.append(False)

    monkeypatch.setattr(tail, "counting", counting)
    assert _show_sorted(Reader(), lambda _: shown.append(shown[-1]), decode) == 0
    assert shown == [True, False, False, False, False]


@pytest.mark.parametrize("number", ["0.5", "99999999999.123457", "1e-07"])
def test_numbers_keep_all_their_digits(number: str) -> None:
    assert str(_exact(number)) == number


def test_what_arrives_meanwhile_is_not_lost() -> None:
    shown: list[object] = []
    assert _show_sorted(Reader(), lambda event: shown.append(event["id"]), decode) == 0
    assert shown == ["c0", "c1", "c2"]


def test_a_broker_that_falls_silent_ends_it() -> None:
    reader = Reader(stuck=True)
    with pytest.raises(BrokerProblem, match="has sent nothing for 30 s"):
        _show_sorted(reader, lambda _: None, decode)
    assert reader.empty == SILENCE_LIMIT_S * 2
