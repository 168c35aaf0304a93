"""Very many deadlines at one instant: when the first and the last breach can be read, and what inputs see of it.

    python -m bench.second [--count 100000] [--rate 200] [--seconds 30]

The changelog is written beforehand: so many open incidents whose time to respond ends at the same microsecond. A worker
comes back before it. Other events come at a steady rate all along, and their classifications are timed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence

from aiokafka import TopicPartition

from bench.crowd import PARTITIONS, POLICY, changelog
from bench.latency import RESPONSE, beside, latency_line, measure_latency
from bench.throughput import publish, reader
from cli.local.stack import Stack
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource

_LIMIT_S = 120.0
_BEFORE_S = 5
"""Events come for so long before the instant."""


async def breaches(bootstrap: str, due: int, count: int) -> list[float]:
    """Seconds after the instant at which each incident's breach could be read."""
    clock = SystemTimeSource()
    seen: dict[bytes, float] = {}
    async with reader(bootstrap) as consumer:
        consumer.assign([TopicPartition("sla.alerts", number) for number in range(PARTITIONS)])
        while len(seen) < count and clock.now() < due + _LIMIT_S * SECOND:
            batches = await consumer.getmany(timeout_ms=200)
            after = (clock.now() - due) / SECOND
            for record in itertools.chain.from_iterable(batches.values()):
                if record.key.startswith(b"crowd-") and ("ce_type", b"sla.breached") in record.headers:
                    seen.setdefault(record.key, after)
    return sorted(seen.values())


def delay_line(seconds: Sequence[float], count: int) -> str:
    """First, middle and last."""
    missing = f", {count - len(seconds):,} missing" if len(seconds) < count else ""
    return f"first {seconds[0]:.2f} s, half {seconds[len(seconds) // 2]:.1f} s, last {seconds[-1]:.1f} s{missing}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200, help="other events a second")
    parser.add_argument("--seconds", type=int, default=30, help="for how long, from a little before the instant")
    parser.add_argument("--ahead", type=int, default=90, help="seconds from the start to the instant")
    options = parser.parse_args()
    environment = {"SLA_DEFAULT_POLICY": POLICY, "SLA_MARK_EVERY": "PT10S"}
    with Stack(None, environment=environment, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        now = SystemTimeSource().now()
        due = now + options.ahead * SECOND
        rows = changelog(options.count, 1, now, opened=due - RESPONSE)
        asyncio.run(publish(stack.bootstrap, "sla.incidents-changelog", rows))
        stack.start_worker(wait_s=600)
        left_s = (due - SystemTimeSource().now()) / SECOND - _BEFORE_S
        if left_s < 0:
            raise SystemExit(
                f"the worker was ready {-left_s:.0f} s too late: --ahead {options.ahead - int(left_s) + 5}"
            )
        time.sleep(left_s)
        breaking = breaches(stack.bootstrap, due, options.count)
        measuring = measure_latency(stack.bootstrap, PARTITIONS, options.rate, options.seconds)
        seconds, found = asyncio.run(beside(breaking, measuring))
    if not seconds:
        raise SystemExit(f"no breach within {_LIMIT_S:.0f} s")
    print(f"{options.count:,} deadlines at one instant, breaches read after it: {delay_line(seconds, options.count)}")
    print(f"  meanwhile, {latency_line(options.rate, found)}")


if __name__ == "__main__":
    main()
