"""The way to Kafka over a producer that the test holds: timeouts, bounded memory, a broken producer made anew."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from heartbeat_bench import MAPPING as HEARTBEATS
from intake_bench import NOW, ROOT, SECRETS, HandClock, recorded, run, served, token
from structlog.testing import capture_logs

from connect.intake import kafka_producer, kafka_time, service
from connect.intake.kafka_producer import KafkaPublisher
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.record_publisher import Unavailable
from connect.intake.settings import IntakeSettings
from connect.intake.web.openapi_examples import EXAMPLES
from streams.config_files.reload import ConfigReload
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_shape import TopicShape
from streams.serde.confluent_framing import Framing
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.instants import HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339
from tests.waiting import in_virtual_time, until

PARTITIONS = 5


#: By the clock of the writer, as records of topics without events are stamped.
ACKNOWLEDGED = SimpleNamespace(timestamp=0, timestamp_type=0)


class FakeProducer:
    """An AIOKafkaProducer as far as it is used; its records are acknowledged by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = self
        self.sent: list[tuple[str, int, asyncio.Future[object]]] = []
        self.values: list[bytes] = []
        self.stopped = False

    async def start(self) -> None:
        if self.world.defects:
            raise self.world.defects.pop()
        if self.world.away:
            raise KafkaConnectionError("away")

    async def stop(self) -> None:
        self.stopped = True

    async def send(self, topic: str, *, partition: int, value: bytes, **_: object) -> asyncio.Future[object]:
        if self.world.refuses is not None:
            raise self.world.refuses
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, partition, future))
        self.values.append(value)
        if self.world.prompt:
            future.set_result(ACKNOWLEDGED if self.world.kafka_ms is None else appended(self.world.kafka_ms()))
        return future

    async def fetch_all_metadata(self) -> FakeProducer:
        return self

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return None if topic in self.world.absent else set(range(PARTITIONS))


class World:
    """What the producers of a test meet."""

    def __init__(self) -> None:
        self.away = False
        self.prompt = True
        self.kafka_ms: Callable[[], int] | None = None
        """The clock of Kafka; None where it stamps no records."""
        self.absent: set[str] = set()
        self.refuses: BaseException | None = None
        self.made: list[FakeProducer] = []
        self.defects: list[BaseException] = []
        """Raised when producers start, the last one first."""

    def make(self) -> FakeProducer:
        self.made.append(FakeProducer(self))
        return self.made[-1]


