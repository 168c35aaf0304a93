"""No write exceeds its topic's limit, whatever the input: one test for each way to write (R27, R28)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster, ready_of
from aiokafka.producer.message_accumulator import BatchBuilder
from story import contract, erased, maintenance, micros, opened, policies, responded, updated
from task_bench import Bench, Diary, run

from agents.changelog.incidents import BUFFERED
from agents.changelog.ledger import IMPACTS
from agents.ingress import MAX_ENVELOPE_BYTES
from streams.kafka.batch_limits import MAX_HEADERS
from streams.kafka.records import UnreadBatch
from streams.runtime.dead_letter import MAX_ORIGINAL_BYTES, rejected
from streams.runtime.processor import (
    MAX_ROW_BYTES,
    MAX_WRITE_BYTES,
    Effects,
    Record,
    Send,
    SubjectFailed,
    WriteTooLarge,
)
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task import TaskState
from streams.serde.codec import MAX_RECORD_BYTES
from streams.sla.events import Rejection
from streams.sla.instants import DAY
from streams.topics import declared

START = micros("10:00")
LIMITS = {spec.name: int(spec.config()["max.message.bytes"]) for spec in declared()}
INPUTS = [("incident-events", "incidents"), ("contract-events", "ledger")]
HISTORY = [("sla_error_message", b"x" * 4_096)] * 15


def batch_bytes(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
    """The record batch of one record, as the runtime writes it: alone where it is large."""
    builder = BatchBuilder(RuntimeSettings("sla", ()).batch_bytes, 0, is_transactional=1)
    assert builder.append(timestamp=0, key=key, value=value, headers=headers) is not None
    size: int = builder.size()
    return size


def check_writes(cluster: Cluster) -> None:
    """Every record that was sent and every row that was written fits its topic."""
    for send in cluster.sends:
        assert batch_bytes(send.key, send.value, send.headers) < LIMITS[send.topic], send.topic
    for task in cluster.tasks.values():
        for key, value in task.rows.items():
            assert batch_bytes(key, value, []) < LIMITS[f"sla.{task.agent}-changelog"], key


HUGE = 6 * 1024 * 1024
RECORDS: dict[str, dict[str, Any]] = {
    "value": {"value": b"v" * HUGE},
    "headers": {"value": b"v", "headers": [("h", b"x" * HUGE)]},
    "many headers": {"value": b"v", "headers": [("", None)] * 500_000 + [("h", b"x" * HUGE)]},
    "headers without a byte": {"value": b"v", "headers": [("", None)] * 3_000_000},
    "header names of four bytes a character": {"value": b"v", "headers": [("\U0001f600" * 1_500_000, b"")]},
    "key": {"value": b"v", "key": b"k" * HUGE},
    "just too large to be kept": {"value": b"v" * (MAX_ORIGINAL_BYTES + 1), "key": None},
}


@pytest.mark.parametrize(("topic", "agent"), INPUTS)
@pytest.mark.parametrize("what", RECORDS)
def test_a_reject_that_is_too_large_is_kept_as_digest_size_and_coordinates(what: str, topic: str, agent: str) -> None:
    cluster = Cluster(policies())
    fields = {"key": b"subject", "headers": (), **RECORDS[what]}
    record = cluster.put(topic, 1, fields["value"], START, key=fields["key"], headers=fields["headers"])
    (rejected,) = cluster.rejects()
    assert rejected.place == (topic, 1, record.offset)
    assert rejected.send.value is None
    headers = dict(rejected.send.headers)
    assert headers["sla_original_sha256"] == hashlib.sha256(fields["value"]).hexdigest().encode()
    assert int(headers["sla_original_size"]) >= MAX_ORIGINAL_BYTES
    assert rejected.code == "oversize"
    check_writes(cluster)


def test_a_reject_with_as_many_headers_as_are_read_stays_readable() -> None:
    """The headers that say why would be those too many."""
    record = Record("sla.incident-events", 0, 5, 0, b"k", b"v", [("", b"")] * MAX_HEADERS)
    send = rejected(record, "undecodable", "odd", "sla.rejected", 0)
    assert len(send.headers) < MAX_HEADERS
    assert dict(send.headers)["sla_original_size"] == b"%d" % (2 * MAX_HEADERS + 2)


def test_a_reject_that_fits_is_kept_whole() -> None:
    cluster = Cluster(policies())
    value = b"v" * (MAX_ORIGINAL_BYTES - 7)
    cluster.put("incident-events", 1, value, START, key=b"subject")
    (rejected,) = cluster.rejects()
    assert rejected.send.value == value
    check_writes(cluster)


@pytest.mark.parametrize(("topic", "agent"), INPUTS)
def test_a_batch_that_was_not_read_is_rejected_once_with_its_offsets(topic: str, agent: str) -> None:
    cluster = Cluster(policies())
    unread = UnreadBatch.of(3, 1_102, 45_000, "ab" * 32, 1)
    cluster.put(topic, 0, unread, START, key=None)
    (rejected,) = cluster.rejects()
    assert rejected.code == "oversize"
    headers = dict(rejected.send.headers)
    assert headers["sla_original_first_offset"] == b"3"
    assert headers["sla_original_size"] == b"45000"
    assert headers["sla_original_sha256"] == b"ab" * 32
    assert "offsets 3 to 1102" in rejected.message


@pytest.mark.parametrize("line", [opened("10:00"), contract("09:00")], ids=["incidents", "ledger"])
def test_a_forwarded_record_fits_and_one_with_too_large_an_envelope_is_rejected(line: dict[str, Any]) -> None:
    cluster = Cluster(policies())
    ready = ready_of(line)
    elsewhere = (cluster.own(ready.subject) + 1) % 4
    cluster.put(ready.topic, elsewhere, ready.value, START, key=b"another", headers=HISTORY)
    assert cluster.rejects() == []
    assert [send for send in cluster.sends if dict(send.headers).get("sla_kind") == b"forwarded"]
    assert sum(len(name) + len(text) for name, text in HISTORY) < MAX_ENVELOPE_BYTES
    cluster.put(ready.topic, elsewhere, ready.value, START, key=b"another", headers=[*HISTORY, *HISTORY])
    (rejected,) = cluster.rejects()
    assert rejected.code == "oversize"
    assert "key and headers have" in rejected.message
    assert rejected.send.value == ready.value
    check_writes(cluster)


def test_the_row_of_an_input_that_waits_for_its_opening_fits() -> None:
    cluster = Cluster(policies())
    line = updated("10:00", text="é" * 2_000)
    record = cluster.publish(line, START)
    assert len(record.value or b"") < MAX_RECORD_BYTES
    headers = [*HISTORY, ("large", b"x" * (MAX_ENVELOPE_BYTES - 16 * 4_200))]
    own = cluster.own("inc")
    cluster.put("incident-events", own, ready_of(responded("10:01")).value, START, key=b"inc", headers=headers)
    cluster.put("incident-events", own, ready_of(responded("10:02")).value, START, key=b"inc", headers=headers * 2)
    assert cluster.codes() == ["oversize"]
    assert len(cluster.rows(INCIDENTS, BUFFERED)) == 2
    check_writes(cluster)
    cluster.pass_time(START + 2 * DAY)
    assert sorted(cluster.codes()) == ["orphan", "orphan", "oversize"]
    check_writes(cluster)


def test_copies_for_many_tenants_and_partitions_fit() -> None:
    cluster = Cluster(policies())
    tenants = [f"{number:04}-{'t' * 120}" for number in range(1_000)]
    cluster.publish(opened("10:00", tenants=tenants), START)
    cluster.publish(maintenance("10:00", "11:00", "12:00", tenants=tenants), START)
    assert cluster.rejects() == []
    check_writes(cluster)
    assert len(cluster.rows(LEDGER, IMPACTS)) >= 1


def test_the_largest_impact_list_may_wait_for_earlier_inputs() -> None:
    """Its row also has the headers of the copy."""
    cluster = Cluster(policies(), partitions=1)
    cluster.clock.instant = START + 90 * DAY
    cluster.publish(opened("10:00"), START)
    (copy,) = [each for each in cluster.sends if each.topic == "sla.ledger-internal" and each.key == b"inc"]
    decoded = cluster.codec.decode(copy.value, MAX_WRITE_BYTES)
    assert not isinstance(decoded, Rejection)
    kind, fields = decoded
    fields["incident_revision"] += 1
    (interval,) = fields["intervals"]
    tenants = ["t", *(f"{number:04}-{'t' * 100}" for number in range(999))]
    fields["intervals"] = [interval | {"tenant_ids": tenants} for _ in range(39)]
    room = MAX_WRITE_BYTES - len(cluster.codec.encode(kind, fields))
    fields["subject"] += "x" * room
    excess = len(cluster.codec.encode(kind, fields)) - MAX_WRITE_BYTES
    fields["subject"] = fields["subject"][: len(fields["subject"]) - excess]
    value = cluster.codec.encode(kind, fields)
    assert len(value) == MAX_WRITE_BYTES
    cluster.put("ledger-internal", 0, value, START + 1, key=copy.key, headers=copy.headers)
    assert cluster.codes() == []
    assert len(cluster.rows(LEDGER, "@early")) == 2
    check_writes(cluster)
    cluster.publish(erased("10:05", of="t"), START + 2)  # its pseudonym is longer
    assert cluster.codes() == []
    cluster.rebuild_all()
    cluster.pass_time(START + 90 * DAY)
    assert cluster.codes() == []
    assert len(cluster.rows(LEDGER, IMPACTS)) == 1
    check_writes(cluster)


class Large(Diary):
    """Writes more than Kafka takes when it is told to, as an output or as a row, on a record or on a timer."""

    def apply(self, record: Record, effects: Effects) -> None:
        super().apply(record, effects)
        if record.value == b"output":
            effects.send(Send("out", 0, b"k", b"x" * (MAX_WRITE_BYTES + 1), []))
        if record.value == b"row":
            effects.put(b"row", b"x" * (MAX_ROW_BYTES + 1))

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        if self.due and self.due[0] == 30_000 and self.due[0] < before:
            try:
                effects.send(Send("out", 0, b"k", b"x" * (MAX_WRITE_BYTES + 1), []))
            except WriteTooLarge as error:
                raise SubjectFailed("30000") from error
        return super().fire(before, limit, effects)


@pytest.mark.parametrize(("what", "limit"), [("output", MAX_WRITE_BYTES), ("row", MAX_ROW_BYTES)])
def test_an_input_whose_output_or_row_is_too_large_is_rejected_alone(what: str, limit: int) -> None:
    async def scenario() -> None:
        bench = Bench(make=Large)
        for value in ("a", what, "b"):
            bench.log.append("in", 1, value)
        task = bench.start()
        for seconds in range(1, 8):
            await bench.settle()
            await bench.tick(10_000 * seconds)
        assert task.state is TaskState.RUNNING
        said = bench.log.values()
        assert (said[0], said[-1]) == ("1 a @1", "2 b @1")
        (rejected,) = [each for each in said if each.startswith("rejected internal in@1")]
        assert f"{limit + 1:,} bytes; at most {limit:,} are allowed" in rejected
        await task.stop()

    run(scenario)


def test_a_timer_whose_output_is_too_large_is_quarantined_alone() -> None:
    async def scenario() -> None:
        bench = Bench(make=Large)
        bench.log.append("in", 1, "timer:30")
        bench.log.append("in", 1, "timer:40")
        task = bench.start()
        for seconds in range(1, 8):
            await bench.settle()
            await bench.tick(10_000 * seconds)
        assert task.state is TaskState.RUNNING
        assert [each.split(" after")[0] for each in bench.log.values()[2:]] == ["quarantined 30000", "due 40"]
        await task.stop()

    run(scenario)


def test_the_limit_leaves_room_for_key_and_headers_in_every_topic() -> None:
    written = {name: limit for name, limit in LIMITS.items() if not name.endswith("-events")}
    assert min(written.values()) >= MAX_WRITE_BYTES + MAX_ENVELOPE_BYTES + 512 * 1024
    assert MAX_ROW_BYTES >= MAX_WRITE_BYTES + 2 * MAX_ENVELOPE_BYTES, "a row may hold a record with its envelope"
    assert min(written.values()) >= MAX_ROW_BYTES + 512 * 1024
