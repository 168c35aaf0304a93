"""Recovery: from a changelog at any stage of compaction, with offsets that somebody moved."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from streams.runtime.checkpoint import CHECKPOINT_KEY
from streams.runtime.settings import RuntimeSettings

from .deployment import PARTITIONS, PREFIX, Worker, wait_for
from .evidence import AGENTS
from .run import Run
from .service import ALL, running

#: Compaction as soon as there is anything outdated, of all but the open segment, which closes every second.
EAGER = {
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "2000",
}
#: Nothing is compacted.
NEVER = {"min.compaction.lag.ms": str(24 * 60 * 60 * 1_000), "min.cleanable.dirty.ratio": "1.0"}


def compacted(run: Run) -> None:
    """kill -9 while the changelogs are uncompacted, and while part of them is compacted and the rest is new."""
    changelogs = [f"{PREFIX}.{agent}-changelog" for agent in AGENTS]
    configure(run, changelogs, NEVER)
    run.pause(6.0, 10.0)
    run.deployment.alive()[0].kill()
    run.did("kill -9 before any compaction")
    run.deployment.start_worker()
    for turn in run.times(2, 1):
        configure(run, changelogs, EAGER)
        before = oldest(run, changelogs)
        wait_for(
            lambda before=before: cleaned(oldest(run, changelogs), before) >= len(ALL) // 2,
            "the cleaner has been there",
        )
        configure(run, changelogs, NEVER)
        run.pause(1.0, 5.0)  # new rows upon compacted ones
        run.deployment.alive()[0].kill()
        run.did("kill -9 with half of it compacted")
        run.deployment.start_worker()
        run.result.counts[f"changelogs compacted, turn {turn}"] = cleaned(oldest(run, changelogs), before)
    run.pause(1.0, 2.0)


def configure(run: Run, topics: list[str], settings: Mapping[str, str]) -> None:
    """Change settings of topics."""
    admin = KafkaAdminClient(bootstrap_servers=run.deployment.bootstrap)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings)) for topic in topics])
    finally:
        admin.close()


def oldest(run: Run, topics: list[str]) -> dict[TopicPartition, int]:
    """Where the oldest applied row of each partition lies. Every transaction writes one, so the first of all lies near
    the start until the cleaner has been there."""
    consumer = KafkaConsumer(bootstrap_servers=run.deployment.bootstrap, enable_auto_commit=False)
    try:
        wanted = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        ends = consumer.end_offsets(wanted)
        consumer.assign(wanted)
        consumer.seek_to_beginning(*wanted)
        found: dict[TopicPartition, int] = {}
        while any(consumer.position(each) < ends[each] for each in wanted if each not in found):
            for where, records in consumer.poll(timeout_ms=200).items():
                for record in records:
                    if record.key == CHECKPOINT_KEY:
                        found.setdefault(where, record.offset)
        return found
    finally:
        consumer.close()


def cleaned(now: Mapping[TopicPartition, int], before: Mapping[TopicPartition, int]) -> int:
    """How many partitions have lost their oldest applied row."""
    return sum(offset > before.get(where, 0) for where, offset in now.items())


def offsets_moved(run: Run) -> None:
    """Somebody sets the group's offset of one input: that task alone halts, and goes on when it is put back."""
    for _ in run.times(5, 1):
        agent, partition = run.random.choice(list(AGENTS)), run.random.randrange(PARTITIONS)
        where = TopicPartition(f"{PREFIX}.{AGENTS[agent][0]}", partition)
        wait_for(lambda agent=agent, where=where: offsets(run, agent)[where] > 5, "something is applied there")
        for worker in run.deployment.alive():
            worker.stop()
        right = offsets(run, agent)[where]
        wrong = run.random.choice((0, right - 1, right + 5))
        move(run, agent, where, wrong)
        run.did("group offset moved")
        worker = run.deployment.start_worker(wait=False)
        wait_for(lambda worker=worker: len(running(worker)) == len(ALL) - 1 and halted(worker), "one task halts")
        if (found := halted(worker)) != [(agent, partition)]:
            run.result.problems.append(f"halted: {found}, not {agent} {partition}")
        changelog = TopicPartition(f"{PREFIX}.{agent}-changelog", partition)
        end, before = end_of(run, changelog), served(run)
        wait_for(
            lambda before=before: len({key for key, offset in served(run).items() if offset > before.get(key, 0)}) >= 6,
            "the others go on",
        )
        if end_of(run, changelog) != end or offsets(run, agent)[where] != wrong:
            run.result.problems.append(f"the halted task {agent} {partition} wrote")
        if halted(worker) != [(agent, partition)]:
            run.result.problems.append("another task halted later, or the halted one went on")
        worker.stop()
        move(run, agent, where, right)
        run.did("group offset put back")
        run.deployment.start_worker()
    run.pause(1.0, 2.0)


def halted(worker: Worker) -> list[tuple[str, int]]:
    """Shards that say in /ready that they halted."""
    body = worker.get("/ready")[1]
    reasons = json.loads(body)["reasons"] if body else []
    return [(each["agent"], each["partition"]) for each in reasons if each.get("state") == "halted"]


def _consumer(run: Run, agent: str) -> KafkaConsumer:
    group = RuntimeSettings(app_id=PREFIX, brokers=(run.deployment.bootstrap,), prefix=PREFIX).group(agent)
    return KafkaConsumer(bootstrap_servers=run.deployment.bootstrap, group_id=group, enable_auto_commit=False)


def offsets(run: Run, agent: str) -> dict[TopicPartition, int]:
    """What the agent's group has committed of its main input."""
    consumer = _consumer(run, agent)
    try:
        wanted = [TopicPartition(f"{PREFIX}.{AGENTS[agent][0]}", number) for number in range(PARTITIONS)]
        return {each: consumer.committed(each) or 0 for each in wanted}
    finally:
        consumer.close()


def served(run: Run) -> dict[tuple[str, TopicPartition], int]:
    """Offsets of both agents' changelogs: each transaction moves them."""
    found = {}
    for agent in AGENTS:
        for number in range(PARTITIONS):
            where = TopicPartition(f"{PREFIX}.{agent}-changelog", number)
            found[agent, where] = end_of(run, where)
    return found


def end_of(run: Run, where: TopicPartition) -> int:
    """The end of a partition."""
    consumer = KafkaConsumer(bootstrap_servers=run.deployment.bootstrap, enable_auto_commit=False)
    try:
        return int(consumer.end_offsets([where])[where])
    finally:
        consumer.close()


def move(run: Run, agent: str, where: TopicPartition, offset: int) -> None:
    """Set the group's offset, as somebody with the tools of Kafka would."""
    consumer = _consumer(run, agent)
    try:
        consumer.assign([where])
        consumer.commit({where: OffsetAndMetadata(offset, "", -1)})
    finally:
        consumer.close()