async def no_look(_: TopicShape) -> None:
    """A client's thread would look for a broker on and on, and disturb the tests that follow in the process."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(kafka_producer, "_CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(TopicShape, "look", no_look)
    return World()


def record(key: str = "inc-1", size: int = 100) -> OutgoingRecord:
    return OutgoingRecord("incident-events", key, b"x" * size, [])


def appended(milliseconds: int) -> SimpleNamespace:
    """An acknowledgement with the time of Kafka."""
    return SimpleNamespace(timestamp=milliseconds, timestamp_type=1)


def publisher_of(world: World, limit: int = 10_000, timeout_s: float = 0.05) -> KafkaPublisher:
    publisher = KafkaPublisher(world.make, "sla", limit, timeout_s)
    publisher._framing = Framing()  # else a thread makes it, and virtual time is without threads
    return publisher


def test_records_go_to_their_own_partitions(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world)
        with pytest.raises(Unavailable, match="not connected"):
            await publisher.publish([record()])
        publisher.start()
        await until(lambda: publisher.unready() is None)
        keys = [f"inc-{number}" for number in range(20)]
        await publisher.publish([record(key) for key in keys])
        found = [(topic, partition) for topic, partition, _ in world.made[0].sent]
        assert found == [("sla.incident-events", partition_of(key, PARTITIONS)) for key in keys]
        await until(lambda: publisher.in_flight.reserved == 0)
        await publisher.stop()
        assert world.made[0].stopped

    in_virtual_time(scenario)


def test_what_kafka_does_not_answer_is_told_in_time_and_held_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "_STUCK_TIMEOUTS", 10_000)

    async def scenario() -> None:
        publisher = publisher_of(world, limit=1_000)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        with pytest.raises(Unavailable, match="not acknowledged within"):
            await publisher.publish([record(size=300), record(size=300)])
        assert publisher.unready() is not None
        held = publisher.in_flight.reserved
        assert held > 600
        with pytest.raises(Unavailable, match="at most 1,000 are allowed"):
            await publisher.publish([record(size=300)])
        assert publisher.in_flight.reserved == held
        for _, _, future in world.made[0].sent:
            future.set_result(ACKNOWLEDGED)  # the broker is back
        await until(lambda: publisher.in_flight.reserved == 0)
        await until(lambda: publisher.unready() is None)
        assert len(world.made) == 1
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_client_of_kafka_that_cancels_a_request_is_told_as_unavailable(world: World) -> None:
    """aiokafka lets the cancellation of its own tasks out; the sender gets an answer, and a cancellation stays one."""

    async def scenario() -> None:
        publisher = publisher_of(world, timeout_s=60)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.refuses = asyncio.CancelledError()
        with pytest.raises(Unavailable, match="the connection to Kafka was replaced"):
            await publisher.publish([record()])
        await until(lambda: publisher.in_flight.reserved == 0)
        world.refuses, world.prompt = None, False
        waiting = asyncio.create_task(publisher.publish([record()]))
        await until(lambda: bool(world.made[0].sent))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await publisher.stop()

    in_virtual_time(scenario)


def test_large_requests_that_wait_for_kafka_leave_room_for_small_ones(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world, limit=1 << 20, timeout_s=60)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        waiting = [asyncio.create_task(publisher.publish([record(size=700_000)]))]
        await until(lambda: len(world.made[0].sent) == 1)
        with pytest.raises(Unavailable, match="bytes wait for Kafka"):
            await publisher.publish([record(size=200_000)])
        waiting += [asyncio.create_task(publisher.publish([record(size=60_000)])) for _ in range(4)]
        await until(lambda: len(world.made[0].sent) == 5)
        for _, _, future in world.made[0].sent:
            future.set_result(ACKNOWLEDGED)
        await asyncio.gather(*waiting)
        world.prompt = True
        await publisher.publish([record(size=1_000_000)])  # one alone may be as large as all of it
        await until(lambda: publisher.in_flight.reserved == 0)
        await publisher.stop()

    in_virtual_time(scenario)


def test_records_of_some_senders_that_wait_for_kafka_leave_room_for_every_other_one(world: World) -> None:
    """As those of a partition without a leader: its senders try again and again."""

    async def scenario() -> None:
        publisher = publisher_of(world, limit=1 << 20, timeout_s=60)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        waiting: list[asyncio.Task[None]] = []

        async def sent(sender: str, count: int) -> int:
            """How many of small requests found room."""
            before, started = len(world.made[0].sent), len(waiting)
            for _ in range(count):
                request = publisher.publish([record(size=1_000)._replace(sender=sender)])
                waiting.append(asyncio.create_task(request))
            await until(lambda: len(world.made[0].sent) - before + sum(t.done() for t in waiting[started:]) == count)
            return len(world.made[0].sent) - before

        assert 250 < await sent("loud", 1_000) < 400
        assert await sent("louder", 1_000) > 150
        for name in range(5):
            assert await sent(f"quiet-{name}", 50) > 20
        assert publisher.in_flight.reserved < 1 << 20
        for _, _, future in world.made[0].sent:
            future.set_result(ACKNOWLEDGED)
        refused = [each for each in await asyncio.gather(*waiting, return_exceptions=True) if each is not None]
        assert {type(each) for each in refused} == {Unavailable}
        assert all(re.search(r"and [1-9][\d,]* are of (loud|louder|quiet-\d): each", str(each)) for each in refused)
        await until(lambda: publisher.in_flight.reserved == 0)
        assert not publisher._shares._used
        world.prompt = True
        await publisher.publish([record(size=1_000_000)._replace(sender="loud")])  # one alone may be as large as all
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_producer_that_broke_or_hangs_is_made_anew_and_nothing_stays_held(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.refuses = KafkaError("a fatal error of the producer")
        with pytest.raises(Unavailable, match="a fatal error"):
            await publisher.publish([record(), record()])
        await until(lambda: publisher.in_flight.reserved == 0)
        world.refuses = None
        await until(lambda: len(world.made) == 2 and publisher.unready() is None)
        await until(lambda: world.made[0].stopped)
        world.prompt = False
        with pytest.raises(Unavailable):
            await publisher.publish([record()])
        await until(lambda: len(world.made) == 3 and publisher.in_flight.reserved == 0)  # it waited for four timeouts
        world.prompt = True
        await until(lambda: publisher.unready() is None)
        await publisher.publish([record()])
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_leader_that_hangs_leaves_the_intake_ready_while_others_acknowledge(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world, timeout_s=0.2)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        with capture_logs() as logs:
            for number in (1, 3):
                world.prompt = False
                hanging = asyncio.create_task(publisher.publish([record("a")]))
                await until(lambda: len(world.made[0].sent) == number)  # noqa: B023 -- awaited in this turn
                world.prompt = True
                await publisher.publish([record("b")])
                with pytest.raises(Unavailable, match="not acknowledged within"):
                    await hanging
                assert publisher.unready() is None
        assert [entry["event"] for entry in logs] == ["kafka_acknowledgement_late"]
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_broker_that_does_not_tell_of_topics_leaves_the_intake_ready_while_others_acknowledge(world: World) -> None:
    async def scenario() -> None:
        shape: Any = SimpleNamespace(problem=None, answered=True)
        publisher = KafkaPublisher(world.make, "sla", 10_000, 5, topics=shape)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        shape.problem, shape.answered = "Kafka does not answer in time", False
        assert publisher.unready() == "Kafka does not answer in time"
        await publisher.publish([record()])
        assert publisher.unready() is None
        shape.problem, shape.answered = "there is no topic sla.rejected", True
        assert publisher.unready() == "there is no topic sla.rejected"
        await publisher.stop()

    run(scenario)


def test_a_broker_that_answers_makes_the_intake_ready_only_once_something_is_acknowledged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata come from any broker, while the leader of all that is sent hangs: ready and not ready in turn."""
    monkeypatch.setattr(kafka_producer, "_STUCK_TIMEOUTS", 10_000)

    async def scenario() -> None:
        publisher = publisher_of(world)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        looks = 0
        fetch = FakeProducer.fetch_all_metadata

        async def counted(self: FakeProducer) -> FakeProducer:
            nonlocal looks
            looks += 1
            return await fetch(self)

        monkeypatch.setattr(FakeProducer, "fetch_all_metadata", counted)
        with capture_logs() as logs:
            with pytest.raises(Unavailable):
                await publisher.publish([record()])
            await until(lambda: looks > 5)
            assert publisher.unready() is not None
            world.made[0].sent[0][2].set_result(ACKNOWLEDGED)
            await until(lambda: publisher.unready() is None)
        assert [entry["event"] for entry in logs] == ["kafka_acknowledgement_failed", "kafka_available"]
        await publisher.stop()

    in_virtual_time(scenario)


