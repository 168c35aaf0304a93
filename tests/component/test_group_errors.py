"""A worker whose heartbeat or join Kafka refuses tries again and says so; it ends where only a new one helps."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from streams.kafka.group_errors import GroupLeft, group_error
from streams.metrics import REGISTRY
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import GroupStalled
from streams.runtime.group_watch import GroupWatch
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task_manager import TaskManager
from tests.waiting import in_virtual_time

PLACE = TopicPartition("sla.in", 0)
REFUSED = errors.GroupAuthorizationFailedError
UNKNOWN = errors.UnknownError


class Group:
    """Kafka's side: answers heartbeats and joins with `answer`, and expels a member that sends none for 10 s."""

    def __init__(self) -> None:
        self.answer: type[errors.KafkaError] = errors.NoError
        self.offsets: type[errors.KafkaError] = errors.NoError
        self.member: str | None = None
        self.joins = 0
        self._heard_at = 0.0

    @property
    def has_member(self) -> bool:
        return self.member is not None and asyncio.get_running_loop().time() - self._heard_at < 10

    def heartbeat(self, member: str) -> type[errors.KafkaError]:
        if self.answer is not errors.NoError:
            return self.answer
        if not self.has_member or member != self.member:
            return errors.UnknownMemberIdError
        self._heard_at = asyncio.get_running_loop().time()
        return errors.NoError

    def join(self) -> str:
        if self.answer is not errors.NoError:
            raise self.answer("sla")
        self.joins += 1
        self.member, self._heard_at = f"m{self.joins}", asyncio.get_running_loop().time()
        return self.member


class Coordinator(GroupCoordinator):
    """aiokafka's own, without a network."""

    def __init__(self, group: Group) -> None:
        subscriptions = SubscriptionState()
        subscriptions.subscribe({PLACE.topic})
        subscriptions.register_fetch_waiters(set())
        cluster = SimpleNamespace(add_listener=lambda _: None)
        super().__init__(
            SimpleNamespace(cluster=cluster),
            subscriptions,
            group_id="sla",
            heartbeat_interval_ms=1_000,
            enable_auto_commit=False,
        )
        self._group = group
        self.coordinator_id = 1
        self.revoked = 0

    async def _send_req(self, request: Any) -> Any:
        return SimpleNamespace(error_code=self._group.heartbeat(self.member_id).errno)

    async def _on_join_prepare(self, previous_assignment: Any) -> None:
        self.revoked += previous_assignment is not None
        self._subscription.begin_reassignment()

    async def _do_rejoin_group(self, subscription: Any) -> bool:
        self.member_id = self._group.join()
        self.generation = self._group.joins
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        self._subscription.assign_from_subscribed([PLACE])
        await self._stop_commit_offsets_refresh_task()
        self.start_commit_offsets_refresh_task(subscription.assignment)
        return True

    async def _maybe_refresh_commit_offsets(self, assignment: Any) -> bool:
        if self._group.offsets is not errors.NoError:
            raise self._group.offsets
        return True


class Worker:
    """Its consumer's coordinator, and the watch over it."""

    def __init__(self, group: Group) -> None:
        self.coordinator = Coordinator(group)
        consumer = SimpleNamespace(_coordinator=self.coordinator)

        async def look() -> BaseException | None:
            return group_error(consumer)

        self.watch = GroupWatch(1.0, asyncio.get_running_loop().time)
        self.watching = asyncio.create_task(self.watch.keep_looking(look))

    @property
    def reasons(self) -> str:
        return "; ".join(str(each["reason"]) for each in self.watch.problems())

    async def end(self) -> None:
        self.watching.cancel()
        await self.coordinator.close()


@pytest.mark.parametrize("answer", [REFUSED, UNKNOWN])
def test_a_member_whose_heartbeats_were_refused_for_some_seconds_stays_one(answer: type[errors.KafkaError]) -> None:
    """Nothing is revoked: only Kafka knows whether it is a member still."""

    async def scenario() -> None:
        group = Group()
        worker = Worker(group)
        await asyncio.sleep(30)
        group.answer = answer
        await asyncio.sleep(6)
        group.answer = errors.NoError
        await asyncio.sleep(60)
        assert (group.has_member, group.joins, worker.coordinator.revoked) == (True, 1, 0)
        assert worker.reasons == "", "it is over"
        await worker.end()

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (REFUSED, "this user is not allowed to use the consumer group"),
        (UNKNOWN, "KafkaError: Unexpected exception in heartbeat task: UnknownError"),
    ],
)
def test_an_expelled_member_joins_anew_once_kafka_lets_it(answer: type[errors.KafkaError], told: str) -> None:
    async def scenario() -> None:
        group = Group()
        worker = Worker(group)
        await asyncio.sleep(30)
        group.answer = answer
        for second in range(600):
            await asyncio.sleep(1)
            assert (f"the worker can't stay in its consumer group: {told}" in worker.reasons) or second < 10
            assert not worker.reasons or second >= 5, "what does not last is not told"
        assert not group.has_member
        group.answer = errors.NoError
        await asyncio.sleep(5)
        assert (group.has_member, group.joins, worker.coordinator.revoked) == (True, 2, 1)
        await asyncio.sleep(10)
        assert (worker.reasons, worker.watching.done()) == ("", False)
        await worker.end()

    in_virtual_time(scenario)


