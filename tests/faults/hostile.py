"""What somebody may do to the topics: compressed input, very much evidence, a second deployment, alien records.

Each scenario has a deployment of its own without load: what it does must neither stop a worker nor be lost, and the
input after it is decided as any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.evidence import MAX_POSITIONS
from streams.sla.instants import DAY, SECOND, format_rfc3339
from streams.time_source import SystemTimeSource

from .deployment import PARTITIONS, PREFIX, READY_S, Deployment, Worker, wait_for
from .load import SUPPORT, TENANTS, Publisher, Sent, contracts, line_of, record_of
from .run import Result, one_broker
from .service import ALL, running, serves_all

INPUT = f"{PREFIX}.incident-events"
MEMORY_KIB = 1024 * 1024
"""A worker's memory at its highest; it has 2 GiB."""
AHEAD_MS = 50 * 60 * 1_000
"""Kafka itself refuses what is ahead by more than an hour."""

Step = Callable[[Deployment, Result, bool], None]


def hostile(*steps: Step) -> Callable[[str, int, Path, bool], Result]:
    """The scenario of one step, or of several on one deployment; whatever goes wrong is in its problems."""

    def play(name: str, seed: int, folder: Path, short: bool) -> Result:
        result = Result(name, seed)
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with one_broker(folder) as nodes, Deployment(nodes, folder) as deployment:
                for step in steps:
                    step(deployment, result, short)
        except Exception as error:
            result.problems.append(f"{type(error).__name__}: {error}")
        result.seconds = time.monotonic() - began
        return result

    return play


def compressed(deployment: Deployment, result: Result, short: bool) -> None:
    """Batches of a few kilobytes that are a gigabyte, records of megabytes or of millions of headers, and a flood of
    large ones."""
    worker = deployment.start_worker()
    _send_batch(deployment, "zstd", [b"x" * 900_000] * (100 if short else 1_100))
    result.faults["zstd batch of a gigabyte"] += 1
    partitions = 2 if short else PARTITIONS
    for partition in range(partitions):
        _send_batch(deployment, "gzip", [b"y" * 6 * 1024 * 1024], partition)
        result.faults["gzip record of 6 MiB"] += 1
        _send_batch(deployment, "gzip", [b"h"], partition, headers=[("", b"")] * 4_000_000)
        result.faults["gzip record of four million headers"] += 1
        _send_batch(deployment, "gzip", [b"h"], partition, headers=[("\U0001f600" * 1_500_000, b"")])
        result.faults["gzip record with a header's name of 6 MiB"] += 1
    flood = 20 if short else 250
    for _ in range(flood):
        _send_batch(deployment, "zstd", [b"z" * 240_000] * 20, 1)
    result.faults["records of 240 KB"] += 20 * flood
    _decided(deployment, "after-compressed", 1)
    # It is not ready, and should not be: nearly everything that a partition received was rejected.
    wait_for(lambda: running(worker) == ALL, "all tasks run")
    expected = 1 + 3 * partitions + 20 * flood
    codes = _records(deployment, "rejected", lambda each: dict(each.headers)["sla_error_code"], at_least=expected)
    _check(result, codes.count(b"oversize") == 1 + 3 * partitions, f"not all oversize input is rejected: {len(codes)}")
    _check(result, len(codes) == expected, f"{len(codes)} rejects")
    highest = _highest_kib(worker)
    result.counts["MiB at the highest"] = highest // 1024
    _check(result, highest < MEMORY_KIB, f"the worker took {highest // 1024} MiB")


def much_evidence(deployment: Deployment, result: Result, short: bool) -> None:
    """Platform-wide incidents with thousands of amendments: every tenant's statement has evidence beyond its limit."""
    worker = deployment.start_worker()
    began = SystemTimeSource().now() - 40 * DAY  # in a month that is over
    incidents, amendments = (1, MAX_POSITIONS + 100) if short else (5, 2_150)
    Publisher(deployment.bootstrap).send(contracts(began - DAY, backfill=True))
    for number in range(incidents):
        Publisher(deployment.bootstrap).send(_amended(f"amended-{number}", began, amendments))
        result.faults["platform-wide incident with amendments"] += 1
    wait_for(lambda: len(_summarised(deployment)) == TENANTS, "every tenant has its final statement")
    least = min(_summarised(deployment).values())
    _check(result, least >= incidents * amendments, f"a statement counts {least} inputs")
    _decided(deployment, "after-evidence", 1)
    _check(result, serves_all(worker), "a task has stopped")


