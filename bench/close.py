"""The close of a month for very many tenants: its duration, and the latency of alerts meanwhile.

    python -m bench.close [--tenants 100000] [--rate 200] [--seconds 60]

The script writes the changelogs first: contracts of a month that is over, without any statement. When the worker
starts, every final statement is due at once. Meanwhile the script publishes incidents at a steady rate and measures the
latency of their classifications and breaches. It measures once more after the close, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from aiokafka import TopicPartition

from bench.crowd import PARTITIONS, POLICY
from bench.latency import beside, latency_line, measure_latency
from bench.tenants import write_changelogs
from bench.throughput import reader
from cli.local.stack import Stack
from streams.sla.instants import DAY

SINCE = 34 * DAY
"""How long ago contracts begin: before the end of the last month, and within the lateness horizon (R5, R24)."""
_LIMIT_S = 600.0


async def statements(bootstrap: str, count: int) -> float:
    """Seconds until `count` records of `sla.credits` are committed. Raises SystemExit when that takes too long."""
    began = time.perf_counter()
    async with reader(bootstrap) as consumer:
        assigned = [TopicPartition("sla.credits", number) for number in range(PARTITIONS)]
        consumer.assign(assigned)
        received = 0
        while received < count and time.perf_counter() - began < _LIMIT_S:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                received += len(records)
        if received < count:
            raise SystemExit(f"only {received:,} of {count:,} statements after {_LIMIT_S:.0f} s")
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200, help="events a second meanwhile")
    parser.add_argument("--seconds", type=int, default=60, help="of publishing; at least as long as the close takes")
    options = parser.parse_args()
    environment = {"SLA_DEFAULT_POLICY": POLICY, "SLA_MARK_EVERY": "PT1S"}
    with Stack(None, environment=environment, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        write_changelogs(stack.bootstrap, options.tenants, SINCE)
        stack.start_worker(wait_s=600)
        closing = statements(stack.bootstrap, options.tenants)
        tenants = min(options.tenants, 1_000)
        measuring = measure_latency(stack.bootstrap, PARTITIONS, options.rate, options.seconds, tenants)
        took_s, during = asyncio.run(beside(closing, measuring))
        after = asyncio.run(measure_latency(stack.bootstrap, PARTITIONS, options.rate, 15, tenants))
    print(f"{options.tenants:,} final statements in {took_s:.1f} s")
    print(f"  meanwhile, {latency_line(options.rate, during)}")
    print(f"  afterwards, {latency_line(options.rate, after)}")


if __name__ == "__main__":
    main()
