"""Watermarks are written on request alone (R26): an idle deployment writes next to nothing, and none is forgotten."""

from __future__ import annotations

from agent_harness import INCIDENTS, LEDGER, Cluster
from story import contract, micros, opened, policies, resolved

from streams.sla.instants import DAY, HOUR, SECOND
from streams.worker_progress import REQUEST, WATERMARK

START = micros("10:00")
BATCH_BYTES = 61 + 120
"""A record batch's own header, and what a record of a transaction needs beside key, value and headers."""


def marks(cluster: Cluster) -> int:
    return sum(each["type"] == "time.mark" for each in cluster.outputs())


def test_without_contracts_nothing_is_written_however_much_time_passes() -> None:
    cluster = Cluster(policies(), partitions=8, mark_every=10 * SECOND)
    cluster.publish(opened("10:00"), START)
    cluster.publish(resolved("10:01"), START + SECOND)
    sent = len(cluster.sends)
    for day in range(3):
        cluster.pass_time(START + day * DAY + HOUR)
    assert not [send for send in cluster.sends[sent:] if send.topic.endswith("-internal")]
    assert marks(cluster) == 0


def test_an_idle_deployment_writes_less_than_a_megabyte_a_day_at_eight_partitions() -> None:
    """With tenants in all partitions, whose statements are evaluated every day."""
    cluster = Cluster(policies(), partitions=8, mark_every=10 * SECOND)
    for number in range(40):
        cluster.publish(contract("09:00", of=f"tenant-{number}", id=f"c-{number}"), START)
    cluster.pass_time(START + DAY)
    written: list[int] = []
    commit = cluster._commit

    def counted(task: object, effects: object) -> None:
        for send in effects.sends:  # type: ignore[attr-defined]
            heads = sum(len(name) + len(value or b"") + 4 for name, value in send.headers)
            written.append(len(send.key or b"") + len(send.value or b"") + heads + BATCH_BYTES)
        for key, value in effects.rows.items():  # type: ignore[attr-defined]
            written.append(len(key) + len(value or b"") + BATCH_BYTES)
        written.append(300)  # the checkpoint of the transaction, and its markers
        commit(task, effects)  # type: ignore[arg-type]

    cluster._commit = counted  # type: ignore[method-assign]
    for hour in range(1, 25):
        cluster.pass_time(START + DAY + hour * HOUR)
    assert marks(cluster) >= 8, "statements were evaluated"
    assert sum(written) < 1_000_000


def test_a_request_survives_a_restart_and_is_answered_once_time_has_passed_it() -> None:
    cluster = Cluster(policies(), partitions=2, mark_every=HOUR)
    cluster.publish(contract("09:00"), START)
    ledger = cluster.tasks[LEDGER, cluster.own("acme")]
    due = ledger.processor.next_due()
    assert due is not None
    cluster.fire(ledger, due + 1)
    cluster.settle()
    assert len(cluster.rows(INCIDENTS, REQUEST)) == 2
    cluster.rebuild_all()
    assert cluster.rows(INCIDENTS, WATERMARK) == {}
    for partition in range(2):
        assert cluster.tasks[INCIDENTS, partition].processor.next_due() == due
    cluster.pass_time(due + 2)
    assert len(cluster.rows(INCIDENTS, WATERMARK)) == 2
    assert ledger.processor.next_due() != due


def test_a_partition_that_is_asked_often_answers_every_so_often() -> None:
    cluster = Cluster(policies(), partitions=1, mark_every=HOUR)
    watermarks = cluster.tasks[INCIDENTS, 0].processor._watermarks
    from streams.runtime.processor import Effects

    for second in range(100):
        watermarks.request(START + second * SECOND, Effects())
        cluster.pass_time(START + second * SECOND + 1)
    assert marks(cluster) == 1
    cluster.pass_time(START + HOUR + SECOND)
    assert marks(cluster) == 2


def test_the_ledger_asks_only_those_that_lag_and_only_once() -> None:
    cluster = Cluster(policies(), partitions=4, mark_every=SECOND)
    cluster.publish(contract("09:00"), START)
    ledger = cluster.tasks[LEDGER, cluster.own("acme")]
    due = ledger.processor.next_due()
    assert due is not None
    cluster.fire(ledger, due + 1)
    asked = [send for send in cluster.sends if send.topic == "sla.incidents-internal" and b"partition-" in send.key]
    assert sorted(send.partition for send in asked) == [0, 1, 2, 3]
    cluster.fire(ledger, due + HOUR)
    again = [send for send in cluster.sends if send.topic == "sla.incidents-internal" and b"partition-" in send.key]
    assert again == asked
