"""The client against a real broker: bytes that the product takes, and consumers that lose and double nothing by id."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from crashing_billing import CRASHED
from kafka import KafkaProducer
from on_kafka import PARTITIONS, put

from cli.embedded_kafka.broker import start_broker
from cli.kafka_io.topic_admin import apply_topics
from connect.client import (
    BrokerUnavailable,
    ContractPublisher,
    DeliveryFailed,
    IncidentPublisher,
    IncidentStates,
    Money,
    UndecodableRecord,
    Who,
    consume_alerts,
    consume_credits,
    consume_states,
)
from connect.kafka_io.reader import TopicRecord, read_topics
from streams.kafka.partitioner import partition_of
from streams.serde.cloudevents_json import from_json
from streams.serde.codec import decode, encode
from streams.sla.events import Rejection
from streams.sla.facts import to_event
from streams.topics import declared
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
KIM = Who("support", "kim")
MONTHS = ("2026-01", "2026-02", "2026-03")
AMOUNT = 125


def credit(number: int) -> tuple[str, bytes]:
    tenant = f"tenant-{number % 7}"
    record = {
        "event_id": f"credit-{number}",
        "source": "/sla/ledger",
        "subject": tenant,
        "occurred_at": 1_769_850_000_000_000 + number,
        "policy": {"name": "gold", "version": "1", "digest": "d"},
        "tenant_id": tenant,
        "month": MONTHS[number % 3],
        "statement_revision": 1,
        "amount": {"amount_minor": AMOUNT + number, "currency": "USD"},
        "cause": "claimed",
    }
    return tenant, encode("credit.issued", record)


def issue(broker: str, topics: str, numbers: Iterable[int], compression: str | None = None) -> None:
    """Written compressed, in one batch, where it is asked for."""
    with closing(KafkaProducer(bootstrap_servers=broker, compression_type=compression, linger_ms=50)) as producer:
        for number in numbers:
            tenant, value = credit(number)
            producer.send(f"{topics}.credits", key=tenant.encode(), value=value)
        producer.flush(TIMEOUT_S)


def state(incident: str, revision: int) -> bytes:
    record = json.loads((ROOT / "schemas/golden/incident.state.json").read_text(encoding="utf-8"))
    record |= {"subject": incident, "id": f"{incident}-{revision}"}
    record["data"] |= {"incident_id": incident, "revision": revision}
    made = from_json(record)
    assert not isinstance(made, Rejection)
    return encode(*made)


def lying(broker: str, topic: str) -> list[TopicRecord]:
    return list(read_topics([broker], [topic]))


def test_what_is_published_lies_acknowledged_in_its_own_partition_and_is_taken(broker: str, topics: str) -> None:
    with IncidentPublisher(broker, "/desk", prefix=topics) as desk:
        deliveries = [
            desk.opened(f"inc-{number}", scope="platform", component="api", impact="cosmetic", channel="api")
            for number in range(40)
        ]
        again = desk.publish(deliveries[0].event)
    with ContractPublisher(broker, "/billing", prefix=topics) as billing:
        terms = billing.contract_set(
            "acme",
            valid_from="2026-01-01T00:00:00Z",
            plan="gold",
            monthly_charge=Money(1, "USD"),
            emergency_member=False,
        )
        assert terms.result(timeout=TIMEOUT_S).topic == f"{topics}.contract-events"
    records = lying(broker, f"{topics}.incident-events")
    assert len(records) == 41
    for record in records:
        decoded = decode(record.value)
        assert not isinstance(decoded, Rejection)
        event = to_event(*decoded)
        assert not isinstance(event, Rejection)
        assert record.key == event.subject.encode()
        assert record.partition == partition_of(event.subject, PARTITIONS)
        assert dict(record.headers)["ce_id"] == event.id.encode()
    assert len({record.partition for record in records}) == PARTITIONS
    places = {(record.partition, record.offset): record for record in records}
    twice = [places[delivery.result()[1:]] for delivery in (deliveries[0], again)]
    assert twice[0].value == twice[1].value


def test_the_producer_is_idempotent_and_waits_for_all_replicas(broker: str, topics: str) -> None:
    with IncidentPublisher(broker, "/desk", prefix=topics) as desk:
        config = desk._producer.config  # type: ignore[attr-defined]
        assert (config["acks"], config["enable_idempotence"]) == (-1, True)
        assert config["retries"] == float("inf")


def test_what_is_not_there_is_told_in_words(broker: str, topics: str) -> None:
    quick = {"bootstrap_timeout_ms": 500}
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:1: "):
        IncidentPublisher("127.0.0.1:1", "/desk", kafka=quick)
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:1: "):
        consume_alerts("127.0.0.1:1", group="on-call", kafka=quick)
    with pytest.raises(
        BrokerUnavailable, match=r"there is no topic absent\.alerts at .*; `sla topics apply` creates it"
    ):
        consume_alerts(broker, group="on-call", prefix="absent")
    with (
        IncidentPublisher(broker, "/desk", prefix="absent", kafka={"max_block_ms": 500}) as desk,
        pytest.raises(BrokerUnavailable, match=r"absent\.incident-events can't be written .*nothing was sent"),
    ):
        desk.responded("inc-1", who=KIM)


def pause(pid: int) -> None:
    """SIGSTOP takes effect a moment later: returns once no thread runs (on Linux)."""
    os.kill(pid, signal.SIGSTOP)
    wait(lambda: all(found.rpartition(") ")[2][0] == "T" for found in thread_states(pid)))


def thread_states(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found.append(path.read_text())
    return found


def test_a_broker_that_dies_fails_a_delivery_to_be_sent_again_and_consumers_wait_for_it(tmp_path: Path) -> None:
    with start_broker(tmp_path / "kafka") as mortal:
        apply_topics(mortal.bootstrap, declared("sla", 1))
        issue(mortal.bootstrap, "sla", range(10))
        found: list[str] = []
        half = threading.Event()

        def consume() -> None:
            with consume_credits(mortal.bootstrap, group="patient") as credits_:
                for event in credits_:
                    found.append(event.id)
                    if len(found) == 5:
                        half.set()
                    if event.id == "credit-19":
                        credits_.stop()

        consuming = threading.Thread(target=consume, daemon=True)
        consuming.start()
        assert half.wait(TIMEOUT_S)
        with IncidentPublisher(mortal.bootstrap, "/desk", timeout_s=2) as desk:
            wait(lambda: desk.responded("inc-1", who=KIM).exception(timeout=TIMEOUT_S) is None)
            pause(mortal.pid)
            # The first may be in Kafka: the producer gives up its id, and has none for the second.
            for _ in range(2):
                delivery = desk.responded("inc-2", who=KIM)
                with pytest.raises(DeliveryFailed, match="send the same event again, with its id and time") as caught:
                    delivery.result(timeout=TIMEOUT_S)
                assert caught.value.retriable
            mortal.kill()
            mortal.restart()
            wait(lambda: desk.publish(delivery.event).exception(timeout=TIMEOUT_S) is None)
        *_, last = (decode(record.value) for record in lying(mortal.bootstrap, "sla.incident-events"))
        assert not isinstance(last, Rejection)
        assert last[1]["event_id"] == delivery.event_id
        issue(mortal.bootstrap, "sla", range(10, 20))
        consuming.join(TIMEOUT_S)
        assert not consuming.is_alive()
    assert found == [f"credit-{number}" for number in range(20)]


def test_consumers_see_what_is_committed_and_go_on_where_they_stopped(broker: str, topics: str) -> None:
    issue(broker, topics, range(5))
    with closing(KafkaProducer(bootstrap_servers=broker, transactional_id=f"{topics}-writer")) as writer:
        writer.init_transactions()
        writer.begin_transaction()
        writer.send(f"{topics}.credits", key=b"x", value=credit(99)[1])
        writer.flush()
        writer.abort_transaction()
    assert sorted(consumed(broker, topics, 5)) == [f"credit-{number}" for number in range(5)]
    issue(broker, topics, range(5, 9))
    assert sorted(consumed(broker, topics, 4)) == [f"credit-{number}" for number in range(5, 9)]


def consumed(broker: str, topics: str, count: int) -> list[str]:
    found = []
    with consume_credits(broker, group=f"{topics}-totals", prefix=topics) as credits_:
        for event in credits_:
            found.append(event.id)
            if len(found) == count:
                credits_.stop()
    return found


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_consumers_read_every_compression(broker: str, topics: str, compression: str) -> None:
    issue(broker, topics, range(20), compression)
    found: list[str] = []
    with consume_credits(broker, group=f"{topics}-billing", prefix=topics) as credits:
        for event in credits:
            found.append(event.id)
            if len(found) == 20:
                credits.stop()
    assert sorted(found) == sorted(f"credit-{number}" for number in range(20))


def test_an_undecodable_record_is_told_with_its_coordinates_or_handled(broker: str, topics: str) -> None:
    put(broker, f"{topics}.credits", b"\xff\xfe")
    put(broker, f"{topics}.credits", credit(1)[1])
    with (
        consume_credits(broker, group=f"{topics}-strict", prefix=topics) as credits_,
        pytest.raises(UndecodableRecord, match=r"\.credits, partition 0, offset 0: undecodable: "),
    ):
        next(iter(credits_))
    told: list[UndecodableRecord] = []
    with consume_credits(broker, group=f"{topics}-patient", prefix=topics, on_undecodable=told.append) as credits_:
        assert next(iter(credits_)).id == "credit-1"
    assert [problem.value for problem in told] == [b"\xff\xfe"]


def test_a_second_consumer_of_a_group_joins_and_nothing_is_lost(broker: str, topics: str) -> None:
    total = 120
    issue(broker, topics, range(total))
    found: dict[str, list[str]] = {"first": [], "second": []}
    complete = threading.Event()
    joined = threading.Event()

    def consume(name: str) -> None:
        options = {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 300}
        with consume_credits(broker, group=f"{topics}-shared", prefix=topics, kafka=options) as credits_:
            for event in credits_:
                found[name].append(event.id)
                if name == "first" and len(found[name]) == 30:
                    joined.set()
                if len({*found["first"], *found["second"]}) == total:
                    complete.set()
                if complete.wait(0.02):
                    credits_.stop()

    threads = [threading.Thread(target=consume, args=(name,), daemon=True) for name in found]
    threads[0].start()
    assert joined.wait(TIMEOUT_S)
    threads[1].start()
    assert complete.wait(TIMEOUT_S), {name: len(ids) for name, ids in found.items()}
    issue(broker, topics, range(total, total + 40))  # something for each, to see that they are to stop
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert {f"credit-{number}" for number in range(total)} <= {*found["first"], *found["second"]}


@contextmanager
def python(*words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def totals(path: Path) -> dict[tuple[str, str], int]:
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, timeout=TIMEOUT_S)) as books:
        if not books.execute("SELECT 1 FROM sqlite_master WHERE name = 'owed'").fetchone():
            return {}
        return {(tenant, month): amount for tenant, month, _, amount in books.execute("SELECT * FROM owed")}


def expected(count: int) -> dict[tuple[str, str], int]:
    owed: dict[tuple[str, str], int] = {}
    for number in range(count):
        where = f"tenant-{number % 7}", MONTHS[number % 3]
        owed[where] = owed.get(where, 0) + AMOUNT + number
    return owed


def test_billing_is_exact_though_it_crashes_between_booking_and_commit_and_is_killed(
    broker: str, topics: str, tmp_path: Path
) -> None:
    path, count = tmp_path / "billing.db", 150
    issue(broker, topics, range(100))
    for bookings in (1, 33):
        with python("tests/kafka/crashing_billing.py", broker, topics, path, bookings) as billing:
            assert billing.wait(TIMEOUT_S) == CRASHED, billing.communicate()
    issue(broker, topics, [*range(100, count), *range(20)])  # some come again
    with python("tests/kafka/crashing_billing.py", broker, topics, path, count) as billing:
        wait_until(lambda: sum(totals(path).values()) > sum(expected(60).values()), billing)
        billing.send_signal(signal.SIGKILL)
    with python("examples/billing.py", broker, path, "--prefix", topics) as billing:
        issue(broker, topics, [*range(20, 40), *range(count, count + 20)])
        wait_until(lambda: totals(path) == expected(count + 20), billing)
        billing.terminate()
        assert billing.wait(TIMEOUT_S) == 0, billing.communicate()
    assert totals(path) == expected(count + 20)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """While the process runs."""

    def holds() -> bool:
        assert process.poll() is None, process.communicate()
        return condition()

    wait(holds)


def test_states_are_read_committed_with_their_deletions(broker: str, topics: str) -> None:
    """Written in transactions as a worker does: one of them is aborted, and markers are the last in each partition."""
    topic = f"{topics}.incident-state"
    config = {"bootstrap_servers": broker, "transactional_id": f"{topics}-states"}
    with closing(KafkaProducer(**config)) as producer:
        producer.init_transactions()
        for rows, commit in (
            ([("a", state("a", 1)), ("b", state("b", 1)), ("c", state("c", 1))], True),
            ([("a", state("a", 2)), ("b", None)], True),
            ([("a", state("a", 3)), ("c", None)], False),
        ):
            producer.begin_transaction()
            for key, value in rows:
                producer.send(topic, key=key.encode(), value=value, partition=partition_of(key, PARTITIONS))
            (producer.commit_transaction if commit else producer.abort_transaction)()
    with IncidentStates(broker, prefix=topics) as states:
        states.wait_until_caught_up(timeout=TIMEOUT_S)
        assert {name: each.data["revision"] for name, each in states.items()} == {"a": 2, "c": 1}
        assert states["a"].position.partition == partition_of("a", PARTITIONS)
    found: list[tuple[str, object]] = []
    with consume_states(broker, group=f"{topics}-watch", prefix=topics) as events:
        for event in events:
            found.append((event.subject, "deleted" if event.deleted else event.data["revision"]))
            if len(found) == 5:
                events.stop()
    assert sorted(found, key=str) == [("a", 1), ("a", 2), ("b", "deleted"), ("b", 1), ("c", 1)]


def test_the_examples_of_states_in_the_documentation_run_as_written(
    broker: str, topics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class ShownError(Exception):
        pass

    shown: list[tuple[str, str]] = []

    def show(incident: str, data: dict[str, object]) -> None:
        shown.append((incident, str(data["severity"])))
        raise ShownError

    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    section = text.partition("## Look up incidents\n")[2].partition("\n### ")[0]
    look_up, follow = [block.partition("```")[0] for block in section.split("```python\n")[1:]]
    with closing(KafkaProducer(bootstrap_servers=broker)) as producer:
        producer.send(f"{topics}.incident-state", key=b"inc-1", value=state("inc-1", 1))
        producer.flush(TIMEOUT_S)
    names: dict[str, object] = {"broker": broker, "topics": topics, "show": show, "forget": show}
    given = ('"kafka:9092"', "broker, prefix=topics")
    exec(look_up.replace(*given), names)
    assert capsys.readouterr().out.startswith("inc-1 P1 P1 API: complete outage 2026-01-31T10:50:00Z")
    with pytest.raises(ShownError):
        exec(follow.replace(*given), names)
    assert shown == [("inc-1", "P1")]
