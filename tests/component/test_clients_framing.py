"""Publishers, consumers and the intake with a schema registry: framed, waiting in its outage, told what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from intake_bench import run as run_async
from registry_server import TROUBLES, FakeRegistry
from test_client_consuming import FakeBroker, credit, ids, names, subscribed
from test_client_publishing import KIM, FakeProducer
from test_intake_publishing import World, until, world

from cli.events.publish_lines import prepare
from connect.client import IncidentPublisher, RegistryRefused, RegistryUnavailable, UndecodableRecord
from connect.intake.kafka_producer import KafkaPublisher
from connect.intake.kafka_records import REJECTED_TOPIC, OutgoingRecord
from connect.intake.record_publisher import Unavailable
from schemas import registry as schema_files
from streams.schema_registry.client import RegistryClient
from streams.schema_registry.schema_source import reading_codec, writing_frame
from streams.schema_registry.subjects import INPUT_TYPES, subject_of
from streams.serde.codec import Codec, decode
from streams.serde.confluent_framing import Framing
from streams.serde.input_records import InputRecord
from streams.sla.events import Rejection
from tests.waiting import wait

__all__ = ["world"]

RESPONDED = "incident.responded"


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def written(producer: FakeProducer) -> list[bytes]:
    return [record["value"] for _, record, _ in producer.sent]


def test_a_publisher_registers_and_frames(server: FakeRegistry) -> None:
    producer = FakeProducer()
    with IncidentPublisher("k:1", "/desk", producer=producer, prefix="eu", schema_registry=server.access()) as desk:
        asked = len(server.requests)
        for number in range(3):
            desk.responded(f"inc-{number}", who=KIM)
    assert len(server.requests) == asked, "events cost no questions"
    assert set(server.subjects) == {subject_of(each, "eu") for each in INPUT_TYPES}
    (schema_id,) = server.subjects[subject_of(RESPONDED, "eu")]
    codec = reading_codec(server.access())
    for value in written(producer):
        assert value[:5] == b"\0" + schema_id.to_bytes(4, "big")
        decoded = codec.decode(value)
        assert not isinstance(decoded, Rejection)
        assert decoded[0] == RESPONDED


def test_a_publisher_that_may_not_write_so_asks_nothing(server: FakeRegistry) -> None:
    producer = FakeProducer()
    with IncidentPublisher("k:1", "/d", producer=producer, schema_registry=server.access(write=False)) as desk:
        desk.responded("inc-1", who=KIM)
    assert not isinstance(decode(written(producer)[0]), Rejection)
    assert server.requests == []


def test_a_publisher_is_refused_at_its_start(server: FakeRegistry) -> None:
    server.incompatible = True
    with pytest.raises(RegistryRefused, match="takes a field away"):
        IncidentPublisher("k:1", "/desk", producer=FakeProducer(), schema_registry=server.access())
    server.broken = TROUBLES["500"]
    with pytest.raises(RegistryUnavailable, match="store is away"):
        writing_frame(server.access(), "sla", INPUT_TYPES, 0.0)


def test_a_consumer_waits_for_the_registry_and_loses_nothing(server: FakeRegistry) -> None:
    access = server.access()
    schema_id = server.add(schema_files.load().latest["credit.issued"].definition)
    framing = Framing({"credit.issued": schema_id})
    broker = FakeBroker([credit("c0"), framing(credit("c1")), credit("c2")])
    server.troubles.extend([TROUBLES["500"], TROUBLES["drop"]])
    codec = Codec(RegistryClient(access))
    assert ids(subscribed(broker.consumer(), decode=codec.decode)) == names(3)
    assert broker.committed == 3


def test_a_consumer_that_waits_can_be_stopped_and_gets_the_event_again(server: FakeRegistry) -> None:
    framing = Framing({"credit.issued": 1})
    broker = FakeBroker([credit("c0"), framing(credit("c1"))])
    server.broken = TROUBLES["500"]
    credits_ = subscribed(broker.consumer(), decode=Codec(RegistryClient(server.access())).decode)

    def stop_while_it_waits() -> None:
        wait(lambda: server.requests)
        credits_.stop()

    threading.Thread(target=stop_while_it_waits).start()
    assert ids(credits_) == names(1)
    assert broker.committed == 1
    server.broken = None
    with pytest.raises(UndecodableRecord, match="has no schema id 1"):
        ids(subscribed(broker.consumer(), decode=Codec(RegistryClient(server.access())).decode))
    assert broker.committed == 1


def test_the_intake_takes_nothing_before_it_knows_how_to_write(world: World, server: FakeRegistry) -> None:
    line = (
        '{"specversion":"1.0","id":"r","type":"incident.responded","source":"/m","subject":"inc-1",'
        '"time":"2026-03-02T10:00:00Z","data":{"who":{"kind":"support"}}}'
    )
    ready = prepare(1, line)
    assert isinstance(ready, InputRecord)
    record = OutgoingRecord(ready.topic, ready.subject, ready.value, ready.headers)

    async def scenario() -> None:
        server.broken = TROUBLES["500"]
        access = server.access()
        publisher = KafkaPublisher(
            world.make, "sla", 10_000, 1.0, lambda: writing_frame(access, "sla", [RESPONDED], 0.0)
        )
        publisher.start()
        await until(lambda: "store is away" in str(publisher.unready()))
        with pytest.raises(Unavailable, match="store is away"):
            await publisher.publish([record])
        assert world.made == []
        server.broken = None
        await until(lambda: publisher.unready() is None)
        await publisher.publish([record, OutgoingRecord(REJECTED_TOPIC, "m", ready.value, [])])
        framed, untouched = world.made[0].values
        assert framed == Framing({RESPONDED: 1})(ready.value) != ready.value
        assert untouched == ready.value
        await publisher.stop()

    run_async(scenario)