def two_deployments(deployment: Deployment, result: Result, short: bool) -> None:
    """Another app id on the same prefix: it ends with the reason, and nothing is doubled."""
    first = _worker(deployment)
    second = deployment.start_worker(wait=False, SLA_APP_ID="second")
    result.faults["second deployment on the prefix"] += 1
    wait_for(lambda: not second.alive, "the second deployment ends")
    reasons = [str(each.get("reason")) for each in second.said("worker_failed")]
    _check(result, second.process.returncode == 1, f"it ended with {second.process.returncode}")
    _check(result, any("SLA_APP_ID=sla" in each for each in reasons), f"it said {reasons}")
    _decided(deployment, "after-two", 1)
    _check(result, first.ready(), "the first is not ready")


def deployments_at_once(deployment: Deployment, result: Result, short: bool) -> None:
    """Two workers each of two app ids start together on new topics: one deployment gets every task, the other ends."""
    app_ids = (PREFIX, "second")
    workers = {name: [deployment.start_worker(wait=False, SLA_APP_ID=name) for _ in range(2)] for name in app_ids}
    result.faults["second deployment at the same time"] += 1

    def ended() -> list[str]:
        return [name for name, both in workers.items() if not any(each.alive for each in both)]

    wait_for(ended, "a deployment ends")
    loser = ended()[0]
    winner = next(name for name in app_ids if name != loser)
    wait_for(lambda: set().union(*map(running, workers[winner])) == ALL, "the other runs all tasks")
    reasons = [str(each.get("reason")) for worker in workers[loser] for each in worker.said("worker_failed")]
    _check(result, sum(f"belong to the deployment SLA_APP_ID={winner}" in each for each in reasons) == 2, f"{reasons}")
    _decided(deployment, "after-both", 1)
    _check(result, all(each.alive for each in workers[winner]), "a worker of the owner has ended")


