"""The alert consumer over a fake Kafka: what it reads, passes over, decodes and counts, backpressure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, ROWS, Desk, Record
from structlog.testing import capture_logs

from connect.notify import alert_consumer, delivery_queue
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import (
    StoredPages,
    pending_row,
)
from connect.notify.read_records import ReadRecords
from connect.notify.trigger_reader import TriggerReader
from schemas import registry
from streams.runtime.processor import RetryLater
from streams.serde.codec import SINGLE_OBJECT_HEAD, Codec, confluent_head, encode
from tests.page_triggers import event, value_of

MIB = 1024 * 1024


def test_rows_are_kept_before_offsets_are_committed() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.open.clear()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-2", severity="P3")))  # no route leads it here
        await desk.start()
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)
        assert desk.kafka.steps == ["rows", "commit"]
        await desk.until(lambda: desk.heard)
        assert desk.heard == ["breached-inc-1--"]
        assert desk.ready == 1

    play(scenario)


def test_rubbish_is_counted_told_with_its_place_and_passed_over() -> None:
    async def scenario() -> None:
        desk = Desk()
        with capture_logs() as logs:
            await desk.start()
            good = value_of(event("breached"))
            state = encode("state.quiet", {"until": 1})
            for value in (None, b"", b"\xff" * 9, good[:-1], good + b"x", b"\x00\x00\x00\x00\x07x", state):
                desk.kafka.put(ALERTS, value)
                desk.kafka.put(INCIDENTS, value)
            desk.kafka.put(ROWS, b"\xff", key=b"d\x1fretry\x1fx")
            desk.kafka.put(ROWS, b"\xff", key=b"\xff")
            desk.kafka.put(ROWS, None, key=None)
            desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-9")))
            desk.kafka.put(ALERTS, good)
            await desk.until(lambda: desk.heard == ["breached-inc-1--"])
            await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 8, INCIDENTS: 8})
            await desk.until(lambda: desk.unreadable() == 15)
        assert {log["where"] for log in logs if "where" in log} >= {"sla.alerts/0/0", "sla.incidents/0/6"}

    play(scenario)


def test_an_alert_whose_rows_could_not_be_written_is_passed_over() -> None:
    """Kafka refuses a row of more than 5 MiB: the worker would read the same alert again for ever. Nothing that the
    workers write comes near; JSON has six bytes for a control character."""

    async def scenario() -> None:
        desk = Desk()
        with capture_logs() as logs:
            await desk.start()
            desk.kafka.put(ALERTS, value_of(event("breached", component="\x01" * MIB)))
            desk.kafka.put(ALERTS, value_of(event("breached", "i" * MIB)))
            desk.kafka.put(ALERTS, value_of(event("breached", "inc-2", component="c" * MIB)))
            message = Message("m", "trigger", "response/1", event("breached", "inc-3", summary="m" * 5 * MIB), 0, 0, 0)
            row = pending_row("d", "inc-3", message)
            desk.kafka.put(ROWS, row.value, key=b"d\x1fretry\x1fm")
            await desk.until(lambda: desk.heard == ["breached-inc-2--"])
            await desk.until(lambda: desk.unreadable() == 3)
        reasons = [str(log["reason"]) for log in logs if log["event"] == "record_unreadable"]
        assert any("bytes; at most 2,097,152 are allowed" in each for each in reasons)
        assert any("incident's id has 1,048,576 characters; at most 1,024 are allowed" in each for each in reasons)
        stored = StoredPages("d")
        stored.read(row.key, row.value)
        assert (stored.unreadable, list(stored.pages())) == (1, [])

    play(scenario)


def test_a_topic_full_of_rubbish_is_counted_and_does_not_fill_the_log() -> None:
    metrics = NotifyMetrics()
    reader = TriggerReader("d", Codec(), metrics)
    with capture_logs() as logs:
        for offset in range(2_500):
            assert reader.trigger(Record("sla.alerts", 0, offset, 0, b"k", b"\xff")) is None
    assert metrics.registry.get_sample_value("sla_notify_unreadable_total", {"destination": "d"}) == 2_500
    assert [log["skipped"] for log in logs] == [*range(1, 21), 1_000, 2_000]


def test_alerts_that_kafka_deleted_before_they_were_read_are_told_and_counted() -> None:
    """The client of Kafka goes on at the first record that is left, and says nothing."""

    async def scenario() -> None:
        desk = Desk()
        for number in range(30):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")))
        desk.kafka.committed_at[ALERTS], desk.kafka.first[ALERTS] = 5, 20
        with capture_logs() as logs:
            await desk.start()
            await desk.until(lambda: len(desk.heard) == 10)
            await desk.until(lambda: any(log["event"] == "records_expired" for log in logs))
        told = [log for log in logs if log["event"] == "records_expired"]
        assert [(log["topic"], log["partition"], log["first"], log["next"]) for log in told] == [
            ("sla.alerts", 0, 5, 20)
        ]
        count = desk.bench.metrics.registry.get_sample_value("sla_notify_expired_total", {"destination": "d"})
        assert count == 15

    play(scenario)


class Awaited:
    """A schema registry that answers when it is told to."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def schema_for(self, schema_id: int) -> object | None:
        if not self.answered.done():
            raise RetryLater(f"schema id {schema_id} is not known yet", self.answered)
        return registry.load().latest["sla.breached"].definition if schema_id == 7 else None


