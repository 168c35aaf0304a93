"""The ends of partitions are asked for together; one without an answer keeps no other task from its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from streams.runtime import kafka_log
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.errors import TaskInterrupted
from streams.runtime.kafka_log import KafkaLog, Offsets
from streams.runtime.settings import RuntimeSettings
from tests.waiting import TIMEOUT_S

ONE, TWO, THREE = (TopicPartition("in", number) for number in (1, 2, 3))


class Consumer:
    """Answers as aiokafka does: nothing of a request while one of its partitions has no leader."""

    def __init__(self) -> None:
        self.leaderless: set[TopicPartition] = set()
        self.requests: list[list[TopicPartition]] = []
        self.slow = False

    async def end_offsets(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.requests.append(sorted(partitions))
        if not self.leaderless.isdisjoint(partitions):
            if self.slow:
                await asyncio.sleep(3600)
            raise KafkaTimeoutError("Failed to get offsets")
        return dict.fromkeys(partitions, 7)


class Bench(Offsets):
    def __init__(self) -> None:
        super().__init__(RuntimeSettings(app_id="sla", brokers=("none:9092",)))
        self.asked = Consumer()

    async def _consumer(self, group: str | None, *, committed: bool = True) -> Consumer:
        return self.asked

    async def each(self, *partitions: TopicPartition) -> list[int | None]:
        """What as many tasks are told at once; None where one is interrupted."""
        answers = await asyncio.gather(*(self.ends((each,)) for each in partitions), return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, Mapping | TaskInterrupted)
        return [
            each[place] if isinstance(each, Mapping) else None for place, each in zip(partitions, answers, strict=True)
        ]


def test_one_request_serves_all_who_wait() -> None:
    async def scenario() -> None:
        bench = Bench()
        assert await bench.each(ONE, TWO, THREE) == [7, 7, 7]
        assert bench.asked.requests == [[ONE, TWO, THREE]]

    asyncio.run(scenario())


def test_a_partition_without_a_leader_interrupts_its_own_task_alone() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.asked.leaderless = {TWO}
        assert await bench.each(ONE, TWO, THREE) == [7, None, 7]
        bench.asked.requests.clear()
        assert await bench.each(ONE, TWO, THREE) == [7, None, 7]
        assert bench.asked.requests == [[ONE, THREE], [TWO]], "from then on it is asked for by itself"
        bench.asked.leaderless = set()
        assert await bench.each(ONE, TWO, THREE) == [7, 7, 7]
        bench.asked.requests.clear()
        assert await bench.each(ONE, TWO, THREE) == [7, 7, 7]
        assert bench.asked.requests == [[ONE, TWO, THREE]]

    asyncio.run(scenario())


def test_others_do_not_wait_for_a_partition_that_answers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_log, "_TOGETHER_S", 0.0)

    async def scenario() -> None:
        bench = Bench()
        bench.asked.leaderless, bench.asked.slow = {TWO}, True
        late = asyncio.create_task(bench.each(TWO))
        assert await bench.each(ONE, THREE) == [7, 7]
        assert not late.done()
        await bench.close()
        late.cancel()

    asyncio.run(scenario())


def test_no_timer_waits_for_what_is_measured_of_an_output() -> None:
    async def scenario() -> None:
        bench = Bench()
        output = TopicPartition("out", 1)
        bench.asked.leaderless, bench.asked.slow = {output}, True
        lag = ConsumerLag(bench, written_by={"reading": ("out",)})
        task: Any = SimpleNamespace(
            agent="reading", partition=1, waiting="", timers_fired=0, applied=lambda: {ONE.topic: 7}
        )
        lag.begin([task])
        async with asyncio.timeout(TIMEOUT_S):
            while [output] not in bench.asked.requests:
                await asyncio.sleep(0)
            assert await bench.each(ONE, TWO) == [7, 7]
        assert bench.asked.requests == [[ONE], [output], [ONE, TWO]]
        lag.end()
        await bench.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_request_that_aiokafka_cancels_is_answered(tasks: int) -> None:
    """No timer of a task fires that waits for an answer."""

    async def scenario() -> None:
        bench = Bench()
        bench.asked.end_offsets = AsyncMock(side_effect=asyncio.CancelledError)  # type: ignore[method-assign]
        async with asyncio.timeout(TIMEOUT_S):
            assert await bench.each(*(ONE, TWO)[:tasks]) == [None] * tasks

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["committed", "beginning_offsets"])
def test_an_error_of_a_client_that_is_none_of_kafkas_interrupts_a_task_that_recovers(what: str) -> None:
    """As one that finds its connection gone: it would halt after a few attempts, until a person starts the worker."""

    async def scenario() -> None:
        bench = Bench()
        setattr(bench.asked, what, AsyncMock(side_effect=KeyError((1, 0))))
        log = KafkaLog(RuntimeSettings(app_id="sla", brokers=("none:9092",)), bench, "diary", 0, ("in",))
        with pytest.raises(TaskInterrupted, match=r"KeyError\(\(1, 0\)\)"):
            await (log.committed() if what == "committed" else log.bounds())

    asyncio.run(scenario())
