"""How many workers and partitions a load needs, and what is full first: a calculation from measured costs.

    python -m bench.sizing --tenants 1000000 [--incidents-per-tenant-month 2] [--busy-hour 8] ...

Costs are those of docs/performance.md, on the machine named there; give your own (`python -m bench.crowd`,
`python -m bench.tenants`, `sla bench`) for another. It knows no queues: half of each core stays free, as the latencies
need it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from math import ceil

MONTH_S = 30 * 86_400
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured. Microseconds of processor time, bytes."""

    event_us: float = 100.0
    """An incident event in the worker, with its outputs and the ledger's part."""
    commit_us: float = 3_000.0
    """A transaction in the worker, however little is in it."""
    commits_a_second: float = 12.0
    """Of one task that is never idle: a commit and the rest after it."""
    close_us: float = 230.0
    """A tenant's final statement."""
    broker_event_us: float = 60.0
    """An incident event and what follows from it, written once and read once."""
    incident_bytes: float = 700.0
    """An open or retained incident, one fact."""
    fact_bytes: float = 100.0
    """Each further fact."""
    copy_bytes: float = 800.0
    """A tenant's terms in one partition."""
    account_bytes: float = 3_000.0
    """A tenant in the ledger."""
    replay_rows_s: float = 100_000.0
    """Rows of its changelog that a worker takes back in a second: a million open incidents in 11 s."""
    worker_bytes: float = 90 * 2**20
    """A worker without state."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be carried."""

    tenants: int
    incidents_per_tenant_month: float = 2.0
    events_per_incident: float = 6.0
    busy_hour: float = 8.0
    """How many times the average the busiest hour is."""
    open_days: float = 1.0
    retained_days: float = 120.0
    """SLA_RETAIN_CLOSED: ended incidents that stay amendable."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What one worker may take."""

    usable: float = 0.5
    """Share of a core, so that queues stay short."""
    memory_gib: float = 4.0
    replay_within_s: float = 60.0
    close_within_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What it takes, for one choice of partitions."""

    partitions: int
    events_s: float
    """In the busiest hour."""
    incidents: float
    """Open or retained."""
    workers: int
    worker_cores: float
    """Processor time of deciding and committing, all workers together, in the busiest hour."""
    worker_gib: float
    """Memory of one worker."""
    copies_gib: float
    """Of that, all workers together, what the copies of terms take."""
    replay_s: float
    """One worker coming back with its share."""
    close_s: float
    """The month's close, all workers deciding."""
    broker_cores: float
    first: str
    """What is full first."""


def size(load: Workload, costs: Costs, bounds: WorkerLimits, partitions: int) -> Deployment:
    """Workers are as many as the tightest of processor time, memory, recovery and close asks for."""
    events_s = load.tenants * load.incidents_per_tenant_month * load.events_per_incident / MONTH_S * load.busy_hour
    a_day = load.tenants * load.incidents_per_tenant_month / 30
    incidents = a_day * (load.open_days + load.retained_days)
    tasks = 2 * partitions
    commits_s = min(tasks * costs.commits_a_second, 2 * events_s)
    cores = (events_s * costs.event_us + commits_s * costs.commit_us) / 1e6
    copies = load.tenants * partitions * costs.copy_bytes
    stored = incidents * (costs.incident_bytes + (load.events_per_incident - 1) * costs.fact_bytes)
    state = copies + stored + load.tenants * costs.account_bytes
    rows = load.tenants * (partitions + 1) + incidents * load.events_per_incident
    needs = {
        "processor time": cores / bounds.usable,
        "memory": state / (bounds.memory_gib * GIB - costs.worker_bytes),
        "recovery": rows / costs.replay_rows_s / bounds.replay_within_s,
        "the month's close": load.tenants * costs.close_us / 1e6 / bounds.close_within_s,
    }
    first = max(needs, key=needs.__getitem__)
    workers = max(1, ceil(needs[first]))
    return Deployment(
        partitions=partitions,
        events_s=events_s,
        incidents=incidents,
        workers=workers,
        worker_cores=cores,
        worker_gib=(state / workers + costs.worker_bytes) / GIB,
        copies_gib=copies / GIB,
        replay_s=rows / workers / costs.replay_rows_s,
        close_s=load.tenants * costs.close_us / 1e6 / workers,
        broker_cores=events_s * costs.broker_event_us / 1e6,
        first=first,
    )


def choose(load: Workload, costs: Costs, bounds: WorkerLimits) -> list[Deployment]:
    """From 8 partitions on, doubled until there is a partition for each worker. Copies of terms grow with them, so no
    more than needed."""
    found = [size(load, costs, bounds, 8)]
    while found[-1].workers > found[-1].partitions and found[-1].partitions < 1024:
        found.append(size(load, costs, bounds, found[-1].partitions * 2))
    return found


def lines(found: Deployment) -> list[str]:
    """For people."""
    fits = "" if found.workers <= found.partitions else ": too few partitions"
    return [
        f"{found.partitions} partitions: {found.workers} workers of one core and {found.worker_gib:.1f} GiB{fits}",
        f"  busiest hour {found.events_s:,.1f} events/s: workers {found.worker_cores:.2f} cores, "
        f"broker {found.broker_cores:.2f}",
        f"  {found.incidents:,.0f} incidents kept; copies of terms {found.copies_gib:.1f} GiB over all workers",
        f"  a worker is back after {found.replay_s:.0f} s; the month closes in {found.close_s:.0f} s",
        f"  full first: {found.first}",
    ]


def main() -> None:
    """Print the size for each number of partitions that was tried; the last one fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    for group in (Workload, Costs, WorkerLimits):
        for each in fields(group):
            if each.name != "tenants":
                parser.add_argument(f"--{each.name.replace('_', '-')}", type=float, default=each.default)
    given = vars(parser.parse_args())
    load = Workload(**{each.name: given[each.name] for each in fields(Workload)})
    costs = Costs(**{each.name: given[each.name] for each in fields(Costs)})
    bounds = WorkerLimits(**{each.name: given[each.name] for each in fields(WorkerLimits)})
    for found in choose(load, costs, bounds):
        print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