def test_requests_go_on_while_a_producer_with_a_record_that_hangs_is_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        ending, ended = asyncio.Event(), asyncio.Event()

        async def stop(self: FakeProducer) -> None:
            ending.set()
            await ended.wait()
            self.stopped = True

        monkeypatch.setattr(FakeProducer, "stop", stop)
        world.prompt = False
        with pytest.raises(Unavailable):
            await publisher.publish([record("a")])
        await until(lambda: len(world.made[0].sent) == 1)
        under_way = asyncio.create_task(publisher.publish([record("b")]))
        await until(lambda: len(world.made[0].sent) == 2)
        world.made[0].sent[1][2].set_result(ACKNOWLEDGED)
        await under_way
        world.prompt = True
        await ending.wait()
        assert len(world.made) == 2
        await publisher.publish([record("c")])
        assert len(world.made[1].sent) == 1
        ended.set()
        await until(lambda: publisher.in_flight.reserved == 0)
        assert world.made[0].stopped
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_failure_of_one_record_fails_them_all_and_a_size_breaks_nothing(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world, timeout_s=5)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.refuses = MessageSizeTooLargeError("too large")
        with pytest.raises(Unavailable, match="of that size"):
            await publisher.publish([record()])
        assert publisher.unready() is None
        world.refuses, world.prompt = None, False
        asked = asyncio.create_task(publisher.publish([record("a"), record("b")]))
        await until(lambda: len(world.made[0].sent) == 2)
        first, second = (future for _, _, future in world.made[0].sent)
        first.set_result(ACKNOWLEDGED)
        second.set_exception(KafkaError("no leader"))
        with pytest.raises(Unavailable, match="no leader"):
            await asked
        await until(lambda: publisher.in_flight.reserved == 0)
        await publisher.stop()

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    "error", [TopicAuthorizationFailedError, NotLeaderForPartitionError, LeaderNotAvailableError, InvalidTimestampError]
)
def test_a_topic_without_permission_or_leader_fails_its_own_requests_only(
    world: World, error: Callable[[str], KafkaError]
) -> None:
    """A denied topic, or a partition that no broker leads, answers with an error; records of others, under way at the
    same time, are acknowledged."""

    async def scenario() -> None:
        publisher = publisher_of(world, timeout_s=5)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        incidents = asyncio.create_task(publisher.publish([record("a"), record("b")]))
        await until(lambda: len(world.made[0].sent) == 2)
        contracts = OutgoingRecord("contract-events", "acme", b"x", [])
        with capture_logs() as logs:
            for number in (3, 4):
                denied = asyncio.create_task(publisher.publish([contracts]))
                await until(lambda: len(world.made[0].sent) == number)  # noqa: B023 -- awaited in this turn
                world.made[0].sent[-1][2].set_exception(error("sla.contract-events"))
                with pytest.raises(Unavailable, match=r"refuses a record of sla\.contract-events"):
                    await denied
            await asyncio.sleep(0.05)  # the supervisor has looked after the connection several times
        assert [entry["event"] for entry in logs] == ["kafka_topic_refused"]
        assert len(world.made) == 1
        assert publisher.unready() is None
        for _, _, future in world.made[0].sent[:2]:
            future.set_result(ACKNOWLEDGED)
        await incidents
        await until(lambda: publisher.in_flight.reserved == 0)
        await publisher.stop()

    in_virtual_time(scenario)


