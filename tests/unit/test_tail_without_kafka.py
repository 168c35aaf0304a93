"""`sla tail` tells a Kafka that gives no answer from a topic in which nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from test_sorted_events import credit

from cli.events import tail
from cli.events.tail import _arriving
from connect.kafka_io import reachability
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reachability import Reachability
from connect.kafka_io.reader import TopicReader, TopicRecord

AWAY = BrokerProblem("Kafka does not answer")


class Reader(TopicReader):
    """What polls return, and whether Kafka answered then; `after` is what only a question for the end shows."""

    def __init__(self, polls: list[tuple[list[TopicRecord], bool]], after: list[TopicRecord] | None = None) -> None:
        super().__init__(["127.0.0.1:1"], ["sla.credits"])
        self._left = iter(polls)
        self._after = [after or []]
        self._answers = True

    def poll(self, timeout_s: float = 0) -> list[TopicRecord]:
        found, self._answers = next(self._left, ([], self._answers))
        return found

    def problem(self) -> BrokerProblem | None:
        return None if self._answers else AWAY

    def to_current_end(self) -> None:
        if not self._answers:
            raise AWAY

    def there(self, *, later: bool = False) -> Iterator[list[TopicRecord]]:
        if self._after:
            yield self._after.pop()


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1_000))
    monkeypatch.setattr(tail, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


def arriving(reader: Reader) -> list[int]:
    return [each.offset for each in _arriving(reader, 5)]


def test_a_topic_without_new_records_is_idle_once_kafka_says_where_it_ends() -> None:
    assert arriving(Reader([([credit("a", 0, 0)], True)])) == [0]


def test_a_kafka_that_gives_no_answer_is_not_idle() -> None:
    with pytest.raises(BrokerProblem, match="does not answer"):
        arriving(Reader([([credit("a", 0, 0)], True), ([], False)]))


def test_what_kafka_has_and_has_not_sent_yet_is_printed() -> None:
    assert arriving(Reader([], after=[credit("a", 0, 0)])) == [0]


def test_an_absence_is_told_once_and_so_is_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    away: list[tuple[list[TopicRecord], bool]] = [([], False), ([], False)]
    assert arriving(Reader([([], True), *away, ([credit("a", 0, 0)], True), ([], True), *away, ([], True)])) == [0]
    told = ["waiting for Kafka: Kafka does not answer", "Kafka answers again"]
    assert capsys.readouterr().err.splitlines() == told * 2


def test_a_question_without_an_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "_ASK_EVERY_S", 0.0)
    answers: list[asyncio.Future[None]] = []

    async def ask() -> None:
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]

    async def asked() -> None:
        found = Reachability(["k:1"], ask)
        for error in (None, OSError("away"), OSError("away"), None):
            before = await found.problem()
            await asyncio.sleep(0)
            assert await found.problem() is before  # while the question has no answer
            if error is None:
                answers[-1].set_result(None)
            else:
                answers[-1].set_exception(error)
            while (task := found._question) is not None and not task.done():
                await asyncio.sleep(0)
            shown = found._problem
            assert (shown is None) == (error is None)
        assert len(answers) == 4

    asyncio.run(asked())