def topic_recreated(deployment: Deployment, result: Result, short: bool) -> None:
    """The input topic is deleted and created anew, with more records than had been applied."""
    worker = _worker(deployment)
    for number in range(5):
        _decided(deployment, f"before-{number}", 1)
    worker.stop()
    admin = KafkaAdminClient(bootstrap_servers=deployment.bootstrap)
    admin.delete_topics([INPUT])
    wait_for(lambda: INPUT not in admin.list_topics(), "the topic is gone")
    admin.create_topics([NewTopic(INPUT, PARTITIONS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    admin.close()
    result.faults["topic created anew"] += 1
    Publisher(deployment.bootstrap).send(iter([_opened(f"anew-{number}") for number in range(20)]))
    again = deployment.start_worker(wait=False)
    halted = {task for task in ALL if task[0] == "incidents"}
    wait_for(lambda: running(again) == ALL - halted, "the tasks of that topic halt, and no other")
    told = again.get("/ready")[1]
    _check(result, "was deleted and created anew" in told, f"readiness says {told}")
    names = {each.key for each in _records(deployment, "incidents")}
    _check(result, not any(name.startswith(b"anew") for name in names), "records of another topic were applied")


def alien_records(deployment: Deployment, result: Result, short: bool) -> None:
    """Records that no agent wrote in internal topics, dated 50 minutes ahead: no breach comes early."""
    worker = _worker(deployment)
    _decided(deployment, "with-deadline", 1)
    ahead = SystemTimeSource().now() // 1_000 + AHEAD_MS
    for agent in ("incidents", "ledger"):
        for partition in range(PARTITIONS):
            _send_batch(deployment, None, [b"alien"], partition, topic=f"{PREFIX}.{agent}-internal", timestamp_ms=ahead)
            result.faults["alien record 50 minutes ahead"] += 1
    wait_for(lambda: len(_records(deployment, "rejected")) == 2 * PARTITIONS, "alien records are rejected")
    _decided(deployment, "after-aliens", 1)
    alerts = [dict(each.headers)["ce_type"] for each in _records(deployment, "alerts")]
    _check(result, b"sla.breached" not in alerts, f"breaches came early: {alerts}")
    ignored = [
        line for line in worker.get("/metrics")[1].splitlines() if line.startswith("sla_task_timestamps_ignored")
    ]
    _check(result, any(not line.endswith(" 0.0") for line in ignored), "no timestamp was ignored")


def _amended(name: str, began: int, times: int) -> Iterator[Sent]:
    """An outage of an hour that is amended again and again, as history."""
    data: dict[str, object] = {"scope": "platform", "component": "api_requests", "impact": "complete_outage"}
    four_eyes = {"who": SUPPORT, "approver": {"kind": "support", "id": "lee"}, "reason": "measured again"}
    steps = [("opened", {**data, "channel": "monitor"})]
    steps += [("amended", {**four_eyes, "counts_as_downtime": bool(number % 2)}) for number in range(times)]
    steps.append(("resolved", {}))
    for number, (kind, what) in enumerate(steps):
        at = format_rfc3339(began + number * SECOND)
        yield record_of(line_of(f"incident.{kind}", f"{name}-{number}", name, at, what), backfill=True)


def _summarised(deployment: Deployment) -> dict[str, int]:
    """How many inputs the final statement of each tenant sums up, of those whose evidence is summarised."""
    found: dict[str, int] = {}
    for record in _records(deployment, "credits"):
        decoded = decode(record.value)
        assert not isinstance(decoded, Rejection)
        kind, fields = decoded
        summary = fields.get("evidence_summary") if kind == "credit.statement" else None
        if isinstance(summary, dict) and fields["status"] != "provisional":
            found[record.key.decode()] = max(found.get(record.key.decode(), 0), summary["inputs"])
    return found


def _worker(deployment: Deployment) -> Worker:
    """The one that an earlier step left, or a new one."""
    return next(iter(deployment.alive()), None) or deployment.start_worker()


def _check(result: Result, holds: object, problem: str) -> None:
    if not holds:
        result.problems.append(problem)


def _opened(name: str) -> Sent:
    now = format_rfc3339(SystemTimeSource().now() - SECOND)
    data = {"scope": "platform", "component": "api_requests", "impact": "complete_outage", "channel": "monitor"}
    return record_of(line_of("incident.opened", f"{name}-0", name, now, data))


def _decided(deployment: Deployment, name: str, times: int) -> None:
    """Open an incident; returns when it is classified, and raises unless that was said so many times."""
    Publisher(deployment.bootstrap).send(iter([_opened(name)]))

    def classified() -> int:
        return sum(each.key == name.encode() for each in _records(deployment, "incidents"))

    wait_for(classified, f"{name} is classified")
    if (found := classified()) != times:
        raise AssertionError(f"{name} was classified {found} times")


def _send_batch(
    deployment: Deployment,
    compression: str | None,
    values: Sequence[bytes],
    partition: int = 0,
    *,
    topic: str = INPUT,
    timestamp_ms: int | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """One record batch, however much it is without compression."""

    async def send() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=deployment.bootstrap, compression_type=compression, max_batch_size=1 << 31
        )
        await producer.start()
        try:
            batch = producer.create_batch()
            for value in values:
                assert (
                    batch.append(key=b"hostile", value=value, timestamp=timestamp_ms, headers=list(headers)) is not None
                )
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))
        finally:
            await producer.stop()

    asyncio.run(send())


def _records(
    deployment: Deployment, suffix: str, part: Callable[[Any], Any] = lambda record: record, *, at_least: int = 0
) -> list[Any]:
    """All committed records of a topic, or a part of each, once there are `at_least` so many. Raises TimeoutError."""
    consumer = KafkaConsumer(
        bootstrap_servers=deployment.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        check_crcs=False,  # kafka-python computes them in Python: a second for a megabyte
    )
    try:
        where = [TopicPartition(f"{PREFIX}.{suffix}", number) for number in range(PARTITIONS)]
        consumer.assign(where)
        consumer.seek_to_beginning()
        found: list[Any] = []
        deadline = time.monotonic() + READY_S
        while len(found) < at_least or any(
            consumer.position(each) < end for each, end in consumer.end_offsets(where).items()
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(found)} records of {suffix} within {READY_S:.0f} s, not {at_least} to its end"
                )
            for records in consumer.poll(timeout_ms=200).values():
                found += map(part, records)
        return found
    finally:
        consumer.close()


def _highest_kib(worker: Worker) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    (line,) = [each for each in status.splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1])
