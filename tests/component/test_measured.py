"""What the workers measure of the business and of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from agent_harness import Cluster
from aiokafka.structs import TopicPartition
from story import contract, micros, opened, policies
from task_bench import Bench, run

from agents.metrics import AgentCounters
from streams.metrics import REGISTRY
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.errors import TaskInterrupted
from streams.sla.events import Output
from streams.sla.instants import DAY, HOUR
from tests.waiting import until

START = micros("10:00")


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_breaches_and_reminders_are_counted_by_severity_and_metric() -> None:
    breaches = [{"severity": "P1", "metric": each} for each in ("response", "update", "resolution")]
    reminder = {"severity": "P1", "metric": "update", "type": "sla.update_due"}
    before = [value("sla_breaches_total", **each) for each in breaches], value("sla_reminders_total", **reminder)
    cluster = Cluster(policies(), partitions=1)
    cluster.publish(contract("09:00"), START - HOUR)
    cluster.publish(opened("10:00"), START)
    cluster.pass_time(START + DAY)
    outputs = [output for output in cluster.outputs() if output["data"].get("severity") == "P1"]
    told = [
        sum(o["type"] == "sla.breached" and o["data"]["metric"] == each["metric"] for o in outputs) for each in breaches
    ]
    reminded = sum(output["type"] == "sla.update_due" for output in outputs)
    assert told[0] == 1
    assert reminded
    assert [value("sla_breaches_total", **each) for each in breaches] == [
        old + new for old, new in zip(before[0], told, strict=True)
    ]
    assert value("sla_reminders_total", **reminder) == before[1] + reminded


def output(kind: str, *, backfill: bool = False, **data: object) -> Output:
    return Output(kind, "id", "subject", START, data, backfill)


def test_breaches_of_loaded_history_are_not_counted() -> None:
    labels = {"severity": "P1", "metric": "response"}
    before, count = value("sla_breaches_total", **labels), AgentCounters("incidents")
    count.output(output("sla.breached", backfill=True, **labels))
    assert value("sla_breaches_total", **labels) == before
    count.output(output("sla.breached", **labels))
    assert value("sla_breaches_total", **labels) == before + 1


def test_statements_and_credits_are_counted() -> None:
    count, credit = AgentCounters("ledger"), {"cause": "claimed", "currency": "JPY"}
    names = (("sla_statements_total", {"status": "final"}), ("sla_credits_issued_total", credit))
    amount = ("sla_credits_issued_minor_units_total", {"currency": "JPY"})
    before = [value(name, **labels) for name, labels in (*names, amount)]
    count.output(output("credit.statement", status="final"))
    count.output(output("credit.issued", cause="claimed", amount={"amount_minor": 1200, "currency": "JPY"}))
    assert [value(name, **labels) for name, labels in (*names, amount)] == [
        before[0] + 1,
        before[1] + 1,
        before[2] + 1200,
    ]


def test_a_transaction_is_measured_since_its_first_record_arrived() -> None:
    names = ("sla_task_arrival_to_commit_seconds", "sla_task_transaction_seconds")

    async def scenario() -> None:
        bench = Bench()
        bench.start()
        await bench.settle()
        await bench.tick(3_500)
        before = [[value(f"{name}_{each}", agent="diary") for each in ("count", "sum")] for name in names]
        await bench.add(1_000, "a")
        after = [[value(f"{name}_{each}", agent="diary") for each in ("count", "sum")] for name in names]
        (arrivals, seconds), (transactions, _) = (
            [new - old for new, old in zip(*each, strict=True)] for each in zip(after, before, strict=True)
        )
        assert (arrivals, transactions) == (1, 1)
        assert seconds == 2.5

    run(scenario)


class Ends:
    """The end of every partition; None while Kafka does not answer."""

    def __init__(self) -> None:
        self.end: int | None = 100

    async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        if self.end is None:
            raise TaskInterrupted("end offsets: no Kafka broker answers")
        return dict.fromkeys(partitions, self.end)

    async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
        return await self.ends(partitions)

    stable_ends = written


def task(partition: int, **applied: int) -> Any:
    return SimpleNamespace(agent="lagging", partition=partition, waiting="", timers_fired=0, applied=lambda: applied)


def lag_of(partition: str) -> float | None:
    return REGISTRY.get_sample_value("sla_task_lag_records", {"agent": "lagging", "partition": partition})


def test_the_lag_is_that_of_running_tasks_alone() -> None:
    ends = Ends()
    lag = ConsumerLag(ends)
    asyncio.run(lag.measure([task(0, events=90, internal=100), task(1, events=101), task(2)]))
    assert [lag_of(each) for each in "012"] == [10, 0, None]
    ends.end = None
    asyncio.run(lag.measure([task(0, events=90)]))
    assert lag_of("0") == 10, "Kafka does not answer: the last figure stays"
    ends.end = 100
    asyncio.run(lag.measure([task(1, events=50)]))
    assert [lag_of(each) for each in "01"] == [None, 50], "another worker has partition 0 now"
    asyncio.run(lag.measure([]))
    assert lag_of("1") is None


def test_the_lag_of_others_is_known_while_one_partition_does_not_answer() -> None:
    class Some(Ends):
        async def ends(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
            if any(each.partition == 1 for each in partitions):
                raise TaskInterrupted("end offsets: no leader")
            return await super().ends(partitions)

    lag = ConsumerLag(Some())
    asyncio.run(lag.measure([task(0, events=90), task(1, events=50), task(2, events=70)]))
    assert [lag_of(each) for each in "012"] == [10, None, 30]
    asyncio.run(lag.measure([]))


def test_a_measurement_that_a_client_of_kafka_cancels_is_made_again() -> None:
    class GivesUp(Ends):
        async def written(self, partitions: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, int]:
            if self.end == 100:
                raise asyncio.CancelledError
            return await super().written(partitions)

    async def scenario() -> None:
        ends = GivesUp()
        lag = ConsumerLag(ends)
        for end, left in ((100, 10.0), (120, 30.0), (130, 40.0)):
            ends.end = end
            lag.begin([task(0, events=90)])
            await until(lambda left=left: lag_of("0") == left)  # type: ignore[misc]
            for _ in range(10):
                await asyncio.sleep(0)
        await lag.measure([])

    asyncio.run(scenario())
