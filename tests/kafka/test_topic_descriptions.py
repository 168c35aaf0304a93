"""A real broker tells topics by their id, and deletes records behind a reader."""

from __future__ import annotations

import asyncio

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from on_kafka import put

from streams.kafka.topic_descriptions import TopicDescriptions
from streams.kafka.topic_shape import TopicShape
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import TaskInterrupted
from streams.runtime.kafka_log import Offsets
from streams.runtime.settings import RuntimeSettings
from streams.runtime.topic_watch import TopicWatch
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.kafka


def test_a_topic_that_is_created_anew_has_another_id(broker: str, prefix: str) -> None:
    name = f"{prefix}in"
    admin = KafkaAdminClient(bootstrap_servers=broker)

    async def described(of: TopicDescriptions, there: bool) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            while bool(found := await of.describe([name])) is not there:
                await asyncio.sleep(0.05)
        return found[name].topic_id if found else b""

    async def look() -> None:
        of = TopicDescriptions([broker], {}, 10_000)
        try:
            assert await of.describe([name]) == {}, "it is not created by asking"
            admin.create_topics([NewTopic(name, 3, 1)])
            first = await described(of, there=True)
            assert len(first) == 16
            assert (await of.describe([name, "nothing"]))[name].partitions == 3
            admin.delete_topics([name])
            await described(of, there=False)
            admin.create_topics([NewTopic(name, 3, 1)])
            assert await described(of, there=True) not in {first, b""}
        finally:
            await of.close()

    try:
        asyncio.run(look())
    finally:
        admin.close()


def test_records_behind_the_reader_are_deleted(broker: str, prefix: str) -> None:
    name = f"{prefix}internal"
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()
    for number in range(10):
        put(broker, name, b"%d" % number)

    async def delete() -> None:
        offsets = Offsets(RuntimeSettings("app", (broker,)))
        try:
            await offsets.delete_before({(name, 0): 7})
            with pytest.raises(TaskInterrupted, match="can't be deleted"):
                await offsets.delete_before({(name, 0): 99})
        finally:
            await offsets.close()

    asyncio.run(delete())
    consumer = KafkaConsumer(bootstrap_servers=broker)
    where = TopicPartition(name, 0)
    assert (consumer.beginning_offsets([where])[where], consumer.end_offsets([where])[where]) == (7, 10)
    consumer.close()


def test_topics_that_are_missing_or_lose_records_are_noticed_at_the_next_look(broker: str, prefix: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker)
    shape = TopicShape([broker], {}, f"{prefix}sla", events=["alerts"], states=["notifications"])
    alerts, notifications = f"{prefix}sla.alerts", f"{prefix}sla.notifications"

    async def look_until(reason: str | None) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await shape.look()
                if shape.problem is None if reason is None else reason in str(shape.problem):
                    return
                await asyncio.sleep(0.05)

    async def scenario() -> None:
        await look_until(f"there is no topic {alerts} and 1 more")
        compacted = {"cleanup.policy": "compact"}
        admin.create_topics([NewTopic(alerts, 2, 1), NewTopic(notifications, 2, 1, topic_configs=compacted)])
        await look_until(None)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, alerts, compacted)])
        await look_until(f"{alerts} has cleanup.policy compact, which loses events")
        admin.delete_topics([notifications])
        await look_until(f"there is no topic {notifications}")
        await shape._descriptions.close()

    try:
        asyncio.run(scenario())
    finally:
        admin.close()


def test_arrivals_that_are_no_longer_the_brokers_are_noticed_at_the_next_look(broker: str, prefix: str) -> None:
    name = f"{prefix}in"
    stamped = {"message.timestamp.type": "LogAppendTime"}
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(name, 1, 1, topic_configs=stamped)])
    spec = AgentSpec("diary", (name,), lambda _: None)  # type: ignore[arg-type,return-value]
    settings = RuntimeSettings("app", (broker,), prefix=prefix, partitions=1)
    admin.create_topics([NewTopic(settings.changelog("diary"), 1, 1, topic_configs={"cleanup.policy": "compact"})])

    async def scenario() -> None:
        offsets = Offsets(settings)
        watch = TopicWatch(settings, [spec], offsets)

        async def look_until(reason: str | None) -> None:
            async with asyncio.timeout(TIMEOUT_S):
                while not await watch.look() or reason != _reason(watch):
                    await asyncio.sleep(0.05)

        try:
            await look_until(None)
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name, {"message.timestamp.type": "CreateTime"})]
            )
            await look_until(
                f"{name} has message.timestamp.type CreateTime: arrivals are what senders write; it must be "
                "LogAppendTime: `sla topics apply` sets it"
            )
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, stamped)])
            await look_until(None)
        finally:
            await offsets.close()

    try:
        asyncio.run(scenario())
    finally:
        admin.close()


def _reason(watch: TopicWatch) -> object:
    return None if watch.problem is None else watch.problem["reason"]
