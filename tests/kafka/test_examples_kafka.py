"""Examples beside a running worker: a watched page fails, on-call is paged; librdkafka's partitions are no trouble."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer

from cli.kafka_io.follower import Follower
from cli.local.stack import Stack
from connect.client.outgoing import checked_record
from streams.kafka.partitioner import partition_of
from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
INCIDENTS = 60
SETTINGS = {"SLA_DEFAULT_POLICY": "demo-live", "SLA_MARK_EVERY": "PT1H"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("examples") / "kafka"
    with Stack(folder, environment=SETTINGS, partitions=PARTITIONS) as running:
        running.apply_topics()
        running.start_worker()
        yield running


class Page(http.server.BaseHTTPRequestHandler):
    """A health page that is well or not."""

    well = True

    def do_GET(self) -> None:
        self.send_response(200 if Page.well else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/health"
        server.shutdown()
        serving.join()


@contextmanager
def example(said: Path, name: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    """A running example; what it says goes to a file."""
    with said.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / name), *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=file,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[bytes], said: Path) -> None:
    """Tell it to end, which it does in good order."""
    process.terminate()
    assert process.wait(TIMEOUT_S) == 0, said.read_text()


def wait_until(condition: Callable[[], object], what: str) -> None:
    wait(condition, lambda: what)


def test_a_page_that_fails_becomes_an_incident_a_breach_and_a_page(stack: Stack, url: str, tmp_path: Path) -> None:
    state = tmp_path / "watch.json"
    watched, paged = tmp_path / "watch.log", tmp_path / "pages.log"
    seen: list[dict[str, object]] = []

    def come(event_type: str) -> bool:
        seen.extend(event for event in follower.poll(0.1) if str(event["subject"]).startswith("git_operations-"))
        return any(event["type"] == event_type for event in seen)

    words = (stack.bootstrap, url, "git_operations", "--state", state, "--every", "0.1")
    with (
        Follower(stack.bootstrap, ["sla.incidents", "sla.alerts", "sla.rejected"]) as follower,
        example(paged, "on_call.py", stack.bootstrap) as on_call,
    ):
        with example(watched, "publishing_service.py", *words) as watcher:
            Page.well = False
            wait_until(lambda: come("incident.classified"), "the incident is classified")
            watcher.kill()  # it knows of the outage when it is back, and says so again
        with example(watched, "publishing_service.py", *words) as watcher:
            wait_until(lambda: come("sla.breached"), "nobody answers")
            Page.well = True
            wait_until(lambda: come("incident.closed"), "the incident is closed")
            wait_until(lambda: not state.exists(), "the outage is forgotten")
            end(watcher, watched)
        (incident,) = {str(event["subject"]) for event in seen}
        breach = next(event for event in seen if event["type"] == "sla.breached")
        wait_until(lambda: str(breach["id"]) in paged.read_text(), "somebody is paged")
        end(on_call, paged)
        assert follower.rejected == 0
    assert f"{breach['id']} sla.breached P1 {incident}: " in paged.read_text()
    assert "(everybody)" in paged.read_text()
    assert Counter(event["type"] for event in seen)["incident.closed"] == 1


def test_records_of_librdkafkas_partitioner_are_forwarded_and_applied_once(stack: Stack) -> None:
    """librdkafka's default, consistent_random, takes CRC-32 of the key; here each record comes twice, as a retry of a
    publisher that is not idempotent would send it."""
    names = [f"crc-{number}" for number in range(INCIDENTS)]
    strays = sum(zlib.crc32(name.encode()) % PARTITIONS != partition_of(name, PARTITIONS) for name in names)
    assert strays > INCIDENTS / 2
    before = forwarded(stack)
    with (
        Follower(stack.bootstrap, ["sla.incidents", "sla.rejected"]) as follower,
        closing(KafkaProducer(bootstrap_servers=stack.bootstrap)) as producer,
    ):
        for event in (each for name in names for each in history(name)):
            record = checked_record(event)
            key = record.event.subject.encode()
            for _ in range(2):
                producer.send(
                    "sla.incident-events",
                    key=key,
                    value=record.value,
                    headers=record.headers,
                    partition=zlib.crc32(key) % PARTITIONS,
                )
        producer.flush(TIMEOUT_S)
        told: Counter[tuple[object, object]] = Counter()

        def complete() -> bool:
            told.update((event["type"], event["subject"]) for event in follower.poll(0.1))
            return sum(told["incident.closed", name] for name in names) >= INCIDENTS

        wait_until(complete, "all are closed")
        wait_until(lambda: forwarded(stack) - before >= 4 * strays, "all strays are forwarded")
        complete()
        assert follower.rejected == 0
    for name in names:
        assert told["incident.classified", name] == 1
        assert told["incident.closed", name] == 1
    assert forwarded(stack) - before == 4 * strays


def history(name: str) -> Iterator[dict[str, object]]:
    """An incident that is answered and over at once."""
    now = SystemTimeSource().now()
    opened = {"scope": "platform", "component": "webhooks", "impact": "complete_outage", "channel": "monitor"}
    for number, (kind, data) in enumerate([("opened", opened), ("resolved", {})]):
        yield {
            "specversion": "1.0",
            "id": f"{name}-{kind}",
            "type": f"incident.{kind}",
            "source": "/librdkafka",
            "subject": name,
            "time": format_rfc3339(now + number),
            "data": data,
        }


def forwarded(stack: Stack) -> float:
    """How many records the incidents agent has sent on to their own partition, as it shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.health_port}/metrics", timeout=TIMEOUT_S) as answer:
        page = answer.read().decode()
    found = re.search(r'^sla_forwarded_total\{agent="incidents"\} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found else 0.0
