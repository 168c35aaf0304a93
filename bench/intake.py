"""The intake's speed: events a second to Kafka's acknowledgement, and how long that takes at a steady rate.

`python -m bench.intake` starts a broker and one intake, and sends as other services do: single events over kept
connections, then batches, then webhooks of any JSON, then single events and webhooks at a steady rate. Latency counts
from when an event was due to be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import free_port
from cli.kafka_io.topic_admin import apply_topics
from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource
from streams.topics import declared

CONNECTIONS = 32
BATCH = 100
TOKEN, HOOK_TOKEN = "bench-token-00000001", "bench-token-00000002"
MAPPING = """\
version: 1
sources:
  bench: {format: api, secrets: [{env: BENCH_TOKEN}], source: /bench, rate: {per_second: 100000, burst: 1000000}}
  any:
    format: json
    secrets: [{env: BENCH_HOOK_TOKEN}]
    rate: {per_second: 100000, burst: 1000000}
    body:
      incident: [{from: alert.key}]
      state: [{from: alert.state, values: {firing: opened, ok: resolved}}]
      time: alert.at
    component: [{from: alert.labels.service, values: {checkout: api}}]
    impact: [{from: alert.labels.severity, values: {critical: complete_outage}}]
    tenants: [{from: alert.labels.tenants}, {scope: platform}]
    summary: [{from: alert.title}]
"""
#: An HTTP request of so many events, each with a number of its own, as of a time.
Make = Callable[[Iterator[int], int, str], bytes]


class Connection:
    """One kept connection: a request, then its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, request: bytes) -> None:
        """Returns when it was answered with 202; anything else ends the run."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"the intake answered {head.splitlines()[0].decode()}: {body.decode()[:200]}")

    def close(self) -> None:
        self._writer.close()


def request(numbers: Iterator[int], events: int, time_: str) -> bytes:
    """An HTTP request of one event, or of a batch."""
    made = [
        {
            "specversion": "1.0",
            "id": f"e-{number}",
            "type": "incident.opened",
            "source": "/bench",
            "subject": f"inc-{number}",
            "time": time_,
            "data": {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"},
        }
        for number in itertools.islice(numbers, events)
    ]
    kind = "cloudevents" if events == 1 else "cloudevents-batch"
    body = json.dumps(made[0] if events == 1 else made).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/{kind}+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def webhook(numbers: Iterator[int], _: int, time_: str) -> bytes:
    """An HTTP request of a monitor that the product has never heard of; it becomes one event."""
    number = next(numbers)
    labels = {"service": "checkout", "severity": "critical", "tenants": ["acme", "globex"]}
    alert = {"key": f"k-{number}", "state": "firing", "at": time_, "title": "every request fails", "labels": labels}
    body = json.dumps({"receiver": "sla", "alert": alert}).encode()
    head = (
        f"POST /v1/hooks/any HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {HOOK_TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connected(port: int) -> list[Connection]:
    return [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(CONNECTIONS)]


async def flat_out(port: int, seconds: float, events: int, numbers: Iterator[int], make: Make = request) -> float:
    """Events a second with every connection busy."""
    connections, done = await connected(port), 0
    moment = format_rfc3339(SystemTimeSource().now())
    started = time.perf_counter()

    async def work(connection: Connection) -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await connection.send(make(numbers, events, moment))
            done += events

    await asyncio.gather(*(work(connection) for connection in connections))
    passed = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return done / passed


async def steadily(port: int, seconds: float, rate: int, numbers: Iterator[int], make: Make = request) -> list[float]:
    """Seconds from when each event was due to its acknowledgement, sorted."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    connections = await connected(port)
    for connection in connections:
        free.put_nowait(connection)
    taken: list[float] = []
    moment = format_rfc3339(SystemTimeSource().now())

    async def one(due: float) -> None:
        connection = await free.get()
        await connection.send(make(numbers, 1, moment))
        taken.append(time.perf_counter() - due)
        free.put_nowait(connection)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index in range(int(seconds * rate)):
            due = started + index / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(due))
    for connection in connections:
        connection.close()
    return sorted(taken)


@contextmanager
def served(bootstrap: str, folder: Path) -> Iterator[tuple[int, Callable[[], float]]]:
    """The port of an intake of its own process, and the seconds of processor time that it has used."""
    port, mapping = free_port(), folder / "intake.yaml"
    mapping.write_text(MAPPING, encoding="utf-8")
    environment = {
        **os.environ,
        "BENCH_TOKEN": TOKEN,
        "BENCH_HOOK_TOKEN": HOOK_TOKEN,
        "SLA_BROKERS": bootstrap,
        "SLA_INTAKE_MAPPING": str(mapping),
        "SLA_INTAKE_PORT": str(port),
    }
    command = [sys.executable, "-c", "from cli.main import main; main()", "intake"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not answers(port):
                time.sleep(0.05)
            yield port, lambda: used_s(process.pid)
        finally:
            process.terminate()


def used_s(pid: int) -> float:
    """Processor time of a process: neighbours on the machine count little in it. Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(port: int) -> bool:
    """Whether the intake is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.intake", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each part runs")
    parser.add_argument("--rate", type=int, default=1000, help="events a second of the steady part")
    options = parser.parse_args()
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder, start_broker() as broker:
        apply_topics(broker.bootstrap, declared("sla", 8, 1))
        with served(broker.bootstrap, Path(folder)) as (port, used):
            asyncio.run(flat_out(port, 1.0, 1, numbers))  # warm
            for events, make, what in (
                (1, request, f"single events, {CONNECTIONS} connections"),
                (BATCH, request, f"batches of {BATCH}"),
                (1, webhook, f"webhooks of any JSON, {CONNECTIONS} connections"),
            ):
                before = used()
                rate = asyncio.run(flat_out(port, options.seconds, events, numbers, make))
                cost = (used() - before) / (rate * options.seconds) * 1e6
                print(f"{what}: {rate:,.0f} events/s acknowledged, {cost:,.0f} µs of the intake's processor time each")
            for make, what in ((request, "events"), (webhook, "webhooks")):
                taken = asyncio.run(steadily(port, options.seconds, options.rate, numbers, make))
                shares = {name: taken[int(len(taken) * share)] * 1000 for name, share in (("p50", 0.5), ("p99", 0.99))}
                shown = ", ".join(f"{name} {value:.1f} ms" for name, value in shares.items())
                print(f"{options.rate:,} {what}/s: {shown}, longest {taken[-1] * 1000:.1f} ms")


if __name__ == "__main__":
    main()
