"""aiokafka commits as the member, and in the generation, that the partitions were assigned to, or not at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka.patches import AIOKAFKA
from tests.waiting import in_virtual_time

PLACE = TopicPartition("sla.alerts", 0)
AIOKAFKA.apply_all()


class Coordinator(GroupCoordinator):
    """aiokafka's own, before a group that is empty: Kafka takes what names no generation."""

    def __init__(self, subscriptions: SubscriptionState) -> None:
        cluster = SimpleNamespace(add_listener=lambda _: None)
        super().__init__(SimpleNamespace(cluster=cluster), subscriptions, group_id="sla", enable_auto_commit=False)
        self.coordinator_id = 1
        self.sent: list[int] = []
        """The generation of each request."""
        self.busy = 0
        """How many requests are answered by a coordinator that is starting."""

    async def _coordination_routine(self) -> None:
        """The tests join."""
        await self._closing

    async def _send_req(self, _: Any) -> Any:
        self.sent.append(self.generation)
        self.busy -= 1
        error = errors.GroupLoadInProgressError if self.busy >= 0 else errors.NoError
        return SimpleNamespace(topics=[(PLACE.topic, [(PLACE.partition, error.errno)])])

    def joined(self, generation: int) -> None:
        self.member_id, self.generation = "m1", generation
        self._subscription.assign_from_subscribed([PLACE])

    async def commit(self) -> None:
        subscription = self._subscription.subscription
        await self.commit_offsets(subscription.assignment, {PLACE: OffsetAndMetadata(7, "")})


def play(scenario: Any) -> None:
    async def whole() -> None:
        subscriptions = SubscriptionState()
        subscriptions.subscribe({PLACE.topic})
        coordinator = Coordinator(subscriptions)
        try:
            await scenario(coordinator)
        finally:
            await coordinator.close()

    in_virtual_time(whole)


def test_a_member_that_kafka_has_forgotten_commits_nothing() -> None:
    """Kafka took it where its successor had come and gone: the alerts and claims of that one were overwritten."""

    async def scenario(coordinator: Coordinator) -> None:
        coordinator.joined(3)
        await coordinator.commit()
        coordinator.reset_generation()  # its heartbeat was refused
        with pytest.raises(errors.CommitFailedError):
            await coordinator.commit()
        assert coordinator.sent == [3]
        coordinator.joined(5)
        await coordinator.commit()
        assert coordinator.sent == [3, 5]

    play(scenario)


def test_a_commit_is_not_sent_again_in_the_next_generation() -> None:
    """Another member may have the partition by then."""

    async def scenario(coordinator: Coordinator) -> None:
        coordinator.joined(3)
        coordinator.busy = 1
        waiting = asyncio.create_task(coordinator.commit())
        while not coordinator.sent:
            await asyncio.sleep(0)
        coordinator.generation = 4  # it has joined again, and does not know its partitions yet
        with pytest.raises(errors.CommitFailedError):
            await waiting
        assert coordinator.sent == [3]

    play(scenario)


def test_a_consumer_that_chooses_its_partitions_commits_without_a_generation() -> None:
    async def whole() -> None:
        subscriptions = SubscriptionState()
        subscriptions.assign_from_user([PLACE])
        coordinator = Coordinator(subscriptions)
        await coordinator.commit()
        assert coordinator.sent == [-1]
        await coordinator.close()

    in_virtual_time(whole)
