"""Brokers that crash and come back: a single one, and three of which two must agree on every write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient

from cli.embedded_kafka.broker import Broker, _Node
from cli.embedded_kafka.jars import kafka_jars
from cli.embedded_kafka.node_files import HOST, free_port, properties_text, server_properties
from streams.runtime.settings import RuntimeSettings
from streams.topics import declared

from .deployment import PARTITIONS, PREFIX, Worker, wait_for
from .evidence import AGENTS
from .run import Run
from .service import wait_until_flowing

NODES = 3
_OFFSETS, _TRANSACTIONS = "__consumer_offsets", "__transaction_state"
KILLS = ("a leader", "the group's coordinator", "a transaction coordinator", "a leader", "two at once")


def restarts(run: Run) -> None:
    """Of a single broker, clean or hard; sometimes it stays away for longer than sessions and transactions last."""
    broker = run.deployment.brokers
    assert isinstance(broker, Broker)
    for _ in run.times(5, 1):
        run.pause(1.0, 4.0)
        if run.random.random() < 0.5:
            broker.restart()
            run.did("clean restart of the broker")
        else:
            broker.kill()
            run.pause(0.0, 15.0)
            broker.restart()
            run.did("kill -9 of the broker")
        wait_until_flowing(run)


@dataclass(frozen=True)
class Member(Broker):
    """One node of several, each broker and controller."""

    node_id: int
    controllers: Mapping[int, int]

    def _write_settings(self) -> Path:
        path = self.data_dir / "server.properties"
        settings = server_properties(
            port=self._node.port,
            controllers=self.controllers,
            log_dir=self.data_dir / "data",
            node_id=self.node_id,
            extra=self._node.extra,
        )
        path.write_text(properties_text(settings), "ascii")
        return path


class ThreeBrokers:
    """A cluster: each topic on three nodes, each write on two at least."""

    def __init__(self, folder: Path) -> None:
        own = [free_port() for _ in range(NODES)]
        controllers = {number: free_port() for number in range(1, NODES + 1)}
        jars = kafka_jars()
        self.members = {
            number: Member(
                bootstrap=f"{HOST}:{port}",
                data_dir=(folder / f"kafka-{number}").absolute(),
                _node=_Node(port=port, temporary=False, extra={}, jars=jars),
                node_id=number,
                controllers=controllers,
            )
            for number, port in zip(controllers, own, strict=True)
        }

    @property
    def bootstrap(self) -> str:
        return ",".join(member.bootstrap for member in self.members.values())

    def start(self, numbers: Iterable[int]) -> None:
        """All at the same time: none is ready before most are up."""
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(Broker.restart, [self.members[number] for number in numbers]))

    def kill(self, numbers: Iterable[int]) -> None:
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(Broker.kill, [self.members[number] for number in numbers]))

    def stop(self) -> None:
        """By force: two that are gone leave a third which can't say goodbye."""
        self.kill(self.members)

    def leaders(self, topic: str) -> dict[int, int]:
        """By partition."""
        return {each["partition_index"]: each["leader_id"] for each in self._partitions(topic)}

    def coordinator(self, topic: str, name: str) -> int:
        """The node that coordinates a group or a transactional id, by the topic that keeps such things."""
        leaders = self.leaders(topic)
        return leaders[abs(java_hash(name)) % len(leaders)]

    def in_sync(self) -> bool:
        """Is every replica of every topic up to date?"""
        topics = [*(spec.name for spec in declared(PREFIX, PARTITIONS, NODES)), _OFFSETS, _TRANSACTIONS]
        return all(len(each["isr_nodes"]) == NODES for each in self._partitions(*topics))

    def _partitions(self, *topics: str) -> list[dict[str, object]]:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            return [each for topic in admin.describe_topics(list(topics)) for each in topic["partitions"]]
        finally:
            admin.close()


@contextmanager
def three_brokers(folder: Path) -> Iterator[ThreeBrokers]:
    """For `execute`, with replication 3."""
    brokers = ThreeBrokers(folder)
    try:
        brokers.start(brokers.members)
        yield brokers
    finally:
        brokers.stop()


def java_hash(text: str) -> int:
    """String.hashCode of ASCII."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value - 2**32 if value & 0x80000000 else value


def losses(run: Run) -> None:
    """kill -9 of the nodes that matter. While one of three is away, work goes on; while two are, nothing can."""
    cluster = run.deployment.brokers
    assert isinstance(cluster, ThreeBrokers)
    kills = list(KILLS)
    run.random.shuffle(kills)
    for turn in run.times(len(kills), 2):
        wait_for(cluster.in_sync, "all replicas are in sync")
        run.pause(1.0, 3.0)
        victims = _victims(run, cluster, kills[turn])
        cluster.kill(victims)
        run.did(f"kill -9 of {kills[turn]}")
        if len(victims) == 1:
            wait_until_flowing(run)
        run.pause(0.0, 8.0)
        cluster.start(victims)
        wait_until_flowing(run)
    wait_for(cluster.in_sync, "all replicas are in sync")


def rolling_restarts(run: Run) -> None:
    """Each of three nodes is restarted cleanly, one after the other, as an upgrade of the brokers does it."""
    cluster = run.deployment.brokers
    assert isinstance(cluster, ThreeBrokers)
    for _ in run.times(3, 1):
        for member in cluster.members.values():
            wait_for(cluster.in_sync, "all replicas are in sync")
            run.pause(0.5, 2.0)
            member.restart()
            run.did("clean restart of one of three nodes")
            if run.random.random() < 0.3:
                run.deployment.alive()[0].kill()
                run.did("kill -9 of the worker meanwhile")
                run.deployment.start_worker(wait=False)
            wait_until_flowing(run)
    wait_for(cluster.in_sync, "all replicas are in sync")


def leaderless(run: Run) -> None:
    """Topics have one replica, and a node of three is gone: workers name what nobody leads, and go on afterwards."""
    cluster = run.deployment.brokers
    assert isinstance(cluster, ThreeBrokers)
    (worker,) = run.deployment.alive()
    for _ in run.times(3, 1):
        run.pause(1.0, 3.0)
        gone = cluster.leaders(f"{PREFIX}.incident-events")[run.random.randrange(PARTITIONS)]
        cluster.kill([gone])
        run.did("kill -9 of the only node with a replica")
        wait_for(lambda: _without_leader(worker) > 0, "the worker counts partitions that nobody leads")
        if "no broker leads" not in worker.get("/ready")[1]:
            run.result.problems.append(f"/ready does not say so: {worker.get('/ready')}")
        run.pause(2.0, 8.0)
        cluster.start([gone])
        wait_until_flowing(run)
        wait_for(lambda: _without_leader(worker) == 0, "the worker counts none any more")


def _without_leader(worker: Worker) -> float:
    found = re.search(r"^sla_partitions_without_leader (\S+)$", worker.get("/metrics")[1], re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def _victims(run: Run, cluster: ThreeBrokers, what: str) -> list[int]:
    settings = RuntimeSettings(app_id=PREFIX, brokers=(cluster.bootstrap,), prefix=PREFIX)
    match what:
        case "two at once":
            return run.random.sample(sorted(cluster.members), 2)
        case "the group's coordinator":
            return [cluster.coordinator(_OFFSETS, PREFIX)]
        case "a transaction coordinator":
            task = run.random.choice(sorted(AGENTS)), run.random.randrange(PARTITIONS)
            return [cluster.coordinator(_TRANSACTIONS, settings.transactional_id(*task))]
        case _:
            return [cluster.leaders(f"{PREFIX}.incident-events")[run.random.randrange(PARTITIONS)]]
