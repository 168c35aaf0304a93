"""How long after its commit to Kafka a record is on an open stream of the board: `python -m bench.board_stream`.

A broker of its own, `sla board` as a process of its own, and one stream of `/api/v1/changes`. Openings of incidents are
published one after the other; the time runs from the broker's acknowledgement to the event that names the incident.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded, so that every run pauses the same

from bench.board_http import percentiles
from bench.latency import opening
from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from streams.kafka import kafka_python_clients
from streams.time_source import SystemTimeSource
from streams.topics import declared

_PARTITIONS = 8
_PREFIX = "sla"
_WAIT_S = 60.0
#: Between two openings at most, so that they meet the board's polls and the gaps of the stream at any moment.
_PAUSE_S = 0.6

Received = queue.SimpleQueue[tuple[float, frozenset[str]]]


@contextmanager
def served(bootstrap: str, folder: Path) -> Iterator[str]:
    """The address of a board that has read the topics to their ends."""
    port = free_port()
    settings = {
        "SLA_BROKERS": bootstrap,
        "SLA_BOARD_PORT": str(port),
        "SLA_BOARD_DATABASE_URL": f"sqlite:///{folder}/board.db",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", "board"],
        env={**os.environ, **settings},
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + _WAIT_S
        while not _ready(f"http://127.0.0.1:{port}/ready"):
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the board did not get ready")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_WAIT_S)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def follow(address: str, received: Received) -> None:
    """Put each event of the stream with its instant (perf_counter) until the board ends it."""
    with urllib.request.urlopen(f"{address}/api/v1/changes", timeout=_WAIT_S) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                received.put((time.perf_counter(), frozenset(json.loads(line[6:])["incidents"])))


def measure(bootstrap: str, address: str, events: int) -> list[float]:
    """Milliseconds from acknowledgement to event, of each opening. Raises queue.Empty where one does not come."""
    received: Received = queue.SimpleQueue()
    threading.Thread(target=follow, args=(address, received), daemon=True).start()
    pauses, now = Random(7), SystemTimeSource().now()
    producer = kafka_python_clients.producer(bootstrap_servers=bootstrap)
    found = []
    try:
        for number in range(events):
            name = f"timed-{number}"
            _, partition, key, value, headers = opening(name, now, _PARTITIONS)
            topic = f"{_PREFIX}.incident-events"
            sent = producer.send(topic, key=key, value=value, headers=headers, partition=partition)
            sent.get(_WAIT_S)
            committed = time.perf_counter()
            while True:
                at, names = received.get(timeout=_WAIT_S)
                if name in names:
                    break
            found.append(max(at - committed, 0) * 1000)
            time.sleep(pauses.random() * _PAUSE_S)
    finally:
        producer.close()
    return found[1:]  # the stream may not have been open before the first


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.board_stream", description=__doc__)
    options.add_argument("--events", type=int, default=100)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_broker() as broker:
        apply_topics(broker.bootstrap, declared(_PREFIX, _PARTITIONS, 1))
        with served(broker.bootstrap, Path(folder)) as address:
            found = measure(broker.bootstrap, address, given.events)
    print(f"{len(found)} records, milliseconds from commit to event: p50, p99, max {percentiles(found)}")


if __name__ == "__main__":
    main()
