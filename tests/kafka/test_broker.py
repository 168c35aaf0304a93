"""The embedded broker is a real Kafka, keeps its data, and never outlives its starter."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from short_lived_brokers import FORMAT

from cli.embedded_kafka.broker import Broker, BrokerError, _Node, main, start_broker
from cli.embedded_kafka.jars import kafka_jars
from cli.embedded_kafka.node_files import (
    answers,
    check_port,
    claim,
    java_command,
    java_environment,
    startup_cache_of,
    startup_cache_options,
)
from cli.embedded_kafka.startup_cache import make_startup_cache
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

VALUES = [b"one", b"two", b"three"]


@pytest.fixture(autouse=True)
def formatted_by_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data directories of these tests are made by Kafka, as for users."""
    monkeypatch.setattr(Broker, "_format", FORMAT)


def create(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
    admin.close()


def produce(bootstrap: str, topic: str, transactional_id: str | None = None) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
    if transactional_id:
        producer.init_transactions()
        producer.begin_transaction()
    sent = [producer.send(topic, value) for value in VALUES]
    for future in sent:
        future.get(TIMEOUT_S)
    if transactional_id:
        producer.commit_transaction()
    producer.close()


def consume(bootstrap: str, topic: str, group: str) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        metadata_max_age_ms=1_000,
    )
    deadline = time.monotonic() + TIMEOUT_S
    # kafka-python may join the group before it knows of the topic, and then never gets a partition of it.
    while not consumer.partitions_for_topic(topic) and time.monotonic() < deadline:
        pass
    consumer.subscribe([topic])
    values: list[bytes] = []
    while len(values) < len(VALUES) and time.monotonic() < deadline:
        for records in consumer.poll(200).values():
            values += [record.value for record in records]
    consumer.close()
    return values


def ended(data_dir: Path) -> bool:
    """Whether no process of a broker lives: each of them holds the claim on the directory."""
    try:
        os.close(claim(data_dir))
    except BrokerError:
        return False
    return True


def port_of(broker: Broker) -> int:
    return int(broker.bootstrap.rpartition(":")[2])


def test_ctrl_c_does_not_reach_what_formats_a_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sla up` would say that Kafka failed, and end with code 2, where somebody only stops it."""
    code = "import os, sys; sys.exit(os.getpgrp() == int(sys.argv[1]))"
    monkeypatch.setattr(
        "cli.embedded_kafka.broker.java_command", lambda *_: [sys.executable, "-c", code, str(os.getpgrp())]
    )
    node = _Node(1, temporary=False, extra={}, jars=[tmp_path / "a.jar"])
    log = tmp_path / "broker.log"
    with log.open("ab") as log_file:
        Broker("127.0.0.1:1", tmp_path, node)._format(tmp_path / "server.properties", log, log_file)


def test_transactions_and_groups_work(broker: str, prefix: str) -> None:
    topic = f"{prefix}topic"
    create(broker, topic)
    produce(broker, topic, transactional_id=f"{prefix}producer")
    assert consume(broker, topic, f"{prefix}group") == VALUES


def test_topics_are_not_made_by_accident(broker: str, prefix: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker, max_block_ms=500)
    with pytest.raises(Exception, match=r"[Tt]imeout|[Tt]imed out|metadata"):
        producer.send(f"{prefix}absent", b"x").get(TIMEOUT_S)
    producer.close()


def test_port_in_use(broker: str, tmp_path: Path) -> None:
    port = int(broker.rpartition(":")[2])
    with pytest.raises(BrokerError, match=rf"^port {port} on 127.0.0.1 is already in use: [^\n]+$"):
        start_broker(tmp_path / "data", port)


def test_restart_and_crash_keep_the_data_and_the_directory_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "day 1 é"  # Java properties are not UTF-8
    with start_broker(data_dir) as broker:
        bootstrap, first_pid = broker.bootstrap, broker.pid
        create(bootstrap, "kept")
        produce(bootstrap, "kept")
        with pytest.raises(BrokerError, match=rf"in use by a running broker \(pid {first_pid}\): [^\n]+$"):
            start_broker(data_dir)
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert main(["--data", str(data_dir)]) == 1
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert "error: data directory" in capsys.readouterr().err
        assert answers(port_of(broker)), "a refused second start must leave the first alone"

        broker.kill()
        assert ended(data_dir)
        broker.restart()
        assert (broker.bootstrap, broker.alive) == (bootstrap, True)
        assert broker.pid != first_pid
        assert consume(bootstrap, "kept", "after-crash") == VALUES
    assert not broker.alive
    assert data_dir.exists()
    with start_broker(data_dir) as broker:
        assert consume(broker.bootstrap, "kept", "after-restart") == VALUES


def test_a_setting_kafka_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"^Kafka ended while starting: [^\n]*num.io.threads[^\n]*broker.log$"):
        start_broker(tmp_path, extra={"num.io.threads": "none"})


def started(java: tuple[str, ...] | None) -> tuple[int, bool]:
    """The exit code of a program of Kafka's, and whether it took classes from a startup cache."""
    jars = kafka_jars()
    command = java_command(jars, "kafka.tools.StorageTool", "random-uuid", java=java)
    command.insert(1, "-Xlog:class+load")
    ran = subprocess.run(
        command, cwd=jars[0].parent, env=java_environment(os.environ), capture_output=True, text=True, check=False
    )
    return ran.returncode, "source: shared objects file" in ran.stdout


def test_a_damaged_startup_cache_stops_no_start(tmp_path: Path) -> None:
    made = make_startup_cache()
    assert made == startup_cache_of(kafka_jars())
    assert started(None) == (0, True)
    whole = made.read_bytes()
    damaged = tmp_path / "damaged.aot"
    middle = len(whole) // 2
    for content in (whole[:middle], whole[:middle] + bytes(64) + whole[middle + 64 :]):
        damaged.write_bytes(content)
        assert started(startup_cache_options(damaged)) == (0, False), len(content)


STARTER = """
import os, time
from cli.embedded_kafka.broker import start_broker
broker = start_broker()
forked = os.fork()  # a child that keeps a copy of every pipe open must not keep Kafka alive
if forked == 0:
    time.sleep(600)
    os._exit(0)
print(broker.pid, forked, broker.bootstrap.rpartition(":")[2], broker.data_dir, flush=True)
time.sleep(600)
"""


def test_the_broker_goes_down_with_a_starter_killed_9() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert starter.stdout is not None
    pid, forked, port, data_dir = starter.stdout.readline().split()
    try:
        assert answers(int(port))
        starter.kill()
        starter.wait()
        wait(lambda: not Path(data_dir).exists(), lambda: "Kafka outlived its starter, or its temporary directory did")
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
        check_port(int(port))
    finally:
        starter.stdout.close()
        os.kill(int(forked), signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's parent-death signal")
def test_the_broker_goes_down_with_its_watcher_killed_9() -> None:
    with start_broker() as broker:
        watch = broker._node.watch
        assert watch is not None
        os.kill(watch.pid, signal.SIGKILL)
        wait(lambda: ended(broker.data_dir))
        assert not broker.alive
