"""`sla publish` and its kind, stopped half way: what is known by then is printed, and the exit code says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.events import publish as publish_command
from cli.events import publish_lines
from cli.events.amended_times import AmendedTimes
from cli.main import app
from connect.actions.input_results import InputResults
from connect.kafka_io import reader as reader_module
from connect.kafka_io.batches import PublishingStopped, SentRange
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicReader, TopicRecord
from streams.kafka.partitioner import partition_of
from streams.lines import UnreadableFile
from streams.settings import read_settings

LINE = {
    **{"specversion": "1.0", "type": "incident.amended", "source": "/desk", "time": "2026-03-10T12:00:00Z"},
    "data": {
        "restored_at": "2026-03-10T11:00:00Z",
        "who": {"kind": "support", "id": "kim"},
        "approver": {"kind": "support", "id": "lee"},
        "reason": "r",
    },
}


class Batches:
    """Acknowledges all but the last event; `fault` is raised at the event of that number."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.ranges: list[SentRange] = []
        self.fault: tuple[int, BaseException] | None = None
        self.flushed = False
        self.added = 0

    async def add(self, *_: object) -> None:
        self.added += 1
        if self.fault is not None and self.added == self.fault[0]:
            raise self.fault[1]
        self.acknowledged = self.added - 1

    async def flush(self) -> None:
        self.flushed, self.acknowledged = True, self.added


class Results:
    """Stands for the reader of results."""

    def __init__(self, answer: InputResults | BaseException) -> None:
        self.answer = answer

    def wait(self, sent: Sequence[SentRange], timeout_s: float, on_read: object) -> InputResults:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    made = Batches()

    @asynccontextmanager
    async def sending(*_: object) -> AsyncIterator[Batches]:
        yield made
        await made.flush()
        made.ranges.append(SentRange("sla.incident-events", 0, 0, made.added))

    async def partitions_of(_: object, topics: Any, __: object) -> dict[str, list[int]]:
        return {topic: [0, 1, 2] for topic in topics}

    monkeypatch.setattr(publish_lines, "sending", sending)
    monkeypatch.setattr(publish_lines, "partitions_of", partitions_of)
    monkeypatch.setattr(publish_command, "results_reader", lambda *_: nullcontext())
    monkeypatch.setattr(AmendedTimes, "in_states", lambda *_, **__: iter(()))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({**LINE, "id": f"a-{n}", "subject": f"inc-{n}"}) + "\n" for n in range(5)))
    return path


def run(file: Path, *more: str) -> Any:
    return CliRunner().invoke(
        app, ["publish", str(file), "--no-check-time", "--json", "--brokers", "127.0.0.1:1", *more]
    )


def test_ctrl_c_while_sending_prints_what_was_acknowledged(batches: Batches, file: Path) -> None:
    batches.fault = (4, KeyboardInterrupt())
    done = run(file)
    assert done.exit_code == 130
    reported = json.loads(done.stdout)
    assert (reported["published"], reported["stopped"], reported["outcome"]) == (2, "interrupted", "not_read_yet")
    assert "interrupted: 2 events acknowledged" in done.stderr


def test_a_broker_that_goes_away_prints_what_was_acknowledged(batches: Batches, file: Path) -> None:
    batches.fault = (4, PublishingStopped("Kafka is gone", 2))
    done = run(file)
    assert done.exit_code == 2
    reported = json.loads(done.stdout)
    assert (reported["published"], reported["stopped"]) == (2, "Kafka is gone (2 events were acknowledged before)")
    assert done.stderr == "Kafka is gone (2 events were acknowledged before)\n"


def test_nothing_is_printed_where_nothing_was_sent(batches: Batches, file: Path) -> None:
    batches.fault = (1, BrokerProblem("no broker"))
    done = run(file)
    assert (done.exit_code, done.stdout) == (2, "")


def test_lines_before_one_that_cannot_be_read_are_acknowledged_and_counted(
    batches: Batches, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(_: str) -> Iterator[str]:
        yield from file.read_text().splitlines()[:3]
        raise UnreadableFile("line 4 has more than 67,108,864 bytes")

    monkeypatch.setattr(publish_command, "arriving_lines", lines)
    done = run(file)
    assert done.exit_code == 2
    assert batches.flushed
    assert json.loads(done.stdout)["published"] == 3


@pytest.mark.parametrize(
    ("stop", "code", "told"),
    [(KeyboardInterrupt(), 130, "interrupted"), (BrokerProblem("Kafka is gone"), 2, "Kafka is gone")],
    ids=["ctrl-c", "broker"],
)
def test_the_result_is_printed_where_the_wait_for_workers_is_cut_short(
    stop: BaseException, code: int, told: str, batches: Batches, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_command, "results_reader", lambda *_: nullcontext(Results(stop)))
    done = run(file, "--wait")
    assert done.exit_code == code
    reported = json.loads(done.stdout)
    assert (reported["published"], reported["outcome"], reported["stopped"]) == (5, "not_read_yet", told)


def test_ctrl_c_while_states_are_compared_prints_the_result(
    batches: Batches, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[str]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(publish_command, "results_reader", lambda *_: nullcontext(Results(InputResults(5, [], 0))))
    monkeypatch.setattr(AmendedTimes, "in_states", interrupted)
    done = run(file, "--wait")
    assert done.exit_code == 130
    reported = json.loads(done.stdout)
    assert (reported["published"], reported["outcome"], reported["accepted"]) == (5, "accepted", 5)
    assert (reported["stopped"], reported["warnings"][0]["code"]) == ("interrupted", "not_checked")


def test_states_are_read_of_the_partitions_of_the_amended_incidents_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[TopicReader] = []

    class Reader(TopicReader):
        size = 0

        def __enter__(self) -> Reader:
            opened.append(self)
            return self

        def __exit__(self, *_: object) -> None: ...
        def from_beginning(self) -> None: ...
        def there(self) -> Iterator[list[TopicRecord]]:
            return iter(())

    monkeypatch.setattr(reader_module, "TopicReader", Reader)
    times = AmendedTimes()
    times._lines = {"inc-1": 1, "inc-2": 2}
    assert list(times.in_states(read_settings(brokers="127.0.0.1:1"))) == []
    assert opened[0]._wanted(list(range(40))) == sorted({partition_of("inc-1", 40), partition_of("inc-2", 40)})


@pytest.mark.parametrize(("text", "code", "bad"), [("", 0, 0), ("\n\n", 0, 0), ("{}\n", 2, 1)])
def test_of_a_file_without_an_event_nothing_is_waited_for(
    batches: Batches, file: Path, text: str, code: int, bad: int
) -> None:
    file.write_text(text)
    done = run(file)
    reported = json.loads(done.stdout)
    assert (done.exit_code, len(reported["invalid_lines"])) == (code, bad)
    assert [reported[name] for name in ("published", "outcome", "accepted", "unread")] == [0, "unchanged", 0, 0]