def test_an_alert_whose_schema_the_registry_has_not_told_yet_is_waited_for_and_lets_partitions_move() -> None:
    async def scenario() -> None:
        schemas = Awaited()
        desk = Desk(codec=Codec(schemas))
        good = value_of(event("breached"))
        desk.kafka.put(ALERTS, confluent_head(7) + good[SINGLE_OBJECT_HEAD:])
        desk.kafka.put(ALERTS, confluent_head(8) + good[SINGLE_OBJECT_HEAD:])
        await desk.start()
        await desk.until(lambda: desk.kafka.at[ALERTS] == 2)
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        assert (desk.heard, desk.kafka.committed_at, desk.unreadable()) == ([], {}, None)
        schemas.answered.set_result(None)
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        assert desk.unreadable() == 1  # the registry has no id 8

    play(scenario)


def test_an_alert_is_told_with_the_summary_of_an_opening_that_is_read_only_then() -> None:
    class Late(IncidentSummaries):
        async def catch_up(self) -> None:
            self.add("inc-1", "Login fails")

    async def scenario() -> None:
        desk = Desk(summaries=Late())
        desk.kafka.put(ALERTS, value_of(event("breached")), key=b"inc-1")
        await desk.start()
        await desk.until(lambda: desk.heard)
        assert desk.bench.sender.messages[0].event["data"]["summary"] == "Login fails"

    play(scenario)


def test_a_worker_that_is_full_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queue, "MOST_PENDING", 20)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.open.clear()
        for number in range(200):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")))
        await desk.start()
        await desk.until(lambda: desk.kafka.held == desk.kafka.assignment())
        measured, of = desk.bench.metrics.registry.get_sample_value, {"destination": "d"}
        await desk.until(lambda: measured("sla_notify_behind_records", of) == 180)
        assert desk.bench.delivery.pending == 20
        assert desk.kafka.committed_at[ALERTS] == 20
        desk.bench.sender.open.set()
        await desk.until(lambda: len(desk.heard) == 200)
        assert desk.bench.sender.most_at_once == 4

    play(scenario)


def test_a_destination_that_is_gone_stops_its_worker() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.bench.delivery.health.disabled = "HTTP 410"
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await desk.until(lambda: desk.kafka.held == desk.kafka.assignment())
        assert desk.heard == []

    play(scenario)


