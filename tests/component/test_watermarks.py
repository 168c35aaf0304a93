"""Watermarks are written on request alone (R26): an idle deployment writes next to nothing, and none is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster
from story import claimed, contract, micros, opened, policies, resolved, texts

from cli.replay.outcome import Outcome, data_of, outcome_of
from streams.internal_topics import COPY, TO_INCIDENTS, wrap
from streams.replay.simulate import simulate
from streams.runtime.processor import Effects, Record
from streams.sla.instants import DAY, HOUR, SECOND, Month, parse_rfc3339
from streams.worker_progress import REQUEST, REQUEST_TYPE, WATERMARK

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
    for second in range(100):
        watermarks.request(0, START + second * SECOND, Effects())
        cluster.pass_time(START + second * SECOND + 1)
    assert marks(cluster) == 1
    cluster.pass_time(START + HOUR + SECOND)
    assert marks(cluster) == 2


@pytest.mark.parametrize("ahead", [365 * DAY, 5_000 * 365 * DAY], ids=["a year", "millennia"])
@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("stored", [b"", b"\x1f1"], ids=["by an earlier release", "by this release"])
def test_a_request_that_is_never_reached_keeps_no_other_from_being_answered(
    ahead: int, rebuilt: bool, stored: bytes
) -> None:
    """The clock of one worker was ahead when its ledger asked: the statements of all other tenants come in time."""
    cluster = Cluster(policies(), partitions=2, mark_every=HOUR)
    assert cluster.own("acme") == 0
    for partition in range(2):
        task = cluster.tasks[INCIDENTS, partition]
        row = cluster.codec.encode(REQUEST_TYPE, {"partition": partition, "until": START + ahead})
        task.rows[REQUEST.encode() + stored] = row
        cluster.rebuild(task)
    cluster.publish(contract("09:00"), START)
    cluster.publish(opened("10:00", tenants=["acme"]), START)
    cluster.publish(resolved("12:00"), START + 2 * HOUR)
    cluster.pass_time(START + 20 * DAY)
    if rebuilt:
        cluster.rebuild_all()
    cluster.pass_time(START + 60 * DAY)
    statuses = [each["data"]["status"] for each in cluster.outputs() if each["type"] == "credit.statement"]
    assert statuses == ["provisional", "final"]


def test_a_partition_that_asked_for_an_instant_too_far_ahead_may_ask_again() -> None:
    cluster = Cluster(policies(), partitions=1, mark_every=HOUR)
    watermarks = cluster.tasks[INCIDENTS, 0].processor._watermarks
    watermarks.request(0, START + 365 * DAY, Effects())
    watermarks.request(0, START, Effects())
    assert watermarks.next_due() == START


@pytest.mark.parametrize("key", [None, b"", b"partition-", b"partition-2", b"partition-x", b"partition-" + b"1" * 99])
def test_a_request_that_no_ledger_partition_sent_is_rejected(key: bytes | None) -> None:
    cluster = Cluster(policies(), partitions=2, mark_every=HOUR)
    value = cluster.codec.encode(REQUEST_TYPE, {"partition": 0, "until": START})
    request = wrap(Record("sla.ledger-internal", 0, 0, START, key, value, ()), TO_INCIDENTS, COPY, "x", 0)
    cluster.put("incidents-internal", 0, value, START, key=key, headers=request.headers)
    assert cluster.codes() == ["invalid"]
    assert cluster.rows(INCIDENTS, REQUEST) == {}


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


def test_r26_a_ledger_that_catches_up_ends_at_the_amounts_of_one_that_did_not() -> None:
    """The incident partition of a late outage is ahead of the other one: the final statement waits for that, and may
    count what arrived after its instant. What is issued too much is waived."""
    cluster = Cluster(policies(), partitions=2)
    ahead = next(name for name in ("a", "b", "c", "d", "e") if cluster.own(name) != cluster.own("acme"))
    lines = [
        contract("09:00"),
        claimed("2026-03-20T00:00:00Z", "2026-03"),
        opened("2026-04-04T01:00:00Z", of=ahead, tenants=["acme"], started="2026-03-25T00:00:00Z"),
        resolved("2026-04-04T01:00:01Z", of=ahead, restored="2026-03-27T00:00:00Z"),
    ]
    for line in lines:
        cluster.publish(line, parse_rfc3339(line["time"]))
    until = parse_rfc3339("2026-04-14T00:00:00Z")
    cluster.pass_time(until)
    outcome = cluster.outcome()
    in_turn = outcome_of(simulate(texts(lines), policies(), until=until))
    assert in_turn.kinds["credit.statement"] == 2, "a final statement without the outage, and an adjusted one with it"
    assert amounts(outcome) == amounts(in_turn) == (172_800, 50_000, 50_000)


def amounts(outcome: Outcome) -> tuple[int, int, int]:
    """Downtime and credit of March by its highest statement, and what was issued and not waived."""
    month = ("acme", Month("2026-03"))
    data: Any = data_of(outcome.statements[month])
    credit, waived = (data[name]["amount_minor"] for name in ("credit", "waived"))
    return data["downtime_s"], credit, outcome.issued[month] - waived
