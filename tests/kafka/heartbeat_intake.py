"""The part of an intake that hears heartbeats, on a real broker, with short times.

As a process it is killed at the first event that it would publish: after it found a silence, before Kafka has the
incident.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from connect.intake.heartbeats.reader import KafkaHeartbeatReader
from connect.intake.heartbeats.rows import TOPIC, MonitorId
from connect.intake.heartbeats.service import Heartbeats
from connect.intake.kafka_producer import KafkaPublisher, kafka_producer
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.mapping.mapping_rule import EVERY, MappingRule
from connect.intake.mapping.monitors import MonitorRule, MonitorRules
from connect.intake.mapping.rules import Source
from connect.intake.metrics import IntakeMetrics
from connect.intake.record_publisher import RecordPublisher, Unavailable
from streams.settings import read_settings
from streams.sla.instants import SECOND

BACKUP = MonitorId("jobs", "backup")
EVERY_S, GRACE_S = 1, 1
SOURCE = Source(
    "jobs",
    "heartbeat",
    (),
    "/intake/jobs",
    component=(MappingRule(1, value="api"),),
    impact=(MappingRule(1, value="cosmetic"),),
    tenants=(MappingRule(1, value=EVERY),),
    monitors=MonitorRules((MonitorRule("backup", EVERY_S * SECOND, GRACE_S * SECOND),)),
)


class KilledAtFirstEvent:
    """Publishes rows; at the first event the process is killed."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher
        self.in_flight = publisher.in_flight

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        if any(record.topic != TOPIC for record in records):
            os.kill(os.getpid(), signal.SIGKILL)
        await self._publisher.publish(records)

    def unready(self) -> str | None:
        return self._publisher.unready()


@asynccontextmanager
async def running(broker: str, prefix: str, *, killed: bool = False) -> AsyncIterator[Heartbeats]:
    """One that listens."""
    kafka = read_settings(brokers=broker, topic_prefix=prefix)
    publisher = KafkaPublisher(kafka_producer([broker], dict, 5.0), prefix, 1 << 24, 5.0)
    publisher.start()
    to: RecordPublisher = KilledAtFirstEvent(publisher) if killed else publisher
    heartbeats = Heartbeats(
        lambda: KafkaHeartbeatReader(kafka, {}),
        to,
        IntakeMetrics(),
        asyncio.get_running_loop().time,
        watermark_every_s=0.2,
        shortest_gap=20 * SECOND,
    )
    heartbeats.use({"jobs": SOURCE})
    task = asyncio.create_task(heartbeats.run())
    try:
        yield heartbeats
    finally:
        task.cancel()
        await asyncio.gather(task, publisher.stop(), return_exceptions=True)


async def beat(heartbeats: Heartbeats) -> None:
    """A heartbeat that Kafka has."""
    while True:
        try:
            await heartbeats.beat(BACKUP)
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return


async def main() -> None:
    """`heartbeat_intake BROKER PREFIX`: one heartbeat, then silence."""
    broker, prefix = sys.argv[1:]
    async with running(broker, prefix, killed=True) as heartbeats:
        await beat(heartbeats)
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main())
