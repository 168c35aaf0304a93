"""A destination's member of its group: partitions that come and go, topics and brokers that are away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, KafkaTimeoutError
from aiokafka.structs import TopicPartition
from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, ROWS, Desk

from connect.notify import alert_consumer
from streams.errors import SlaError
from tests.page_triggers import event, value_of


def test_a_member_that_reads_back_for_long_is_not_expelled_and_may_lose_its_partitions_meanwhile() -> None:
    """aiokafka sends no heartbeats before the callbacks return. With many rows it was expelled again and again."""

    async def scenario() -> None:
        desk = Desk()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        stored, begun, over = desk.kafka.stored_pages, asyncio.Event(), asyncio.Event()

        async def slow(*given: Any) -> Any:
            begun.set()
            await over.wait()
            return await stored(*given)

        desk.kafka.stored_pages = slow  # type: ignore[method-assign]
        desk.bench.running = asyncio.create_task(desk.bench.delivery.run())
        desk.reading = asyncio.create_task(desk.consumer.run())
        for _ in range(2):
            begun.clear()
            await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
            await begun.wait()
            await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        assert (desk.ready, desk.heard, desk.kafka.at[ALERTS]) == (0, [], 0)
        over.set()
        await desk.until(lambda: desk.heard)
        assert (desk.ready, desk.heard) == (1, ["breached-inc-1--"])
        await desk.consumer.stop_loading()

    play(scenario)


def test_partitions_that_another_program_of_the_group_has_are_a_problem() -> None:
    """Its alerts would be read by nobody who delivers them, and nobody would know."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        assert desk.problem is None
        del desk.kafka.logs[ALERTS], desk.kafka.at[ALERTS]  # the position of a partition of others raises
        await desk.consumer.on_partitions_assigned([INCIDENTS, ROWS])
        await desk.until(lambda: desk.problem is not None)
        assert desk.problem is not None
        assert "(sla.alerts 0): their alerts are not delivered" in desk.problem
        desk.kafka.put(INCIDENTS, value_of(event("closed")))
        await desk.until(lambda: INCIDENTS in desk.kafka.held)
        assert desk.reading is not None
        assert not desk.reading.done(), "other partitions are served"
        await desk.consumer.on_partitions_assigned([])
        await desk.until(lambda: desk.problem is None)  # another notifier has them all

    play(scenario)


@pytest.mark.parametrize("topic", [ALERTS, INCIDENTS, ROWS], ids=lambda each: each.topic)
def test_a_topic_that_was_deleted_ends_the_connection_until_it_is_there_again(topic: TopicPartition) -> None:
    """The member had joined its group without the topic, and looked for it after five minutes only. Its page of health
    said that another program had the partitions."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        desk.kafka.unknown = topic.topic
        await desk.consumer.on_partitions_assigned([each for each in (ALERTS, INCIDENTS, ROWS) if each != topic])
        with pytest.raises(SlaError, match=f"there is no topic {topic.topic}; `sla topics apply`"):
            await desk.until(lambda: desk.ready > 1)
        assert (desk.ready, desk.problem) == (1, None)

    play(scenario)


def test_partitions_that_come_while_a_member_leaves_its_group_are_not_loaded() -> None:
    """Such loads outlived their connections, and each kept those of all destinations of the process waiting until it
    had given up: a hundred that reconnected at once stood still for many minutes."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        await desk.consumer.stop_loading()
        others = asyncio.all_tasks()
        await desk.consumer.on_partitions_assigned([ALERTS, INCIDENTS, ROWS])
        assert asyncio.all_tasks() == others
        assert desk.ready == 1

    play(scenario)


def test_a_broker_that_says_nothing_of_the_end_of_a_partition_delays_no_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """One partition without a leader ended the connections of all destinations, again and again, before they had read
    anything."""
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        kafka, asked = desk.kafka, asyncio.Event()

        async def never(_: object) -> Any:
            asked.set()
            await asyncio.Event().wait()

        known_ends = kafka.known_ends
        kafka.known_ends = never  # type: ignore[method-assign]
        kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await asked.wait()
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        desk.consumer._lag.stop()

        kafka.known_ends = known_ends  # type: ignore[method-assign]
        kafka.leaderless = {ALERTS}
        kafka.put(INCIDENTS, value_of(event("closed")), at=5)
        await desk.until(lambda: INCIDENTS in kafka.held)
        assert kafka.committed_at == {ALERTS: 1}, "nobody knows whether alerts before it are left"
        kafka.leaderless = set()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 1, INCIDENTS: 1})

        async def away(_: object) -> Any:
            raise KafkaTimeoutError("no answer")

        kafka.known_ends = away  # type: ignore[method-assign]
        assert desk.reading is not None
        with pytest.raises(KafkaTimeoutError, match="no answer"):
            await desk.reading

    play(scenario)


def test_records_of_partitions_that_moved_meanwhile_are_left_to_their_owner() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        desk.bench.sender.open.clear()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.until(lambda: desk.bench.sender.at_once)
        desk.bench.sender.open.set()
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        assert desk.bench.delivery.open_pages == 0
        desk.kafka.put(ALERTS, value_of(event("met")))
        await asyncio.sleep(0.01)
        assert desk.heard == ["breached-inc-1--"]
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())  # they come back, with what was kept
        await desk.until(lambda: desk.heard == ["breached-inc-1--", "met-inc-1--"])
        await desk.until(lambda: desk.bench.store.left() == [])

    play(scenario)


def test_a_commit_that_comes_too_late_is_no_trouble() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.kafka.refuses = CommitFailedError()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        desk.kafka.refuses = None
        desk.kafka.put(ALERTS, value_of(event("met")))
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)

    play(scenario)


def test_what_can_t_be_read_back_makes_the_worker_reconnect() -> None:
    async def scenario() -> None:
        desk = Desk()

        async def away(*_: object) -> Any:
            raise OSError("no broker")

        desk.kafka.stored_pages = away  # type: ignore[method-assign]
        await desk.start()
        assert desk.reading is not None
        with pytest.raises(OSError, match="no broker"):
            await desk.reading

    play(scenario)
