"""The raw limit: aiokafka reads, the job decodes, nothing is kept. Started by `bench.peers`.

It commits nothing that could be watched, so it says itself when it had done how much.
"""

from __future__ import annotations

import asyncio
import json
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.peers import job
from bench.peers.run import Run, read_run


async def read(run: Run) -> list[tuple[float, int]]:
    """Seconds on a steady clock and events so far, after each batch."""
    # Not by seek_to_beginning: a reset to the end that is under way can come after it.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
    )
    points: list[tuple[float, int]] = []
    async with consumer:
        partitions = [TopicPartition(run.input, number) for number in range(run.partitions)]
        consumer.assign(partitions)
        total, seen = sum((await consumer.end_offsets(partitions)).values()), 0
        while seen < total:
            for records in (await consumer.getmany(timeout_ms=200, max_records=1000)).values():
                for record in records:
                    job.decode(record.value)
                seen += len(records)
            points.append((perf_counter(), seen))
    return points


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(read_run(__doc__)))))
