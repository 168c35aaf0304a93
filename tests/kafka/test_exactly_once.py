"""Exactly once on a real broker: workers are killed, paused and stopped while records flow."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition
from toy import Toy

from cli.embedded_kafka.broker import start_broker

pytestmark = pytest.mark.kafka
RECORDS = 10_000
KEYS = 100


@pytest.fixture
def toy(broker: str, prefix: str, tmp_path: Path) -> Iterator[Toy]:
    toy = Toy(broker, prefix, {"toy": ["in"]}, folder=tmp_path)
    toy.create_topics()
    yield toy
    toy.close()


@pytest.fixture
def pair(broker: str, prefix: str, tmp_path: Path) -> Iterator[Toy]:
    """Two agents that read one topic in common."""
    toy = Toy(broker, prefix, {"first": ["in", "shared"], "second": ["shared"]}, folder=tmp_path)
    toy.create_topics()
    yield toy
    toy.close()


def applied(toy: Toy, agent: str = "toy") -> int:
    return toy.applied(agent)


@pytest.mark.chaos
def test_nothing_lost_or_doubled_through_kill_9(toy: Toy) -> None:
    worker = toy.start_worker()
    loading = threading.Thread(target=toy.load, args=("in", range(RECORDS)), kwargs={"rate": 2_500})
    loading.start()
    for share in (0.1, 0.3, 0.5):
        toy.wait_for(lambda share=share: applied(toy) > RECORDS * share, f"{share:.0%} of the outputs")
        worker.kill()
        worker.wait()
        worker = toy.start_worker()
    loading.join()
    toy.wait_until_done("toy", RECORDS, KEYS)
    toy.check("toy")
    toy.wait_for(lambda: toy.get("/ready")[0] == 200, "the last worker, which may have found nothing left to do")
    toy.end(worker)


@pytest.mark.chaos
def test_a_zombie_writes_nothing(toy: Toy) -> None:
    zombie = toy.start_worker()
    half = RECORDS // 2  # so that much is left for the heir, however late this process is
    loads = [
        threading.Thread(target=toy.load, args=("in", numbers), kwargs={"rate": 1_000})
        for numbers in (range(half), range(half, RECORDS))
    ]
    loads[0].start()
    toy.wait_for(lambda: applied(toy) > 2_000, "the first outputs")
    zombie.send_signal(signal.SIGSTOP)
    before = applied(toy)
    heir = toy.start_worker()
    loads[1].start()
    toy.wait_for(lambda: applied(toy) > before + 2_000, "the heir's outputs")
    zombie.send_signal(signal.SIGCONT)
    for load in loads:
        load.join()
    toy.wait_until_done("toy", RECORDS, KEYS)
    toy.check("toy")
    for worker in (zombie, heir):
        toy.end(worker)


def test_two_agents_read_one_partition_and_timers_wait_for_all_inputs(pair: Toy) -> None:
    worker = pair.start_worker()
    feeds = [
        threading.Thread(target=pair.load, args=(name, range(5_000)), kwargs={"rate": 1_000})
        for name in ("in", "shared")
    ]
    for feed in feeds:
        feed.start()
    pair.wait_for(lambda: applied(pair, "second") > 2_000, "outputs")
    worker.kill()
    worker.wait()
    for feed in feeds:
        feed.join()
    worker = pair.start_worker()
    pair.wait_until_done("first", 10_000, KEYS)
    pair.wait_until_done("second", 5_000, KEYS)
    pair.check("first")
    pair.check("second")
    pair.end(worker)


def test_a_timer_acts_without_further_input_and_in_time(toy: Toy) -> None:
    worker = toy.start_worker()
    toy.wait_for(lambda: toy.get("/ready")[0] == 200, "readiness")
    latest: list[float] = []

    def in_time() -> bool:
        """Whether the timers of one more round of keys acted within a second after they were due."""
        done = len(latest) * KEYS
        toy.load("in", range(done, done + KEYS), keys=done + KEYS)
        toy.wait_until_done("toy", done + KEYS, done + KEYS)
        found = toy.outputs("toy")
        timers = [each for number in range(done, done + KEYS) for each in found[b"k%d" % number]]
        latest.append(max(each["visible"] - each["due"] / 1_000 for each in timers if each["kind"] == "timer"))
        return latest[-1] < 1_000

    toy.wait_for(in_time, f"a round whose timers acted in time: {latest} ms")  # a machine under load may need several
    toy.check("toy")
    assert toy.get("/live")[0] == 200
    assert 'sla_task_records_total{agent="toy"' in toy.get("/metrics")[1]

    def lags() -> list[str]:
        return [line for line in toy.get("/metrics")[1].splitlines() if line.startswith("sla_task_lag_records{")]

    toy.wait_for(lambda: lags() and all(line.endswith(" 0.0") for line in lags()), "a measured lag of 0")
    toy.end(worker)


def test_a_differing_group_offset_halts_that_shard_alone(toy: Toy) -> None:
    worker = toy.start_worker()
    toy.load("in", range(1_000))
    toy.wait_until_done("toy", 1_000, KEYS)
    toy.end(worker)
    moved = TopicPartition(toy.topic("in"), 1)
    admin = KafkaAdminClient(bootstrap_servers=toy.broker)
    admin.alter_group_offsets(f"{toy.prefix}app-toy", {moved: OffsetAndMetadata(7, "", None)})
    admin.close()
    toy.start_worker()
    toy.wait_for(lambda: '"halted"' in toy.get("/ready")[1], "the halt")
    toy.load("in", range(1_000, 2_000))
    toy.wait_until_done("toy", 1_750, KEYS)  # three partitions of four go on
    status, body = toy.get("/ready")
    assert status == 503
    assert [reason["partition"] for reason in json.loads(body)["reasons"]] == [1]
    toy.end(toy.workers[-1])
    assert applied(toy) == 1_750 + KEYS


def test_a_lost_group_offset_is_restored(toy: Toy) -> None:
    worker = toy.start_worker()
    toy.load("in", range(1_000))
    toy.wait_until_done("toy", 1_000, KEYS)
    toy.end(worker)
    admin = KafkaAdminClient(bootstrap_servers=toy.broker)
    group = f"{toy.prefix}app-toy"
    before = {tp: found.offset for tp, found in admin.list_group_offsets([group])[group].items()}
    admin.delete_groups([group])
    toy.start_worker()
    toy.wait_for(lambda: toy.get("/ready")[0] == 200, "readiness")
    toy.wait_for(lambda: len(admin.list_group_offsets([group]).get(group) or {}) == 4, "restored offsets")
    assert {tp: found.offset for tp, found in admin.list_group_offsets([group])[group].items()} == before
    admin.close()
    toy.load("in", range(1_000, 2_000))
    toy.wait_until_done("toy", 2_000, KEYS)
    toy.check("toy")


def test_markers_and_aborted_records_are_no_gap(toy: Toy) -> None:
    """Input written by transactions has offsets without records: commit markers, and what was aborted."""
    toy.start_worker()
    producer = KafkaProducer(bootstrap_servers=toy.broker, transactional_id=f"{toy.prefix}writer")
    producer.init_transactions()
    for number in range(40):
        producer.begin_transaction()
        for key in range(KEYS):
            producer.send(toy.topic("in"), key=b"k%d" % key, value=b"%d" % number, partition=key % toy.partitions)
        producer.flush()
        if number % 4 == 3:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
        if number == 3:  # what is in an open transaction when a timer is due counts as not arrived, whatever its time
            toy.wait_until_done("toy", 3 * KEYS, KEYS)
    producer.close()
    toy.wait_until_done("toy", 30 * KEYS, KEYS)
    toy.check("toy")
    toy.wait_for(lambda: toy.get("/ready")[0] == 200, "readiness")
    toy.end(toy.workers[0])


@pytest.mark.chaos
def test_a_broker_that_crashes_and_comes_back(prefix: str, tmp_path: Path) -> None:
    with start_broker(tmp_path / "kafka") as own:
        toy = Toy(own.bootstrap, prefix, {"toy": ["in"]}, folder=tmp_path)
        toy.create_topics()
        worker = toy.start_worker()
        try:
            toy.load("in", range(5_000))
            toy.wait_for(lambda: applied(toy) > 1_000, "the first outputs")
            own.kill()
            time.sleep(3)
            own.restart()
            toy.load("in", range(5_000, 10_000))
            toy.wait_until_done("toy", 10_000, KEYS)
            toy.check("toy")
            assert worker.poll() is None
            toy.end(worker)
        finally:
            toy.close()


def test_input_that_retention_took_before_it_was_applied_halts(toy: Toy) -> None:
    worker = toy.start_worker()
    toy.load("in", range(1_000))
    toy.wait_until_done("toy", 1_000, KEYS)
    toy.end(worker)
    toy.load("in", range(1_000, 2_000))
    admin = KafkaAdminClient(bootstrap_servers=toy.broker)
    admin.delete_records({TopicPartition(toy.topic("in"), 2): 300})
    admin.close()
    toy.start_worker()
    toy.wait_until_done("toy", 1_750, KEYS)
    toy.wait_for(lambda: '"halted"' in toy.get("/ready")[1], "the halted task")
    status, body = toy.get("/ready")
    assert status == 503
    assert [(reason["partition"], reason["state"]) for reason in json.loads(body)["reasons"]] == [(2, "halted")]
    assert "the log holds 300 to 500" in body
