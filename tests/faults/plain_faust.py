"""The control: plain Faust with `exactly_once`, told to copy each record and count per key. It must be caught.

`python -m tests.faults.plain_faust BOOTSTRAP worker -l warn --without-web` runs the worker under test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from cli.broker import start_broker

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


def _worker(bootstrap: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.plain_faust", bootstrap, "worker", "-l", "warn", "--without-web"],
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


def control(name: str, seed: int, folder: Path, short: bool) -> Result:
    """Kill plain Faust a few times over 20,000 records, and hold it to what we are held to: each copy once."""
    result = Result(name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with start_broker(folder / "kafka") as broker:
        _control(broker.bootstrap, folder / "plain.log", 8_000 if short else 20_000, result)
    result.seconds = time.monotonic() - began
    return result


def _control(bootstrap: str, log: Path, records: int, result: Result) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (SOURCE, COPY)])
    admin.close()
    random = Random(result.seed)
    worker = _worker(bootstrap, log)
    try:
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        began = time.monotonic()
        kills = {records * share // 100 + random.randrange(records // 20) for share in (15, 30, 45, 60, 75)}
        for number in range(records):
            key = number % KEYS
            producer.send(SOURCE, b"%d" % number, b"%d" % key, partition=key % PARTITIONS)
            time.sleep(max(0.0, number / 1_500 - (time.monotonic() - began)))
            if number in kills:
                worker.kill()
                worker.wait()
                result.faults["kill -9 of plain Faust"] += 1
                worker = _worker(bootstrap, log)
        producer.close()
        _wait_until_still(bootstrap)
    finally:
        worker.kill()
        worker.wait()
    found = copies(bootstrap)
    lost, doubled = records - len(found), sum(count - 1 for count in found.values())
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

    wait_for(still, "plain Faust has copied all that it will", 240)


if __name__ == "__main__":
    bootstrap = sys.argv.pop(1)
    app_of(bootstrap).main()  # type: ignore[attr-defined]
