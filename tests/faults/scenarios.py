"""Every scenario by name: what is done, how fast the load comes, and to what kind of deployment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from . import (
    broker_disks,
    brokers,
    disk,
    hostile,
    kills,
    network,
    permissions,
    plain_faust,
    poison,
    readers,
    recovering,
    timers,
    upgrading,
    workers,
)
from .run import Result, Scenario, execute


def _plan(scenario: Scenario, **options: Any) -> Callable[[str, int, Path, bool], Result]:
    def play(name: str, seed: int, folder: Path, short: bool) -> Result:
        return execute(name, scenario, seed, folder, short=short, **options)

    return play


#: Those that take longest come first: several run at a time.
SCENARIOS: dict[str, Callable[[str, int, Path, bool], Result]] = {
    "same-second": _plan(timers.same_second, rate=50.0),
    "kill-at-points": _plan(kills.at_points),
    "kill-at-random": _plan(kills.at_random, rate=200.0),
    "three-brokers": _plan(brokers.losses, rate=80.0, brokers=brokers.three_brokers, replication=3, held_back=True),
    "kill-at-deadlines": _plan(timers.at_deadlines, rate=100.0),
    "rolling-restart": _plan(
        brokers.rolling_restarts, rate=80.0, brokers=brokers.three_brokers, replication=3, held_back=True
    ),
    "leaderless": _plan(brokers.leaderless, rate=80.0, brokers=brokers.three_brokers, held_back=True),
    "permissions": _plan(permissions.withdrawn, rate=80.0, brokers=permissions.secured),
    "network": _plan(network.bad_network, rate=100.0, brokers=network.proxied),
    "zombies": _plan(workers.zombies, rate=120.0),
    "held-alone": _plan(workers.held_alone, rate=100.0),
    "no-disk": _plan(disk.folders_fail, rate=100.0),
    "broker-restarts": _plan(brokers.restarts, rate=120.0),
    "broker-disk": _plan(broker_disks.fails, rate=100.0),
    "cleaner-broken-off": _plan(broker_disks.cleaner_broken_off, rate=100.0),
    "churn": _plan(workers.churn, rate=120.0),
    "scale": _plan(workers.scale),
    "rolling-upgrade": _plan(upgrading.rolling_upgrade, tree=upgrading.earlier_tree),
    "clock-behind": _plan(timers.clock_behind, rate=100.0),
    "clock-ahead": _plan(timers.clock_ahead, rate=100.0),
    "silent-partition": _plan(timers.silent_partition, rate=100.0, mixed_in=timers.elsewhere),
    "poison": _plan(poison.poisoned, mixed_in=poison.mixed_in),
    "no-disk-at-start": _plan(disk.started_without, rate=100.0),
    "readers": _plan(readers.misbehaving),
    "compaction": _plan(recovering.compacted),
    "offsets-moved": _plan(recovering.offsets_moved, rate=100.0),
    "compressed": hostile.hostile(hostile.compressed),
    "much-evidence": hostile.hostile(hostile.much_evidence),
    "two-deployments": hostile.hostile(hostile.two_deployments),
    "deployments-at-once": hostile.hostile(hostile.deployments_at_once),
    "topic-recreated": hostile.hostile(hostile.topic_recreated),
    "alien-records": hostile.hostile(hostile.alien_records),
    "control": plain_faust.control,
}


def play(names: list[str], seed: int, folder: Path, *, short: bool, jobs: int) -> Iterator[Result]:
    """The results as they come; each scenario in a process of its own."""
    spawned = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawned, max_tasks_per_child=1) as pool:
        runs = [pool.submit(scenario, name, seed, folder / name, short) for name in names]
        for run in as_completed(runs):
            yield run.result()


def scenario(name: str, seed: int, folder: Path, short: bool) -> Result:
    """Play one, here."""
    print(name, file=sys.stderr, flush=True)
    return SCENARIOS[name](name, seed, folder, short)