def test_it_waits_for_a_broker_and_for_topics(world: World) -> None:
    async def scenario() -> None:
        world.away, world.absent = True, {"sla.rejected"}
        publisher = publisher_of(world)
        publisher.start()
        await until(lambda: "away" in (publisher.unready() or ""))
        world.away = False
        await until(lambda: "no topic sla.rejected; `sla topics apply`" in (publisher.unready() or ""))
        world.absent = set()
        await until(lambda: publisher.unready() is None)
        assert all(producer.stopped for producer in world.made[:-1])
        await publisher.stop()

    in_virtual_time(scenario)


def test_a_slow_kafka_is_503_over_http(world: World) -> None:
    async def scenario() -> None:
        publisher = publisher_of(world)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        world.prompt = False
        async with served(publisher) as bench:
            status, _, headers = await bench.hook("jira", recorded("jira-created"))
            assert (status, headers["Retry-After"]) == (503, "5")
        await publisher.stop()

    run(scenario)


def test_what_only_this_request_meets_is_told_to_its_sender_and_in_the_log(world: World) -> None:
    """Kafka is there: neither `/ready` nor another log entry tells why such requests fail."""

    async def scenario() -> None:
        publisher = publisher_of(world, limit=100_000, timeout_s=5)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        async with served(publisher) as bench:
            world.refuses = MessageSizeTooLargeError("9,999 bytes")
            with capture_logs() as logs:
                status, answer, _ = await bench.hook("jira", recorded("jira-created"))
            assert (status, "Kafka refuses a record of that size" in str(answer)) == (503, True)
            assert "fails until `max.message.bytes` of the topic allows it" in str(answer)
            assert "again" not in str(answer)
            assert ["of that size" in each["reason"] for each in logs if each["event"] == "request_rejected"] == [True]
            world.refuses = None
            assert publisher._shares.reserve("jira", 40_000)
            status, answer, headers = await bench.hook("jira", recorded("jira-created"))
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "40,000 bytes wait for Kafka" in str(answer)
            assert "40,000 are of jira" in str(answer)
            publisher._shares.release("jira", 40_000)
        await publisher.stop()

    run(scenario)


