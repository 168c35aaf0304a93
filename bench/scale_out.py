"""Two workers beside one, on one machine: events a second of a deployment with each, the same load, one broker.

    python -m bench.scale_out [--events 150000] [--rounds 3]

Each deployment has its own topics. Its workers are ready and share the partitions before the load is published. The
speed is that of the middle of the run, between a quarter and three quarters of the events. Broker and load use the same
machine, so with two cores the second worker does not have a core of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.load import contracts, incidents
from bench.peers.product import Worker
from bench.peers.timeline import throughput
from bench.peers.watch import watch
from bench.throughput import PARTITIONS, publish, wait_applied
from cli.embedded_kafka.broker import Broker, start_broker
from cli.kafka_io.topic_admin import apply_topics
from streams.time_source import SystemTimeSource
from streams.topics import declared

_TENANTS = 1000
_MARGIN = 0.25
"""The share of the events before and after the part that is timed."""
_LIMIT_S = 600.0
_SETTLED_S = 10.0
"""For so long all workers must have been ready: a worker that joins moves partitions of the others."""


def measure(broker: Broker, name: str, count: int, events: int) -> float:
    """Events a second of a new deployment with so many workers. Raises RunFailed, and StackError when one ends."""
    apply_topics(broker.bootstrap, declared(name, PARTITIONS, 1))
    now = SystemTimeSource().now()
    with ExitStack() as running:
        workers = [running.enter_context(Worker(broker, name)) for _ in range(count)]
        for worker in workers:
            worker.start_worker()
        terms = asyncio.run(publish(broker.bootstrap, f"{name}.contract-events", contracts(_TENANTS, now, PARTITIONS)))
        asyncio.run(wait_applied(broker.bootstrap, f"{name}-ledger", f"{name}.contract-events", terms))
        _wait_settled(workers)
        topic = f"{name}.incident-events"
        ends = asyncio.run(publish(broker.bootstrap, topic, incidents(events, now, PARTITIONS, tenants=_TENANTS)))

        def problem() -> str | None:
            return next((why for worker in workers if (why := worker.problem())), None)

        samples = asyncio.run(watch(broker.bootstrap, f"{name}-incidents", topic, ends, None, problem, _LIMIT_S))
    return throughput([(sample.at, sample.committed) for sample in samples], sum(ends), _MARGIN).rate


def _wait_settled(workers: list[Worker]) -> None:
    since = time.monotonic()
    while time.monotonic() - since < _SETTLED_S:
        if not all(worker.ready() for worker in workers):
            since = time.monotonic()
        time.sleep(0.2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios: list[float] = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            broker = start_broker(Path(folder))
            try:
                rates = {
                    count: measure(broker, f"workers-{count}", count, options.events)
                    for count in ((1, 2) if number % 2 == 0 else (2, 1))
                }
            finally:
                broker.stop(keep_data=False)
        ratios.append(rates[2] / rates[1])
        print(
            f"round {number + 1}: one worker {rates[1]:,.0f}/s, two {rates[2]:,.0f}/s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"two workers carry {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times what one carries")


if __name__ == "__main__":
    main()
