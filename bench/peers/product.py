"""The product beside the small job: a worker with every rule, on the same broker, over the same load.

The load is made anew for each run, for its events must have happened just now; the ledger, alerts and impacts are
included, so outputs are not one for one and the committed offsets are what is watched. They are committed in the same
transactions as the outputs.
"""

from __future__ import annotations

import asyncio

from bench.load import contracts, incidents
from bench.peers.course import Course
from bench.peers.run import Run
from bench.peers.timeline import RunFailed, Sample, Throughput, throughput
from bench.peers.watch import watch
from bench.throughput import PARTITIONS, publish
from cli.embedded_kafka.broker import Broker
from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from cli.local.stack import Stack, StackError
from streams.time_source import SystemTimeSource
from streams.topics import declared

_TENANTS = 1000


class Worker(Stack):
    """A worker of the product on a broker that is there already."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._environment = {"SLA_TOPIC_PREFIX": name, "SLA_APP_ID": name, "SLA_MARK_EVERY": "PT10S"}
        self._partitions = PARTITIONS
        self._worker = None
        self.broker = broker
        self.log = broker.data_dir / f"{name}.log"
        self.health_port = free_port()

    def problem(self) -> str | None:
        """Why it has ended, if it has."""
        return None if self.worker_code() is None else f"the worker ended: {self._last_line()}"

    def __exit__(self, *_: object) -> None:
        self.stop_worker()


def run_once(course: Course, run: Run) -> Throughput:
    """A worker that is ready, from its start to the last commit. Raises RunFailed."""
    topic, billing = f"{run.name}.incident-events", f"{run.name}.contract-events"
    apply_topics(course.bootstrap, declared(run.name, PARTITIONS, 1))
    now = SystemTimeSource().now()
    try:
        with Worker(course.broker, run.name) as worker:
            counts = asyncio.run(publish(course.bootstrap, billing, contracts(_TENANTS, now, PARTITIONS)))
            worker.start_worker()
            _watch(course, worker, f"{run.name}-ledger", billing, counts)
            worker.stop_worker()
            load = incidents(course.events, now, PARTITIONS, tenants=_TENANTS)
            ends = asyncio.run(publish(course.bootstrap, topic, load))
            worker.start_worker()
            samples = _watch(course, worker, f"{run.name}-incidents", topic, ends)
    except StackError as error:
        raise RunFailed(str(error)) from error
    return throughput([(sample.at, sample.committed) for sample in samples], course.events, course.warm)


def _watch(course: Course, worker: Worker, group: str, topic: str, ends: list[int]) -> list[Sample]:
    return asyncio.run(watch(course.bootstrap, group, topic, ends, None, worker.problem, course.limit_s))