def test_the_real_producer_is_idempotent_and_asks_for_all_replicas() -> None:
    async def scenario() -> None:
        producer: Any = kafka_producer.kafka_producer(["127.0.0.1:1"], dict, 5.0)()
        assert producer._sender._acks == -1
        assert producer._txn_manager is not None
        await producer.stop()

    run(scenario)


def test_at_sigterm_requests_under_way_get_their_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "kafka_producer", lambda *_: world.make)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    async def scenario() -> None:
        settings = IntakeSettings(port=0, mapping=ROOT / "examples" / "intake.yaml")
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(service.serve(Settings(), settings, listening=address.set_result))
        url = f"http://{await address}"
        async with aiohttp.ClientSession(headers=token("prometheus")) as session:

            async def ready() -> bool:
                async with session.get(f"{url}/ready") as answer:
                    return answer.status == 200

            async def listens() -> bool:
                try:
                    await ready()
                except aiohttp.ClientConnectionError:
                    return False
                return True

            while not await ready():
                await asyncio.sleep(0.01)
            world.prompt = False
            body = recorded("alertmanager-firing")
            asked = asyncio.create_task(session.post(f"{url}/v1/hooks/prometheus", data=body))
            await until(lambda: len(world.made[0].sent) == 2)
            os.kill(os.getpid(), signal.SIGTERM)
            while await listens():
                await asyncio.sleep(0.01)
            assert not asked.done()
            for _, _, future in world.made[0].sent:
                future.set_result(ACKNOWLEDGED)
            async with await asked as answer:
                assert answer.status == 202
            assert await running == 0
        assert world.made[0].stopped

    run(scenario)


