"""The feed of rows over a consumer that fails: where it begins, and that it leaves nothing out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError
from notify_bench import play
from structlog.testing import capture_logs

from connect.notify import row_feed, row_loading
from connect.notify.routing.recorded import recorded_key
from connect.notify.row_feed import RowFeed
from streams.errors import SlaError
from tests.waiting import until

ROWS = TopicPartition("sla.notifications", 0)


class Log:
    """The rows of one partition; `failures` are raised by reads in turn."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.failures: list[BaseException] = []
        self.topics_known = {"sla.notifications"}
        self.connections = 0
        self.silent = False

    def write(self, *keys: bytes, value: bytes | None = b"{}") -> None:
        for key in keys:
            self.rows.append(ConsumerRecord(*ROWS, len(self.rows), 0, 0, key, value, 0, 0, 0, ()))


class Consumer:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.at = 0
        log.connections += 1

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def topics(self) -> set[str]:
        return self.log.topics_known

    def subscribe(self, topics: list[str]) -> None:
        assert topics == [ROWS.topic]

    def assignment(self) -> set[TopicPartition]:
        return {ROWS}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.log.rows))

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def seek_to_beginning(self, _: TopicPartition) -> None:
        self.at = 0

    async def position(self, _: TopicPartition) -> int:
        return self.at

    async def getmany(self, *_: object, **__: object) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        if self.log.failures:
            raise self.log.failures.pop(0)
        if self.log.silent:
            return {}
        found, self.at = self.log.rows[self.at :], len(self.log.rows)
        return {ROWS: found} if found else {}


def test_rows_of_a_topic_that_was_made_anew_are_read_from_the_first_one() -> None:
    """Requests to retry below the offset that the topic before had reached were passed over."""

    async def scenario() -> None:
        log = Log()
        log.write(*[b"d\x1fparked\x1fbefore"] * 7)
        feed = RowFeed("sla", lambda: Consumer(log))
        running = asyncio.create_task(feed.run())
        fed = await feed.open("d", lambda _: False)
        log.rows = []
        log.write(*(b"d\x1fretry\x1fe%d" % number for number in range(9)))
        feed.made_anew()
        await until(lambda: feed._at == {0: 9})
        assert len(fed.take(99)) == 9
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scenario)


def test_what_is_left_of_a_topic_that_was_made_anew_is_not_read() -> None:
    """Its routes came as the latest, and ended that those in force are recorded in the new topic."""

    async def scenario() -> None:
        log, known = Log(), list[bytes]()
        feed = RowFeed("sla", lambda: Consumer(log), lambda key, _: known.append(key))
        log.write(recorded_key(1, "a"), *[b"d\x1fpending\x1finc\x1fe1"] * 600, recorded_key(2, "b"))
        putting = asyncio.create_task(feed.put(log.rows))
        await asyncio.sleep(0)
        feed.made_anew()
        await putting
        assert known == [recorded_key(1, "a")]

    play(scenario)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed connects again at once, and is not waited for."""
    monkeypatch.setattr(row_feed, "_RECONNECT_S", 0.001)
    monkeypatch.setattr(row_feed, "_START_S", 0.01)


@pytest.mark.usefixtures("short_waits")
def test_rows_that_are_written_while_the_feed_is_disconnected_reach_it_afterwards() -> None:
    async def scenario() -> None:
        log = Log()
        log.topics_known = set()
        feed = RowFeed("sla", lambda: Consumer(log))
        with capture_logs() as logs:
            running = asyncio.create_task(feed.run())
            with pytest.raises(SlaError, match=r"where the rows of sla\.notifications end: there is no topic"):
                await feed.open("d", lambda _: False)
            log.write(b"d\x1fparked\x1fbefore")
            log.topics_known = {ROWS.topic}
            await until(feed._started.is_set)
            fed = await feed.open("d", lambda name: name == "former")
            await until(lambda: feed._at == {0: 1})
            log.write(b"d\x1fparked\x1fe1", b"d\x1fpending\x1finc\x1fe2", b"other\x1fparked\x1fe3", b"rubbish")
            await until(lambda: feed._at == {0: 5})
            log.failures = [KafkaConnectionError("away"), ZeroDivisionError(), asyncio.CancelledError()]
            log.write(b"d\x1fretry\x1fe4", b"former\x1fparked\x1fe5")
            await until(lambda: feed._at == {0: 7} and not log.failures)
            assert [record.key.split(b"\x1f")[-1] for record in fed.take(9)] == [b"e1", b"e4", b"e5"]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert log.connections >= 4
        reasons = [each["reason"] for each in logs if each["event"] == "rows_unavailable"]
        assert len(reasons) >= 3
        assert "there is no topic" in reasons[0]

    play(scenario)


def test_routes_of_before_are_known_before_any_row_is_taken_and_later_ones_follow() -> None:
    async def scenario() -> None:
        log, known = Log(), list[object]()
        first, second = recorded_key(1, "a"), recorded_key(2, "b")
        log.write(first, b"d\x1fparked\x1fe1", second)
        log.write(first, value=None)
        feed = RowFeed(
            "sla", lambda: Consumer(log), lambda key, value: known.append((key, value)), lambda: known.append("read")
        )
        running = asyncio.create_task(feed.run())
        fed = await feed.open("d", lambda _: False)
        assert known == [(first, b"{}"), (second, b"{}"), (first, None), "read"]
        third = recorded_key(3, "c")
        log.write(third, b"d\x1fparked\x1fe2")
        await until(lambda: feed._at == {0: 6})
        log.failures = [KafkaConnectionError("away")]
        assert known[4:] == [(third, b"{}")]
        assert [record.key for record in fed.take(9)] == [b"d\x1fparked\x1fe2"]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    play(scenario)


@pytest.mark.usefixtures("short_waits")
def test_routes_that_do_not_arrive_are_asked_for_again_and_destinations_tell_why_they_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All destinations waited for the first partition, and said that Kafka did not say where the rows end."""

    async def scenario() -> None:
        log = Log()
        log.write(recorded_key(1, "a"), b"d\x1fparked\x1fe1")
        log.silent = True
        feed = RowFeed("sla", lambda: Consumer(log))
        running = asyncio.create_task(feed.run())
        await until(lambda: feed._routes_at is not None)
        with pytest.raises(SlaError, match=r"^routes are read from sla\.notifications/0 first, at 0 of 2$"):
            await feed.open("d", lambda _: False)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        monkeypatch.setattr(row_loading, "STALLED_S", 0.01)
        feed, log.connections = RowFeed("sla", lambda: Consumer(log)), 0
        with capture_logs() as logs:
            running = asyncio.create_task(feed.run())
            await until(lambda: log.connections > 2)
            with pytest.raises(SlaError, match=r"at 0 of 2: Kafka gave no rows of sla\.notifications/0"):
                await feed.open("d", lambda _: False)
        assert [each["consequence"] for each in logs] == ["nothing is delivered"]
        assert feed.problem is not None
        assert feed.problem.startswith("rows of sla.notifications are not read: Kafka gave no rows")
        log.silent = False
        await until(lambda: feed._started.is_set() and feed.problem is None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scenario)
