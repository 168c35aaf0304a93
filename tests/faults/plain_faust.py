"""The control: plain Faust with `exactly_once`, told to copy each record and count per key. It must be caught.

`python -m tests.faults.plain_faust BOOTSTRAP TURN worker -l warn --without-web` runs the worker under test, which dies
by SIGKILL when its TURN-th transaction has been committed (0: never), a point at which our workers die too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from cli.embedded_kafka.broker import start_broker

from .deployment import ROOT, wait_for
from .run import Result

SOURCE, COPY, APP = "plain-in", "plain-out", "plain"
PARTITIONS, KEYS = 4, 100


def app_of(bootstrap: str) -> object:
    """The Faust app, written as its documentation would have it."""
    import faust

    app = faust.App(
        APP,
        broker=f"kafka://{bootstrap}",
        processing_guarantee="exactly_once",
        store="memory://",
        topic_partitions=PARTITIONS,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
        datadir=tempfile.mkdtemp(prefix="plain-faust-"),
        web_enabled=False,
    )
    source = app.topic(SOURCE, key_type=bytes, value_type=bytes)
    copy = app.topic(COPY, key_type=bytes, value_type=bytes)
    counts = app.Table("counts", default=int, partitions=PARTITIONS)

    @app.agent(source, name="copier")
    async def copier(stream: faust.Stream[bytes]) -> None:
        async for event in stream.events():
            counts[event.key.decode()] += 1
            await copy.send(key=event.key, value=event.value)

    return app


def die_after_commit(turn: int) -> None:
    """SIGKILL to this process right after its turn-th transaction has been committed."""
    commit = AIOKafkaProducer.commit_transaction
    left = turn

    async def commit_then_die(producer: AIOKafkaProducer) -> None:
        nonlocal left
        await commit(producer)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    AIOKafkaProducer.commit_transaction = commit_then_die


def _worker(bootstrap: str, log: Path, turn: int) -> subprocess.Popen[bytes]:
    module = [sys.executable, "-m", "tests.faults.plain_faust", bootstrap, str(turn)]
    with log.open("ab") as file:
        return subprocess.Popen(
            [*module, "worker", "-l", "warn", "--without-web"],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )


def copies(bootstrap: str) -> Counter[int]:
    """How often a reader of committed records sees the copy of each number."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, client_id="control"
    )
    try:
        wanted = [TopicPartition(COPY, number) for number in range(PARTITIONS)]
        consumer.assign(wanted)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(wanted)
        found: Counter[int] = Counter()
        while any(consumer.position(each) < ends[each] for each in wanted):
            for records in consumer.poll(timeout_ms=200).values():
                found.update(int(record.value) for record in records)
        return found
    finally:
        consumer.close()


def committed(bootstrap: str) -> dict[int, int]:
    """By partition, the offset that plain Faust has committed."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=APP, enable_auto_commit=False)
    try:
        return {number: consumer.committed(TopicPartition(SOURCE, number)) or 0 for number in range(PARTITIONS)}
    finally:
        consumer.close()


def control(name: str, seed: int, folder: Path, short: bool) -> Result:
    """Kill plain Faust a few times over 20,000 records, and hold it to what we are held to: each copy once."""
    result = Result(name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with start_broker(folder / "kafka") as broker:
            _control(broker.bootstrap, folder / "plain.log", 8_000 if short else 20_000, result)
    except Exception as error:
        result.problems.append(f"{type(error).__name__}: {error}")
    result.seconds = time.monotonic() - began
    return result


def _control(bootstrap: str, log: Path, records: int, result: Result) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (SOURCE, COPY)])
    admin.close()
    random = Random(result.seed)
    # Not a multiple of the partitions: each turn's offsets and copies lie in one transaction per partition, and the
    # copies of a partition go to others, as after any change of key.
    turns = [PARTITIONS * random.randint(1, 2) + random.randint(1, PARTITIONS - 1) for _ in range(4)]
    worker = _worker(bootstrap, log, turns[0])
    try:
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        began = time.monotonic()
        for number in range(records):
            key = number % KEYS
            producer.send(SOURCE, b"%d" % number, b"%d" % key, partition=key % PARTITIONS)
            time.sleep(max(0.0, number / 500 - (time.monotonic() - began)))
            if turns and worker.poll() is not None:
                turns.pop(0)
                result.faults["kill -9 of plain Faust after a commit"] += 1
                worker = _worker(bootstrap, log, turns[0] if turns else 0)
        producer.close()
        if turns:
            worker.kill()
            worker.wait()
            worker = _worker(bootstrap, log, 0)
        _wait_until_still(bootstrap)
    finally:
        worker.kill()
        worker.wait()
    found = copies(bootstrap)
    behind = committed(bootstrap)
    # What lies before the committed offset is never read again. (Partition and offset of a number: see the loop above.)
    lost = sum(n // PARTITIONS < behind[n % PARTITIONS] for n in range(records) if n not in found)
    doubled = sum(count - 1 for count in found.values())
    result.counts.update({"inputs": records, "lost by plain Faust": lost, "doubled by plain Faust": doubled})
    if not lost and not doubled:
        result.problems.append("the control was not caught losing or doubling anything")


def _wait_until_still(bootstrap: str) -> None:
    """Until nothing more is copied for 20 s, three sessions of a dead worker; what is missing then is lost."""
    seen, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal seen, since
        now = sum(copies(bootstrap).values())
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(1.0)
        return time.monotonic() - since > 20

    wait_for(still, "plain Faust has copied all that it will", 600)


if __name__ == "__main__":
    bootstrap, turn = sys.argv.pop(1), int(sys.argv.pop(1))
    die_after_commit(turn)
    app_of(bootstrap).main()  # type: ignore[attr-defined]
