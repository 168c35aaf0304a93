"""Pages that are written again to a topic of rows that was made anew, while loads end early."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from aiokafka.errors import KafkaTimeoutError
from notify_bench import MemoryStore, play
from notify_desk import ALERTS, INCIDENTS, Desk, waiting_page

from connect.notify.page_store_rows import StateRow, StoredPages, pending_row
from connect.notify.retained_pages import RetainedPages
from tests.page_triggers import event, value_of


class Refusing(MemoryStore):
    """Rows that are written meanwhile are in no topic."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def write(self, partition: int, rows: Iterable[StateRow]) -> None:
        if self.refuses:
            self.asked.set()
            await self.goes_on.wait()
            raise KafkaTimeoutError
        await super().write(partition, rows)


@pytest.mark.parametrize("fails", [True, False], ids=["kafka-refuses", "partitions-move"])
def test_a_load_that_ends_while_pages_are_written_again_loses_none(fails: bool) -> None:
    """The next one took the new topic for the one that had their rows."""

    async def scenario() -> None:
        topic_id = b"1"

        async def ask() -> bytes:
            return topic_id

        store = Refusing()
        desk = Desk(retained=RetainedPages("d", ask), store=store)
        await desk.start()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-0", "e0")))
        await desk.until(lambda: desk.heard == ["e0"] and desk.bench.delivery.pending == 0)
        store.log, store.refuses, topic_id = {}, True, b"2"
        await desk.consumer.read_back()
        await store.asked.wait()
        if fails:
            store.goes_on.set()
            with pytest.raises(KafkaTimeoutError):
                await desk.until(lambda: False)
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        store.refuses = False
        await (desk.reconnect() if fails else desk.consumer.on_partitions_assigned(desk.kafka.assignment()))
        await desk.consumer._loading.wait()
        assert desk.bench.delivery.open_pages == 1
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-0", "c0")), at=9)
        await desk.until(lambda: desk.kafka.committed_at.get(INCIDENTS) == 1 and desk.bench.delivery.pending == 0)
        assert (len(desk.heard), store.left()) == (2, [])

    play(scenario)


def test_what_a_load_that_ended_early_has_written_hides_nothing_that_waits() -> None:
    """Some of its rows landed: they are of this process too."""

    async def scenario() -> None:
        ids = iter([b"1", b"2", b"2"])

        async def ask() -> bytes:
            return next(ids)

        page = waiting_page("inc-0")
        messages = page.pending
        retained, stored = RetainedPages("d", ask), StoredPages("d")
        for owner in ("me", "me later"):
            await retained.begin(owner)
            retained.keep({0: [page]})
        await retained.begin("me at last")
        for owner, message in (("me", messages[1]), ("me later", messages[2])):
            row = pending_row("d", "inc-0", message)
            stored.read(row.key, row.value, owner)
        retained.restore(0, stored)
        assert list(stored.pages()) == [page]
        retained.written(0)
        assert retained.restore(0, StoredPages("d")) == []

    play(scenario)


def test_rows_are_read_back_where_partitions_are_assigned_and_not_while_they_move() -> None:
    """Between a revocation and an assignment they may be another's."""

    async def scenario() -> None:
        topic_id = b"1"

        async def ask() -> bytes:
            return topic_id

        desk = Desk(retained=RetainedPages("d", ask))
        await desk.start()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-0", "e0")))
        await desk.until(lambda: desk.heard == ["e0"] and desk.bench.delivery.pending == 0)
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        desk.bench.store.log, topic_id = {}, b"2"
        await desk.consumer.read_back()
        assert desk.consumer._loading._task is None
        for number, topic_id in enumerate((b"2", b"3"), 2):
            desk.bench.store.log = {}
            if topic_id == b"2":
                await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
            else:
                await desk.consumer.read_back()
            await desk.until(lambda number=number: desk.ready == number)
            assert len(desk.bench.store.left()) == desk.bench.delivery.open_pages == 1

    play(scenario)


def test_what_was_fetched_and_not_applied_is_read_again_once_rows_are_read_back() -> None:
    """No rebalance takes the member back to where it has committed."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-0", "e0")))
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 1)
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-1", "e1")))
        desk.kafka.at[ALERTS] = 2
        await desk.consumer.read_back()
        await desk.until(lambda: desk.heard == ["e0", "e1"])

    play(scenario)