def test_a_reader_that_raises_the_same_errors_changes_nothing() -> None:
    """aiokafka's `getmany` takes the error out of the coordinator, and leaves the heartbeat as it is."""

    async def scenario() -> None:
        group = Group()
        worker = Worker(group)

        async def getmany() -> None:
            while True:
                with contextlib.suppress(REFUSED):
                    worker.coordinator.check_errors()
                await asyncio.sleep(0.3)

        reading = asyncio.create_task(getmany())
        await asyncio.sleep(5)
        group.answer = REFUSED
        await asyncio.sleep(20)
        assert "not allowed to use the consumer group" in worker.reasons
        group.answer = errors.NoError
        await asyncio.sleep(5)
        assert group.has_member
        reading.cancel()
        await worker.end()

    in_virtual_time(scenario)


def test_a_join_that_is_refused_is_tried_again() -> None:
    async def scenario() -> None:
        group = Group()
        group.answer = REFUSED
        worker = Worker(group)
        await asyncio.sleep(60)
        assert "not allowed to use the consumer group" in worker.reasons
        assert not group.joins
        group.answer = errors.NoError
        await asyncio.sleep(2)
        assert group.has_member
        await worker.end()

    in_virtual_time(scenario)


def test_offsets_that_were_refused_are_asked_for_after_another_join() -> None:
    """aiokafka asks for committed offsets in a task that ends like the heartbeat's; a join begins it anew."""

    async def scenario() -> None:
        group = Group()
        group.offsets = REFUSED
        worker = Worker(group)
        await asyncio.sleep(20)
        assert "not allowed to use the consumer group" in worker.reasons
        group.offsets = errors.NoError
        await asyncio.sleep(2)
        joins = group.joins
        await asyncio.sleep(30)
        assert (group.has_member, group.joins, worker.reasons) == (True, joins, "")
        await worker.end()

    in_virtual_time(scenario)


def test_a_failure_of_a_long_session_is_told_between_its_heartbeats() -> None:
    """With a session of 5 minutes a heartbeat is sent every 30 s."""

    async def scenario() -> None:
        watch = GroupWatch(30.0, asyncio.get_running_loop().time)
        shown = []

        async def look() -> BaseException | None:
            now = asyncio.get_running_loop().time()
            shown.append((now, watch.problems()))
            return REFUSED("sla") if now % 31 < 1 else None

        watching = asyncio.create_task(watch.keep_looking(look))
        await asyncio.sleep(300)
        watching.cancel()
        assert all(problems for now, problems in shown if now > 70)

    in_virtual_time(scenario)


def test_a_refusal_that_lasts_is_logged_once_a_minute_and_another_at_once() -> None:
    async def scenario() -> None:
        error = REFUSED("sla")

        async def look() -> BaseException | None:
            return error

        watch = GroupWatch(1.0, asyncio.get_running_loop().time)
        with capture_logs() as logs:
            watching = asyncio.create_task(watch.keep_looking(look))
            await asyncio.sleep(119.5)
            error = UNKNOWN("sla")
            await asyncio.sleep(60)
        watching.cancel()
        told = [(REFUSED.__name__ in log["error"], log["left_out"]) for log in logs]
        assert told == [(True, 0), (True, 59), (False, 0)]

    in_virtual_time(scenario)


def test_a_consumer_that_can_join_no_more_ends_the_worker() -> None:
    async def scenario() -> None:
        group = Group()
        worker = Worker(group)
        await asyncio.sleep(5)
        worker.coordinator.coordinator_id = None  # its look-up fails in a way that aiokafka does not expect
        worker.coordinator.request_rejoin()
        with pytest.raises(GroupStalled, match=r"takes part in no rebalance any more: .*AttributeError"):
            await worker.watching

    in_virtual_time(scenario)


def test_before_the_consumer_is_connected_there_is_no_error() -> None:
    assert group_error(SimpleNamespace(_coordinator=None)) is None


def test_the_worker_is_not_ready_meanwhile_and_ends_when_its_consumer_has_left() -> None:
    async def scenario() -> None:
        manager = TaskManager(RuntimeSettings("sla", ("127.0.0.1:1",)), [AgentSpec("diary", ("sla.in",), _never)])
        error: list[BaseException] = [REFUSED("sla")]

        async def look() -> bool:
            return True

        async def start() -> None:
            return None

        async def kept_out() -> BaseException:
            if isinstance(error[0], GroupLeft):
                raise error[0]
            return error[0]

        manager._topics.look = look  # type: ignore[method-assign]
        manager._group = GroupWatch(1.0, asyncio.get_running_loop().time)
        consumer = SimpleNamespace(group_error=kept_out)
        manager.app = SimpleNamespace(start=start, consumer=consumer, crash_reason=None)  # type: ignore[assignment]
        await manager.start()
        await asyncio.sleep(20)
        assert any("in its consumer group" in str(each["reason"]) for each in manager.unready())
        assert REGISTRY.get_sample_value("sla_topics_unusable") == 1
        assert manager.crash() is None
        error[0] = GroupLeft("a defect")
        await asyncio.sleep(2)
        assert str(manager.crash()) == "the consumer takes part in no rebalance any more: a defect"

    in_virtual_time(scenario)


def _never(_: int) -> Any:
    raise AssertionError