def test_a_stop_as_a_whole_takes_a_little_longer_than_open_requests_have(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds of its steps add up to half a minute where Kafka and Slack do not answer."""
    monkeypatch.setattr(service, "kafka_producer", lambda *_: world.make)
    given: list[float | None] = []

    def stopped(within_s: float | None = None) -> asyncio.Event:
        given.append(within_s)
        stop = asyncio.Event()
        stop.set()
        return stop

    monkeypatch.setattr(service, "stop_on_signals", stopped)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    async def scenario() -> None:
        for stop_within in (6 * SECOND, 20 * SECOND):
            settings = IntakeSettings(port=0, mapping=ROOT / "examples" / "intake.yaml")
            settings = settings.model_copy(update={"stop_within": stop_within})
            assert await service.serve(Settings(), settings) == 0
        assert given == [9.5, 23.5]

    run(scenario)


def test_the_topic_of_heartbeats_is_looked_at_from_the_reload_on_that_adds_the_first_monitor(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service, "kafka_producer", lambda *_: world.make)
    monkeypatch.setenv("SLA_INTAKE_JOBS_TOKEN", "jobs-token-00000001")
    monkeypatch.setenv("SLA_INTAKE_API_TOKEN", "api-token-000000001")
    looked_at: list[list[str]] = []

    async def look(shape: TopicShape) -> None:
        looked_at.append(shape._states)

    monkeypatch.setattr(TopicShape, "look", look)
    monkeypatch.setattr("streams.kafka.topic_shape._EVERY_S", 0.01)
    services = "services: {format: api, secrets: [{env: SLA_INTAKE_API_TOKEN}]}"
    mapping = tmp_path / "intake.yaml"
    mapping.write_text(f"version: 1\nsources:\n  {services}\n")

    async def scenario() -> None:
        settings = IntakeSettings(port=0, mapping=mapping)
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(service.serve(Settings(), settings, listening=address.set_result))
        await address
        await until(lambda: [] in looked_at)
        assert ["sla.heartbeats"] not in looked_at
        mapping.write_text(f"{HEARTBEATS}  {services}\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: looked_at[-1] == ["sla.heartbeats"])
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0

    run(scenario)


def test_the_process_ends_to_be_restarted_when_one_of_its_tasks_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "kafka_producer", lambda *_: world.make)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    async def fails(self: object, asked: asyncio.Event) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ConfigReload, "run", fails)

    async def scenario() -> None:
        settings = IntakeSettings(port=0, mapping=ROOT / "examples" / "intake.yaml")
        with capture_logs() as logs:
            assert await service.serve(Settings(), settings) == 1
        (told,) = [each for each in logs if each["event"] == "background_task_ended"]
        assert told["error"] == "ZeroDivisionError()"

    run(scenario)


def test_no_unexpected_error_ends_the_attempts_to_connect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka lets the cancellations of its own tasks out, too."""
    monkeypatch.setattr(kafka_producer, "_CHECK_INTERVAL_S", 0.001)
    world.defects = [asyncio.CancelledError(), KeyError("a"), AssertionError()]

    async def scenario() -> None:
        publisher = KafkaPublisher(world.make, "sla", 1 << 20, 1.0)
        with capture_logs() as logs:
            publisher.start()
            await until(lambda: publisher.unready() is None)
        told = [each["event"] for each in logs]
        assert told[:4] == [
            "kafka_connection_failed", "kafka_connection_failed", "kafka_unavailable", "kafka_available",
        ]  # fmt: skip
        await publisher.stop()

    run(scenario)


def test_acknowledgements_tell_the_time_of_kafka_which_goes_on_whatever_the_own_clock_does(world: World) -> None:
    """A machine that is resumed from a snapshot may set its clock back while the intake runs."""
    world.prompt = False

    async def scenario() -> None:
        publisher = KafkaPublisher(world.make, "sla", 1 << 20, 1.0)
        publisher.start()
        await until(lambda: publisher.unready() is None)
        for kind, timestamp in ((0, 7_000), (1, 9_000)):
            sent = len(world.made[0].sent)
            asked = asyncio.create_task(publisher.publish([OutgoingRecord("incident-events", "k", b"v", [])]))
            await until(lambda sent=sent: len(world.made[0].sent) > sent)
            world.made[0].sent[-1][2].set_result(SimpleNamespace(timestamp=timestamp, timestamp_type=kind))
            await asked
            found = publisher.kafka_time()
            if kind == 0:
                assert found is None
                continue
            assert found is not None
            assert found >= 9_000_000
            await until(lambda found=found: (publisher.kafka_time() or 0) > found)
        await publisher.stop()

    run(scenario)


def test_one_broker_with_a_right_clock_tells_that_the_machine_has_one() -> None:
    """By the clock of a broker that is wrong, times of receipt would be wrong for the partitions of all others."""

    async def scenario() -> None:
        clock = HandClock()
        loop, began = asyncio.get_running_loop(), clock.at
        seconds = loop.time()
        clock.now = lambda: began + int((loop.time() - seconds) * SECOND)  # type: ignore[method-assign]
        time = kafka_time.KafkaTime(clock)
        received = kafka_time.ReceiptClock(clock, time.machine_ahead, 5 * MINUTE)
        assert time.machine_ahead() is None
        time.appended(clock.now() - HOUR, ("incident-events", 0), clock.now())
        assert abs(received.now() - (clock.now() - HOUR)) < MINUTE
        time.appended(clock.now(), ("incident-events", 1), clock.now())
        time.appended(clock.now() - HOUR, ("incident-events", 0), clock.now())
        assert abs(received.now() - clock.now()) < MINUTE
        assert abs((time.now() or 0) - (clock.now() - HOUR)) < MINUTE, "that of the broker that was heard last"
        before = clock.now
        clock.now = lambda: before() + HOUR  # type: ignore[method-assign]
        assert (time.machine_ahead(), time.now()) == (None, None), "the clock was set"
        time.appended(before(), ("incident-events", 0), clock.now())
        assert abs(received.now() - before()) < MINUTE

    run(scenario)


def test_the_clock_of_kafka_is_compared_once_for_each_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request asks for the difference several times, and there may be many partitions."""

    async def scenario() -> None:
        looks, passed, loop = 0, 0, asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: passed / SECOND)

        class Clock:
            def now(self) -> int:
                nonlocal looks
                looks += 1
                return parse_rfc3339(NOW) + passed

        clock = Clock()
        time = kafka_time.KafkaTime(clock)

        def appended(number: int, ahead: int) -> None:
            time.appended(clock.now() - ahead, ("incident-events", number), clock.now())

        for number in range(100):
            appended(number, (100 - number) * SECOND)
        looks = 0
        assert (time.machine_ahead(), looks) == (SECOND, 1)
        appended(98, -MINUTE)
        assert time.machine_ahead() == SECOND
        appended(99, 4 * SECOND)  # that of 98 was the second nearest
        assert time.machine_ahead() == 3 * SECOND
        passed = 11 * MINUTE
        appended(0, HOUR)
        assert time.machine_ahead() == HOUR, "the others are of long ago"

    run(scenario)


def test_an_acknowledgement_that_is_read_late_makes_no_clock_differ() -> None:
    """A process that stands still for minutes reads what Kafka has answered long before."""

    async def scenario() -> None:
        clock = HandClock()
        time = kafka_time.KafkaTime(clock)
        sent_at, clock.at = clock.at, clock.at + 20 * MINUTE
        time.appended(sent_at + SECOND, ("incident-events", 0), sent_at)
        assert (time.machine_ahead(), time.now()) == (0, None)
        time.appended(sent_at - HOUR, ("incident-events", 0), sent_at)
        assert time.machine_ahead() == HOUR
        time.appended(clock.at + HOUR, ("incident-events", 0), sent_at)
        assert time.machine_ahead() == -HOUR

    run(scenario)


@pytest.mark.parametrize("clock_is_set", [True, False])
def test_after_the_machine_was_suspended_kafka_tells_its_time_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, *, clock_is_set: bool
) -> None:
    """While a machine is suspended the clock of its processes stands still, and an event of now is 20 minutes ahead of
    what the last acknowledgement tells. Some machines set their clock only later."""
    monkeypatch.setattr(kafka_time, "_KNOWN_S", 60.0)

    async def scenario() -> None:
        suspended, passed, behind, clock, loop = 20 * MINUTE, 0, 0, HandClock(), asyncio.get_running_loop()
        began_s, seconds = loop.time(), loop.time
        monkeypatch.setattr(loop, "time", lambda: seconds() + passed / SECOND)

        def awake() -> int:
            return parse_rfc3339(NOW) + passed + int((seconds() - began_s) * SECOND)

        monkeypatch.setattr(clock, "now", awake)
        world.kafka_ms = lambda: (awake() + behind) // 1000
        publisher = KafkaPublisher(world.make, "sla", 1 << 20, 60.0, clock=clock)
        publisher.start()
        await until(lambda: publisher.unready() is None)

        async with served(publisher, limits=TimeLimits()) as bench:

            async def opened(name: str, at: int) -> tuple[int, dict[str, object]]:
                body = EXAMPLES["incident.opened"] | {"incident_id": name, "time": format_rfc3339(at)}
                return (await bench.post("/v1/incidents", body, **token("services")))[:2]

            assert (await opened("inc-1", awake()))[0] == 202
            assert (await opened("inc-2", awake() + suspended))[0] == 422  # as Kafka has said just now
            assert len(world.made[0].sent) == 2  # the second is the body of what was refused
            behind = suspended
            if clock_is_set:
                monkeypatch.setattr(clock, "now", lambda: awake() + suspended)
            else:
                passed += 2 * MINUTE
            assert (await opened("inc-3", awake() + behind))[0] == 202
            passed += 2 * MINUTE
            status, answer = await opened("inc-4", awake() + 2 * behind)
            assert status == 422
            assert "it is in Kafka, where the workers reject it" in str(answer["error"])
            assert [topic for topic, *_ in world.made[0].sent[2:]] == ["sla.incident-events"] * 2
        await publisher.stop()

    asyncio.run(scenario())  # without a timeout, which would come early by the loop's clock