def test_a_backlog_is_read_with_pauses_for_the_heartbeats_of_all_destinations() -> None:
    """Thirty destinations that each decoded hundreds of records in one go held the loop up for so long that Kafka took
    them all for dead, again and again."""

    async def scenario() -> None:
        desk = Desk(severities=frozenset({"P4"}))  # routed elsewhere, as most are
        for number in range(200):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        pauses, longest, before = 0, 0, 0
        read = desk.consumer._reader.trigger
        decoded = 0

        def counted(record: Any) -> Any:
            nonlocal decoded
            decoded += 1
            return read(record)

        desk.consumer._reader.trigger = counted  # type: ignore[method-assign]
        await desk.start()
        while decoded < 200:
            await asyncio.sleep(0)
            pauses, longest, before = pauses + 1, max(longest, decoded - before), decoded
        assert longest <= 40
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 200)

    play(scenario)


def test_a_record_is_decoded_once_for_all_destinations() -> None:
    shared, metrics = ReadRecords(most=4_000), NotifyMetrics()
    readers = [TriggerReader(name, Codec(), metrics, shared) for name in ("a", "b")]
    record = Record("sla.alerts", 0, 7, 5, b"inc-1", value_of(event("breached")))
    first = readers[0].trigger(record)
    assert first is not None
    assert readers[1].trigger(record) is first
    assert readers[1].trigger(record._replace(offset=8)) is not first
    wrong = record._replace(offset=9, value=b"rubbish")
    for reader in readers:
        assert reader.trigger(wrong) is None
    for name in ("a", "b"):  # each destination says that it has skipped it
        assert metrics.registry.get_sample_value("sla_notify_unreadable_total", {"destination": name}) == 1
    for offset in range(6_000):
        readers[0].trigger(record._replace(offset=offset))
    assert 2_000 <= len(shared._short) <= 4_000
    assert len(shared._whole) <= 5_000
    assert shared.in_short(record._replace(offset=5_999)) is not None
    anew = record._replace(offset=5_999, timestamp=6)  # of a topic that was made anew
    assert (shared.in_short(anew), shared.whole(anew)) == (None, None)


@pytest.mark.parametrize("framed", [False, True], ids=["plain", "registry"])
def test_what_does_not_concern_a_destination_is_passed_over_undecoded(framed: bool) -> None:
    """Another destination of the process has read it: with many destinations few alerts concern each. What is routed
    here is delivered, and an end where there is a page, also one that an alert behind it has opened meanwhile."""

    class Known:
        def schema_for(self, schema_id: int) -> object | None:
            return registry.load().latest[("sla.breached", "sla.met", "incident.closed")[schema_id]].definition

    def framed_value(name: str, incident: str, **data: Any) -> bytes:
        value = value_of(event(name, incident, **data))
        number = ("breached", "met", "closed").index(name)
        return confluent_head(number) + value[SINGLE_OBJECT_HEAD:] if framed else value

    async def scenario() -> None:
        codec = Codec(Known()) if framed else Codec()
        desk = Desk("webhook", codec)
        known, routing = ReadRecords(), desk.consumer._routing
        reader = TriggerReader("d", codec, desk.bench.metrics, known)
        desk.consumer._reader = reader
        for number in range(10):
            severity = "P1" if number == 3 else "P3"
            desk.kafka.put(ALERTS, framed_value("breached", f"inc-{number}", severity=severity), at=5)
        for number in range(10):
            desk.kafka.put(ALERTS, framed_value("met", f"inc-{number}"), at=6)
        for number in (3, 4):
            desk.kafka.put(INCIDENTS, framed_value("closed", f"inc-{number}"), at=7)
        other = TriggerReader("other", codec, NotifyMetrics(), known)
        for where in (ALERTS, INCIDENTS):
            for record in desk.kafka.logs[where]:
                found = other.trigger(record)
                assert found is not None
                if found.action == "trigger":
                    routing.destinations_for(found, 0, record.offset)
        known._whole.clear()
        decoded = list[int]()
        decode = codec.decode
        codec.decode = lambda *given: decoded.append(1) or decode(*given)  # type: ignore[assignment,method-assign,func-returns-value]
        await desk.start()
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 20, INCIDENTS: 2})
        await desk.until(lambda: desk.heard == ["breached-inc-3--", "met-inc-3--"])
        assert len(decoded) == (13 if framed else 3)  # of values with a schema's id also the ends

    play(scenario)
