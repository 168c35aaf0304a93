"""Bad input on the real broker (R27): each rejected once, its neighbours processed, across a SIGTERM in mid-load."""

from __future__ import annotations

import asyncio
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition
from shared_stack import SharedStack

from cli.events.publish_lines import prepare
from cli.kafka_io.follower import Follower
from streams.kafka.partitioner import partition_of
from streams.serde.input_records import InputRecord
from streams.sla.instants import DAY, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

PARTITIONS = 4
INCIDENTS = 600
#: So many good incidents lie between two bad records.
BAD_EVERY = 40
#: The most that the input topics take, without what the record's own frame needs.
HEAVIEST = 1_048_000
#: What each good incident leads to, once.
KINDS = ("incident.classified", "sla.met")


class Sent(NamedTuple):
    """A bad record: the code it is to be rejected with, and what has to come back."""

    code: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@pytest.fixture
def stack(broker: str, prefix: str, tmp_path: Path) -> Iterator[SharedStack]:
    settings = {"SLA_MARK_EVERY": "PT1H", "SLA_MAX_BATCH": "100"}
    with SharedStack(broker, f"{prefix}sla", tmp_path, environment=settings, partitions=PARTITIONS) as running:
        running.apply_topics()
        yield running


def event(kind: str, incident: str, name: str, at: int, data: str) -> InputRecord:
    ready = prepare(
        1,
        f'{{"specversion":"1.0","id":"{name}","type":"incident.{kind}","source":"/m","subject":"{incident}",'
        f'"time":"{format_rfc3339(at)}","data":{data}}}',
    )
    assert isinstance(ready, InputRecord)
    return ready


def opened(incident: str, at: int, name: str = "o") -> InputRecord:
    data = '{"scope":"platform","component":"api","impact":"complete_outage","channel":"monitor"}'
    return event("opened", incident, name, at, data)


def responded(incident: str, at: int, name: str = "r") -> InputRecord:
    return event("responded", incident, name, at, '{"who":{"kind":"support","id":"ann"}}')


def bad_values(now: int) -> list[tuple[str, bytes | None]]:
    good = responded("bad", now).value
    return [
        ("undecodable", None),
        ("undecodable", b""),
        ("undecodable", b"{}"),
        ("undecodable", good[:-2]),
        ("undecodable", good + b"\0"),
        ("unknown_schema", b"\0\0\0\0\7" + good[10:]),
        ("unknown_schema", b"\xc3\x01" + b"\7" * 8 + good[10:]),
        ("oversize", good + b"\0" * 256 * 1024),
        ("oversize", b"\xff" * HEAVIEST),
        ("future", responded("bad", now + DAY).value),
        ("too_late", responded("bad", now - 40 * DAY).value),
        ("conflict", opened("inc-0", now - MINUTE).value),
    ]


async def publish(stack: SharedStack, now: int, names: list[str], half: asyncio.Event) -> dict[tuple[int, int], Sent]:
    """Good records as librdkafka's default partitioner puts them, by CRC-32 of the key, so mostly where they do not
    belong, and among them each bad one; what was sent of these, by partition and offset."""
    input_topic = stack.topic("incident-events")
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.bootstrap, enable_idempotence=True, max_request_size=2 * HEAVIEST, linger_ms=5
    )
    await producer.start()
    first = opened("inc-0", now)
    own = partition_of("inc-0", PARTITIONS)
    await producer.send_and_wait(input_topic, first.value, key=b"inc-0", partition=own, headers=first.headers)
    sent: dict[tuple[int, int], Sent] = {}
    bad = bad_values(now)
    for number, name in enumerate(names):
        if number == len(names) // 2:
            half.set()
        key = name.encode()
        for ready in (opened(name, now), responded(name, now)):
            partition = zlib.crc32(key) % PARTITIONS
            await producer.send(input_topic, ready.value, key=key, partition=partition, headers=ready.headers)
        if number % BAD_EVERY == 0 and bad:
            code, value = bad.pop()
            odd = [None, b"\xff key", b"inc-0"][number // BAD_EVERY % 3]
            headers = [("note", b"%d" % number), ("sla_kind", b"ours"), ("none", None)]
            place = await producer.send_and_wait(
                input_topic, value, key=odd, partition=number // BAD_EVERY % PARTITIONS, headers=headers
            )
            sent[place.partition, place.offset] = Sent(code, odd, value, headers)
    assert not bad
    await producer.stop()
    return sent


def rejected(stack: SharedStack, count: int, deadline: float) -> list[object]:
    """The rejected records: as many as are expected, and what more comes within a second."""
    consumer = KafkaConsumer(
        bootstrap_servers=stack.bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    consumer.assign([TopicPartition(stack.topic("rejected"), number) for number in range(PARTITIONS)])
    consumer.seek_to_beginning()
    found: list[object] = []
    while time.monotonic() < deadline:
        polled = [record for records in consumer.poll(timeout_ms=1_000).values() for record in records]
        found += polled
        if len(found) >= count and not polled:
            break
    consumer.close()
    return found


def answer(stack: SharedStack, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.health_port}/{path}", timeout=TIMEOUT_S) as found:
        assert found.status == 200
        return str(found.read().decode())


def test_bad_records_are_rejected_once_and_good_ones_processed(stack: SharedStack) -> None:
    stack.start_worker()
    deadline = time.monotonic() + 2 * TIMEOUT_S
    now = SystemTimeSource().now()
    names = [f"inc-{number}" for number in range(1, INCIDENTS)]

    async def load() -> dict[tuple[int, int], Sent]:
        half = asyncio.Event()
        publishing = asyncio.create_task(publish(stack, now, names, half))
        await half.wait()
        assert await asyncio.to_thread(stack.stop_worker) == 0
        return await publishing

    expected = asyncio.run(load())
    stack.start_worker()

    seen: Counter[str] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    wanted = {(kind, name) for kind in KINDS for name in names}
    with Follower(stack.bootstrap, [stack.topic("incidents"), stack.topic("alerts")]) as follower:
        while time.monotonic() < deadline and not wanted <= done.keys():
            for output in follower.poll(0.2):
                seen[str(output["id"])] += 1
                done[str(output["type"]), str(output["subject"])] += 1
    assert {key: done[key] for key in wanted} == dict.fromkeys(wanted, 1)
    assert max(seen.values()) == 1

    found = {}
    for record in rejected(stack, len(expected), deadline):
        *headers, code, _, topic, partition, offset, _, attempts = record.headers  # type: ignore[attr-defined]
        assert topic == ("sla_original_topic", stack.topic("incident-events").encode())
        assert attempts == ("sla_attempts", b"1")
        place = int(partition[1]), int(offset[1])
        assert place not in found
        found[place] = Sent(code[1].decode(), record.key, record.value, headers)  # type: ignore[attr-defined]
    assert found == expected

    assert answer(stack, "live")
    wait(stack.ready, stack.log.read_text)
    metrics = answer(stack, "metrics")
    assert 'sla_forwarded_total{agent="incidents"}' in metrics
    assert stack.stop_worker() == 0
    log = stack.log.read_text()
    assert '"event": "rejected"' in log
    assert "task_halted" not in log
    assert "decision_failed" not in log
