"""Events per second of the bare shard, exactly once, beside what aiokafka can read and decode in the same run.

    python -m bench.small_job [--records 300000] [--partitions 8] [--outputs-every 1]

The job counts records per key: one Avro decode and one changelog row per changed key, and an output for every n-th
record. Broker, worker and readers share this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import struct
import tempfile
from pathlib import Path
from time import perf_counter

import aiokafka
import fastavro
from aiokafka.structs import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from cli.broker import start_broker
from streams.runtime.host import AgentSpec, Host
from streams.runtime.processor import Effects, Record, Send
from streams.runtime.settings import RuntimeSettings

_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "reading",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "what", "type": "string"},
            {"name": "amount", "type": "long"},
        ],
    }
)
_KEYS = 50_000


def decode(value: bytes) -> None:
    """Read one Avro record, as any job has to."""
    fastavro.schemaless_reader(io.BytesIO(value), _SCHEMA, None)


class Counting:
    """The job."""

    applied = 0

    def __init__(self, partition: int, output: str, every: int) -> None:
        self._partition = partition
        self._output = output
        self._every = every
        self._counts: dict[bytes, int] = {}

    def restore(self, key: bytes, value: bytes) -> None:
        """One count."""
        (self._counts[key],) = struct.unpack(">q", value)

    def restored(self) -> None:
        """Nothing to rebuild."""

    def apply(self, record: Record, effects: Effects) -> None:
        """Count."""
        decode(record.value or b"")
        key = record.key or b""
        count = self._counts[key] = self._counts.get(key, 0) + 1
        packed = struct.pack(">q", count)
        effects.put(key, packed)
        if record.offset % self._every == 0:
            effects.send(Send(self._output, self._partition, key, packed, []))
        Counting.applied += 1

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        """Nothing is wrong with this input."""
        raise AssertionError(message)

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        raise AssertionError(f"{subject} crashed {attempts} times: {message}")

    def next_due(self) -> int | None:
        """No timers."""
        return None

    def act(self, before: int, limit: int, effects: Effects) -> int:
        """No timers."""
        return 0


async def load(broker: str, topic: str, records: int, partitions: int) -> None:
    """Write the input, in large batches."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker, max_batch_size=512 * 1024, linger_ms=20)
    await producer.start()
    for partition in range(partitions):
        batch = producer.create_batch()
        for number in range(partition, records, partitions):
            out = io.BytesIO()
            reading = {"id": f"reading-{number}", "at": number, "what": "cpu.load.average", "amount": number % 977}
            fastavro.schemaless_writer(out, _SCHEMA, reading)
            key = b"host-%d" % (number % _KEYS)
            if batch.append(timestamp=None, key=key, value=out.getvalue()) is None:
                await (await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=out.getvalue())
        await (await producer.send_batch(batch, topic, partition=partition))
    await producer.stop()


async def read_limit(broker: str, topic: str, records: int, partitions: int) -> float:
    """Seconds for aiokafka to read and decode it all, doing nothing else."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    await consumer.seek_to_beginning()
    seen = 0
    started = perf_counter()
    while seen < records:
        for found in (await consumer.getmany(timeout_ms=500)).values():
            for record in found:
                decode(record.value)
            seen += len(found)
    seconds = perf_counter() - started
    await consumer.stop()
    return seconds


async def shard_time(settings: RuntimeSettings, topic: str, output: str, records: int, every: int) -> float:
    """Seconds from the first record applied until the group's offsets say that all are committed."""
    spec = AgentSpec("small", (topic,), lambda partition: Counting(partition, output, every))
    host = Host(settings, [spec])
    await host.start()
    while not Counting.applied:
        await asyncio.sleep(0.005)
    started = perf_counter()
    first = Counting.applied
    watcher = aiokafka.AIOKafkaConsumer(bootstrap_servers=settings.brokers[0], group_id=settings.group("small"))
    await watcher.start()
    inputs = [TopicPartition(topic, number) for number in range(settings.partitions)]
    while sum([await watcher.committed(each) or 0 for each in inputs]) < records:
        await asyncio.sleep(0.02)
    seconds = (perf_counter() - started) * records / (records - first)
    await watcher.stop()
    await host.stop()
    return seconds


async def measure(broker: str, options: argparse.Namespace) -> None:
    """Load once, run both."""
    topic, output = "bench.in", "bench.out"
    await load(broker, topic, options.records, options.partitions)
    limit = await read_limit(broker, topic, options.records, options.partitions)
    settings = RuntimeSettings(
        app_id="bench", brokers=(broker,), prefix="bench", partitions=options.partitions, max_batch=options.max_batch
    )
    seconds = await shard_time(settings, topic, output, options.records, options.outputs_every)
    print(f"aiokafka, read and decode:        {options.records / limit:>10,.0f} events/s")
    print(f"shard, exactly once, one worker:  {options.records / seconds:>10,.0f} events/s")


def main() -> None:
    """Parse, start a broker, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--outputs-every", type=int, default=1)
    parser.add_argument("--max-batch", type=int, default=4_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_broker(Path(folder) / "kafka") as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        stamped = {"message.timestamp.type": "LogAppendTime"}
        compact = {"cleanup.policy": "compact"}
        admin.create_topics(
            [
                NewTopic("bench.in", options.partitions, 1, topic_configs=stamped),
                NewTopic("bench.out", options.partitions, 1, topic_configs=stamped),
                NewTopic("bench.small-changelog", options.partitions, 1, topic_configs=compact),
            ]
        )
        admin.close()
        asyncio.run(measure(broker.bootstrap, options))


if __name__ == "__main__":
    main()
