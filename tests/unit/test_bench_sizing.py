"""The sizing calculation, by hand for round numbers."""

from __future__ import annotations

import pytest

from bench.sizing import GIB, Costs, WorkerLimits, Workload, choose, lines, size

PLAIN = Costs(worker_bytes=0.0)


def test_events_incidents_and_processor_time() -> None:
    # 1,296,000 tenants with one incident of two events a month: one event a second on average.
    load = Workload(
        1_296_000, incidents_per_tenant_month=1, events_per_incident=2, busy_hour=10, open_days=1, retained_days=9
    )
    costs = Costs(event_us=1_000, commit_us=500, commits_a_second=1, broker_event_us=100)
    found = size(load, costs, WorkerLimits(), 8)
    assert found.events_s == pytest.approx(10)
    assert found.incidents == pytest.approx(1_296_000 / 30 * 10)
    # 10 events of 1 ms; 16 tasks that commit once a second.
    assert found.worker_cores == pytest.approx(0.010 + 0.008)
    assert found.broker_cores == pytest.approx(0.001)


def test_memory_is_copies_of_terms_by_partitions_and_the_rest_once() -> None:
    load = Workload(1024**2, incidents_per_tenant_month=0)
    costs = Costs(copy_bytes=1024, account_bytes=2048, worker_bytes=0)
    few, many = size(load, costs, WorkerLimits(memory_gib=2), 8), size(load, costs, WorkerLimits(memory_gib=2), 64)
    assert (few.copies_gib, many.copies_gib) == (8, 64)
    assert (few.workers, many.workers) == (5, 33)
    assert few.worker_gib == pytest.approx(10 / 5)
    assert few.first == many.first == "memory"


def test_the_close_and_the_recovery_ask_for_workers_too() -> None:
    none = Workload(1_000_000, incidents_per_tenant_month=0)
    slow_close = size(none, Costs(close_us=600, copy_bytes=0, account_bytes=0), WorkerLimits(replay_within_s=1e9), 16)
    assert (slow_close.first, slow_close.workers, slow_close.close_s) == ("the month's close", 10, 60)
    slow_replay = size(
        none, Costs(replay_rows_s=10_000, copy_bytes=0, account_bytes=0), WorkerLimits(replay_within_s=100), 16
    )
    assert (slow_replay.first, slow_replay.workers, slow_replay.replay_s) == ("recovery", 17, 100)


def test_partitions_are_doubled_until_each_worker_has_one() -> None:
    tried = choose(Workload(2_000_000), PLAIN, WorkerLimits())
    assert [each.partitions for each in tried] == [8 * 2**step for step in range(len(tried))]
    assert all(each.workers > each.partitions for each in tried[:-1])
    assert tried[-1].workers <= tried[-1].partitions
    assert lines(tried[0])[0].endswith("too few partitions")


def test_a_small_load_is_one_worker() -> None:
    (only,) = choose(Workload(10_000), Costs(), WorkerLimits())
    assert (only.partitions, only.workers) == (8, 1)
    assert only.worker_gib * GIB < 512 * 2**20
