"""What a former release left in its shared topic is applied exactly once, through a kill -9 meanwhile (ADR 17)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from shared_stack import SharedStack

from cli.events.publish_lines import prepare
from cli.kafka_io.follower import Follower
from connect.kafka_io.group_offsets import GroupOffsets
from streams.kafka.partitioner import partition_of
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import encode
from streams.serde.input_records import InputRecord
from streams.settings import read_settings
from streams.sla.instants import DAY, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

PARTITIONS = 2
INCIDENTS = 600
SHARED = "shared"
TENANT = "acme"
#: One of each leads to one.
KINDS = ("incident.classified", "sla.met", "impact.changed")
Headers = list[tuple[str, bytes]]


@pytest.fixture
def stack(broker: str, prefix: str, tmp_path: Path) -> Iterator[SharedStack]:
    settings = {"SLA_SESSION_TIMEOUT": "PT4S", "SLA_MAX_BATCH": "20"}
    with SharedStack(broker, f"{prefix}sla", tmp_path, environment=settings, partitions=PARTITIONS) as running:
        running.apply_topics()
        admin = KafkaAdminClient(bootstrap_servers=running.bootstrap)
        admin.create_topics(
            [NewTopic(running.topic(SHARED), PARTITIONS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})]
        )
        admin.close()
        yield running


def event(kind: str, subject: str, at: int, data: dict[str, object]) -> InputRecord:
    found = prepare(
        1,
        format_line(
            {
                "specversion": "1.0",
                "id": kind,
                "type": kind,
                "source": "/m",
                "subject": subject,
                "time": format_rfc3339(at),
                "data": data,
            }
        ),
    )
    assert isinstance(found, InputRecord), found
    return found


def envelope(route: str, kind: str, topic: str, offset: int, arrival: int) -> Headers:
    """The first headers of a record in the shared topic, in this order: a format of data, so it stands here in full."""
    return [
        ("sla_route", route.encode()),
        ("sla_kind", kind.encode()),
        ("sla_origin_topic", topic.encode()),
        ("sla_origin_partition", b"1"),
        ("sla_origin_offset", b"%d" % offset),
        ("sla_origin_arrival", b"%d" % arrival),
    ]


def left_behind(prefix: str, now: int) -> Iterator[tuple[int, bytes, bytes, Headers]]:
    """Partition, key, value and headers of each record: inputs forwarded to their own partition, a copy of contract
    terms for every incident partition, and a watermark of either incident partition."""
    terms: dict[str, object] = {
        "tenant_id": TENANT,
        "valid_from": format_rfc3339(now - DAY),
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500_000, "currency": "USD"},
        "emergency_member": True,
    }
    contract = event("contract.set", TENANT, now, terms)
    key = TENANT.encode()
    home = partition_of(TENANT, PARTITIONS)
    forwarded = envelope("ledger", "forwarded", f"{prefix}.contract-events", 0, now)
    yield home, key, contract.value, [*forwarded, *contract.headers]
    for partition in range(PARTITIONS):
        copy = envelope("incidents", "copy", f"{prefix}.contract-events", 0, now)
        yield partition, key, contract.value, [*copy, *contract.headers]
        mark: dict[str, object] = {
            "event_id": f"mark-{partition}",
            "source": "/sla/incidents",
            "subject": f"partition-{partition}",
        }
        mark |= {"occurred_at": now, "backfill": False, "traceparent": None}
        value = encode("time.mark", {**mark, "partition": partition, "marked_until": now})
        yield home, b"partition-%d" % partition, value, envelope("ledger", "copy", f"{prefix}.impacts", 0, now)
    opening: dict[str, object] = {
        "scope": "tenants",
        "tenant_ids": [TENANT],
        "component": "api",
        "impact": "complete_outage",
    }
    answer = {"who": {"kind": "support", "id": "ann"}}
    facts: list[tuple[str, dict[str, object]]] = [
        ("opened", {**opening, "channel": "phone"}),
        ("responded", {**answer}),
    ]
    offset = 0
    for number in range(INCIDENTS):
        name = f"inc-{number}"
        for kind, data in facts:
            offset += 1
            ready = event(f"incident.{kind}", name, now, data)
            headers = [*envelope("incidents", "forwarded", f"{prefix}.incident-events", offset, now), *ready.headers]
            yield partition_of(name, PARTITIONS), name.encode(), ready.value, headers


Left = list[tuple[int, bytes, bytes, Headers]]


async def write(stack: SharedStack, transactions: list[tuple[Left, bool]]) -> None:
    """As agents do; what is not committed is aborted."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.bootstrap, transactional_id=f"{stack.prefix}-former", linger_ms=5
    )
    await producer.start()
    for records, commits in transactions:
        await producer.begin_transaction()
        for partition, key, value, headers in records:
            await producer.send(stack.topic(SHARED), value, key=key, partition=partition, headers=headers)
        await (producer.commit_transaction() if commits else producer.abort_transaction())
    await producer.stop()


def lag(stack: SharedStack) -> dict[tuple[str, int], int]:
    """What each group has not applied of the shared topic, by group and partition."""
    settings = read_settings(brokers=stack.bootstrap, topic_prefix=stack.prefix, app_id=stack.prefix)
    places = [(stack.topic(SHARED), partition) for partition in range(PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=stack.bootstrap)
    ends = consumer.end_offsets([TopicPartition(*place) for place in places])
    consumer.close()
    with GroupOffsets(settings) as offsets:
        committed = {agent: offsets.committed(agent, places) for agent in ("incidents", "ledger")}
    return {
        (agent, at[1]): ends[TopicPartition(*at)] - found[at] for agent, found in committed.items() for at in places
    }


def test_what_a_former_release_left_is_applied_once_through_a_kill(stack: SharedStack) -> None:
    now = SystemTimeSource().now() - MINUTE
    records = list(left_behind(stack.prefix, now))
    asyncio.run(write(stack, [(records[-50:], False), (records[:700], True)]))
    deadline = time.monotonic() + 2 * TIMEOUT_S
    seen: Counter[str] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    wanted = {(kind, f"inc-{number}") for kind in KINDS for number in range(INCIDENTS)}

    def read_until(count: int) -> None:
        while time.monotonic() < deadline and len(wanted & done.keys()) < count:
            for output in follower.poll(0.1):
                seen[str(output["id"])] += 1
                done[str(output["type"]), str(output["subject"])] += 1

    outputs = [stack.topic(name) for name in ("incidents", "alerts", "impacts", "rejected")]
    with Follower(stack.bootstrap, outputs) as follower:
        stack.start_worker()
        read_until(len(wanted) // 5)
        stack.kill_worker()
        assert 0 < len(wanted & done.keys()) < len(wanted)
        asyncio.run(write(stack, [(records[700:], True)]))  # the former release ends last
        stack.start_worker()
        read_until(len(wanted))
    assert {key: done[key] for key in wanted} == dict.fromkeys(wanted, 1)
    assert max(seen.values()) == 1
    assert follower.rejected == 0
    wait(lambda: set(lag(stack).values()) == {0}, lambda: lag(stack), every_s=0.2)
    assert stack.stop_worker() == 0
    log = stack.log.read_text()
    assert "task_halted" not in log
    assert "decision_failed" not in log
    assert '"event": "rejected"' not in log
