"""A destination whose rows come from the one reader of the process."""

from __future__ import annotations

import pytest
from notify_bench import play
from notify_desk import ALERTS, ROWS, Desk, parked_at

from connect.notify import row_feed
from connect.notify.page_store_rows import (
    StateRow,
    retry_rows,
)
from connect.notify.row_feed import RowFeed


class FeedDesk(Desk):
    """Its rows come from the feed of the process."""

    def __init__(self) -> None:
        self.feed = RowFeed("sla", lambda: None)
        self.feed._started.set()
        super().__init__(feed=self.feed)

    async def written(self, *rows: StateRow) -> None:
        """By an operator, or another process."""
        for row in rows:
            self.kafka.put(ROWS, row.value, key=row.key)
        await self.bench.store.write(0, rows)
        await self.feed.put(self.kafka.logs[ROWS][-len(rows) :])


def test_retries_and_parked_messages_come_from_one_reader_of_the_rows_of_all_destinations() -> None:
    async def scenario() -> None:
        desk = FeedDesk()
        before = parked_at(0, "before")
        await desk.written(*retry_rows(before))  # read back
        await desk.start()
        await desk.until(lambda: desk.heard == ["before"])
        await desk.until(lambda: ROWS in desk.kafka.held)
        await desk.written(*retry_rows(parked_at(0, "e1")), *retry_rows(parked_at(0, "e2", "other")))
        await desk.until(lambda: desk.heard == ["before", "e1"])
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.written(*retry_rows(parked_at(0, "e3")))  # while another process has the partition, or none
        assert desk.feed._fed == {}
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        await desk.until(lambda: desk.heard == ["before", "e1", "e3"])
        desk.consumer.close()
        assert desk.feed._fed == {}

    play(scenario)


def test_requests_wait_while_a_destination_takes_no_more_and_those_beyond_a_number_in_kafka(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_feed, "_MOST_RETAINED", 5)

    async def scenario() -> None:
        desk = FeedDesk()
        await desk.start()
        await desk.until(lambda: ROWS in desk.kafka.held)
        desk.bench.delivery.health.disabled = "HTTP 410"
        for number in range(4):
            await desk.written(retry_rows(parked_at(0, f"e{number}"))[0])
        fed = desk.feed._fed["d"]
        await desk.until(lambda: ALERTS in desk.kafka.held)
        assert (len(fed._rows), fed.overrun) == (4, False)
        for number in range(4, 20):
            await desk.written(retry_rows(parked_at(0, f"e{number}"))[0])
        assert (len(fed._rows), fed.overrun) == (0, True)
        assert desk.heard == []
        desk.bench.delivery.health.disabled = None
        desk.bench.delivery.resume()
        await desk.until(lambda: len(desk.heard) == 20)
        await desk.written(retry_rows(parked_at(0, "later"))[0])
        await desk.until(lambda: desk.heard[20:] == ["later"])
        assert set(desk.heard) == {f"e{number}" for number in range(20)} | {"later"}

    play(scenario)
