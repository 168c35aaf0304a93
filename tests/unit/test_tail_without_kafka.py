"""`sla tail` tells a Kafka that gives no answer from a topic in which nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from test_sorted_events import credit

from cli.events import tail
from cli.events.tail import _arriving
from connect.kafka_io.connection import BrokerProblem, explained
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


class Questions:
    """What is asked of Kafka, and answered by hand; seconds pass by hand too."""

    def __init__(self) -> None:
        self.reachability = Reachability(["k:1"], self._ask)
        self.asked: list[asyncio.Future[None]] = []
        self.now = 0.0
        asyncio.get_running_loop().time = lambda: self.now  # type: ignore[method-assign]

    async def _ask(self) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]

    async def answer(self, error: Exception | None) -> None:
        if error is None:
            self.asked[-1].set_result(None)
        else:
            self.asked[-1].set_exception(error)
        await self._turns()

    async def look(self, after_s: float = 0.5) -> bool:
        """Whether Kafka is called away, so many seconds later."""
        self.now += after_s
        found = await self.reachability.problem()
        await self._turns()
        return found is not None

    @staticmethod
    async def _turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def test_a_question_without_an_answer_holds_nothing_up() -> None:
    async def asked() -> None:
        kafka, away = Questions(), False
        for number, error in enumerate((None, OSError("away"), OSError("away"), None), 1):
            for _ in range(20):
                assert await kafka.look() is away  # while the question has no answer
            assert len(kafka.asked) == number
            away = error is not None
            await kafka.answer(error)
            assert await kafka.look() is away
            assert len(kafka.asked) == number

    asyncio.run(asked())


def test_who_was_stopped_for_seconds_asks_again_before_kafka_is_called_away() -> None:
    async def stopped() -> None:
        kafka = Questions()
        assert not await kafka.look()
        await kafka.answer(OSError("no answer within 10 s, of which all but one passed without this process"))
        assert not await kafka.look(after_s=11)
        assert len(kafka.asked) == 2, "asked anew"
        assert not await kafka.look()
        await kafka.answer(OSError("away"))
        assert await kafka.look()

    asyncio.run(stopped())


def test_a_question_under_way_is_dropped_where_its_process_was_stopped() -> None:
    async def stopped() -> None:
        kafka = Questions()
        assert not await kafka.look()
        assert not await kafka.look(after_s=11)
        assert [each.cancelled() for each in kafka.asked] == [True, False]
        await kafka.answer(OSError("away"))
        assert await kafka.look()

    asyncio.run(stopped())


def test_a_question_that_the_client_gives_up_is_one_without_an_answer() -> None:
    async def given_up() -> None:
        kafka = Questions()
        assert not await kafka.look()
        kafka.asked[-1].cancel()
        assert not await kafka.look()
        assert await kafka.look()
        for _ in range(20):
            await kafka.look()
        await kafka.answer(None)
        assert not await kafka.look()

    asyncio.run(given_up())


def test_a_read_that_the_client_gives_up_is_one_line_and_ctrl_c_is_none() -> None:
    async def given_up() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with explained(["k:1"]):
            await asyncio.sleep(60)

    with pytest.raises(BrokerProblem, match="Kafka at k:1: a client of Kafka gave up"), explained(["k:1"]):
        asyncio.run(given_up())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
