"""Commands that read whole topics show how far they are, keep little, and end where a broker falls silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from cli.incidents import states as incident_states
from connect.kafka_io import reader as reader_module
from connect.kafka_io import rejected_records
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicRecord, read_topics
from connect.kafka_io.rejected_records import rejected_in
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.settings import read_settings

SETTINGS = read_settings(brokers="127.0.0.1:1")


def reject(partition: int, offset: int, arrival: int) -> TopicRecord:
    original = Record("sla.incident-events", partition, offset, 1_000_000, b"k", b"v" * 500, ())
    send = rejected(original, "undecodable", "why", "sla.rejected", 0)
    return TopicRecord("sla.rejected", partition, offset, arrival, send.key, send.value, list(send.headers))


def test_a_list_of_rejects_numbers_them_as_others_do_and_keeps_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [reject(1, 0, 30), reject(1, 1, 40), reject(0, 0, 10), reject(0, 1, 35), reject(0, 2, 35)]
    monkeypatch.setattr(rejected_records, "read_topics", lambda *_, **__: iter(records))
    whole, listed = rejected_in(SETTINGS), rejected_in(SETTINGS, values=False)
    assert [(each.number, each.original) for each in listed] == [(each.number, each.original) for each in whole]
    assert [each.number for each in listed] == [1, 2, 3, 4, 5]
    assert all(each.record.value for each in whole)
    assert not any(each.record.value or each.record.headers for each in listed)


def test_reading_a_topic_shows_how_many_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        size = 3

        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *_: object) -> None: ...
        def from_beginning(self) -> None: ...
        def there(self) -> Iterator[list[TopicRecord]]:
            yield [reject(0, 0, 1), reject(0, 1, 2)]
            yield [reject(0, 2, 3)]

    told: list[str] = []

    @contextmanager
    def watch(total: int) -> Iterator[Any]:
        told.append(f"of {total}")
        yield lambda: told.append("one")

    monkeypatch.setattr(reader_module, "TopicReader", Reader)
    assert len(list(read_topics(["k"], ["t"], watch=watch))) == 3
    assert told == ["of 3", "one", "one", "one"]


def test_a_broker_that_falls_silent_ends_the_reading_of_states(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 1_000, 10))

    class States:
        records_read = 0

        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> States:
            return self

        def __exit__(self, *_: object) -> None: ...
        def __len__(self) -> int:
            return 0

        def wait_until_caught_up(self, _: float) -> None:
            if self.records_read < 2:
                self.records_read += 1
            raise TimeoutError

    monkeypatch.setattr(incident_states, "check_reachable", lambda *_: None)
    monkeypatch.setattr(incident_states, "IncidentStates", States)
    monkeypatch.setattr(incident_states, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with (
        pytest.raises(BrokerProblem, match="has sent nothing for 30 s, but there is more to read"),
        incident_states.open_states(SETTINGS),
    ):
        pass
