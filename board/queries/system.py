"""How far the read model has come, and which policy versions decided what it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from board.store.tables import checkpoint, incident, statement
from streams.sla.instants import SECOND
from streams.sla.policy import Policies

#: A timer fires only once a worker has read its input up to the deadline: what is due for longer is overdue.
TIMER_DELAY = 15 * SECOND
#: How a version in use compares with the policies that are deployed here.
SAME, DIFFERS, MISSING = "deployed", "other content", "not deployed"


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a partition of a topic (without prefix) has been applied to the database."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class VersionInUse:
    """A policy version that decided incidents or statements of the read model. `deployed` is SAME, DIFFERS or
    MISSING."""

    policy: str
    version: str
    digest: str
    open_incidents: int
    incidents: int
    statements: int
    deployed: str


def read_position(connection: Connection) -> int:
    """One number that grows with every transaction that applied records: the sum of all next offsets."""
    found = connection.execute(select(func.sum(checkpoint.c.next_offset))).scalar()
    return 0 if found is None else int(found)


def read_progress(connection: Connection) -> tuple[PartitionProgress, ...]:
    """By topic and partition."""
    columns = (checkpoint.c.topic, checkpoint.c.partition, checkpoint.c.next_offset)
    found = connection.execute(select(*columns).order_by(checkpoint.c.topic, checkpoint.c.partition))
    return tuple(PartitionProgress(*each) for each in found)


@dataclass(frozen=True, slots=True)
class OverdueTimers:
    """Open incidents whose next timer is due and has had no effect yet; `first` is the earliest, microseconds UTC.
    Those of loaded history are counted apart in `backfill`: their timers wait for the end of the load (R32)."""

    count: int
    first: int | None
    backfill: int


def overdue_timers(connection: Connection, before: int) -> OverdueTimers:
    """The timers that were due before an instant (microseconds UTC) and have not fired."""
    live = incident.c.backfill.is_(False)
    wanted = select(
        func.count().filter(live), func.min(incident.c.next_at).filter(live), func.count().filter(incident.c.backfill)
    ).where(incident.c.status == "open", incident.c.next_at < before)
    return OverdueTimers(*connection.execute(wanted).one())


def overdue_by_partition(connection: Connection, before: int) -> dict[int, tuple[int, int]]:
    """Partition → how many timers were due before an instant and have not fired, and when the first was due. Those of
    loaded history are left out."""
    wanted = (
        select(incident.c.partition, func.count(), func.min(incident.c.next_at))
        .where(incident.c.status == "open", incident.c.next_at < before, incident.c.backfill.is_(False))
        .group_by(incident.c.partition)
    )
    return {partition: (count, first) for partition, count, first in connection.execute(wanted)}


def versions_in_use(connection: Connection, deployed: Policies) -> tuple[VersionInUse, ...]:
    """By policy name and version. (The register of the workers is what `sla policy seen` shows.)"""
    incidents: dict[tuple[str, str], dict[str, int]] = {}
    key = (incident.c.status, incident.c.policy, incident.c.policy_version)  # in the order of the index
    for status, name, version, count in connection.execute(select(*key, func.count()).group_by(*key)):
        incidents.setdefault((name, version), {})[status] = count
    label = (statement.c.policy, statement.c.policy_version)
    counted_statements = connection.execute(select(*label, func.count()).group_by(*label))
    statements = {(name, version): count for name, version, count in counted_statements}
    found = []
    for used in sorted({*incidents, *statements}):
        by_status = incidents.get(used, {})
        digest = _digest(connection, *used, next(iter(by_status), None))
        compared = _compared(deployed, *used, digest)
        counts = (by_status.get("open", 0), sum(by_status.values()), statements.get(used, 0))
        found.append(VersionInUse(*used, digest, *counts, compared))
    return tuple(found)


def _digest(connection: Connection, name: str, version: str, status: str | None) -> str:
    """The digest of a version, as an incident of this status has it that it decided; without a status, a statement."""
    table = statement if status is None else incident
    wanted = select(table.c.data).where(table.c.policy == name, table.c.policy_version == version).limit(1)
    if status is not None:
        wanted = wanted.where(incident.c.status == status)
    return str(json.loads(connection.execute(wanted).scalar_one())["policy"]["digest"])


def _compared(deployed: Policies, name: str, version: str, digest: str) -> str:
    ours = deployed.exact(name, version)
    return MISSING if ours is None else SAME if ours.digest == digest else DIFFERS
