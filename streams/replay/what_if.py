"""Two policies over the same history: breaches gained and lost by incident, credits by tenant and month.

Incidents are independent of each other given the contracts, so a shard takes some of them and every contract; what its
incidents touched is then counted with everyone's into credits. Any number of shards comes to the same.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from zlib import crc32

from streams.replay.history import CONTRACT_TOPIC, INCIDENT_TOPIC, ReplayClock, apply_contract_fact, fire_timers
from streams.serde.cloudevents_json import parse_line
from streams.sla.arrival import TimeLimits
from streams.sla.credits.recompute import Recomputation
from streams.sla.decisions import Rejected
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Event, Position, Rejection
from streams.sla.facts import to_event
from streams.sla.impact import ImpactCopy, impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision, outputs_of
from streams.sla.instants import parse_rfc3339
from streams.sla.policy import Policies

PLATFORM = "*platform*"
"""Whose the breaches of platform-wide incidents are."""


class Breach(NamedTuple):
    """A breach that stands at the end. `tenants` is PLATFORM alone for a platform-wide incident."""

    incident_id: str
    metric: str
    instance: int
    severity: str
    deadline: int
    tenants: tuple[str, ...]


class ContractLine(NamedTuple):
    """A contract or maintenance event that stands, and where and when it came."""

    event: Event
    arrival: int
    position: Position


@dataclass
class Part:
    """What the incidents of one shard came to. Breaches stand by tenant (each incident once for each of its tenants)
    and `total` (once) under the old policy and the new one."""

    gained: list[Breach] = field(default_factory=list)
    lost: list[Breach] = field(default_factory=list)
    standing: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    total: tuple[int, int] = (0, 0)
    impacts: list[ImpactCopy] = field(default_factory=list)
    contracts: list[ContractLine] = field(default_factory=list)
    lines: int = 0
    refused: int = 0
    clock: int = 0


class _Side:
    """The incidents of a shard under one policy."""

    def __init__(self, policies: Policies, time_limits: TimeLimits) -> None:
        self.book = IncidentStore(policies, time_limits)
        self.breaches: dict[str, Breach] = {}
        self.impacts: dict[str, ImpactCopy] = {}

    def take(self, decision: Decision) -> None:
        for output in outputs_of(decision):
            data = output.data
            if output.type == "sla.breached":
                platform = data["scope"] == "platform"
                self.breaches[output.id] = Breach(
                    output.subject,
                    cast(str, data["metric"]),
                    cast(int, data["instance"]),
                    cast(str, data["severity"]),
                    cast(int, data["deadline"]),
                    (PLATFORM,) if platform else tuple(sorted(set(cast(list[str], data["tenant_ids"])))),
                )
            elif output.type == "sla.breach_retracted":
                self.breaches.pop(cast(str, data["breach_id"]), None)
            elif output.type == "impact.changed":
                self.impacts[output.subject] = impact_copy(output.data)._replace(evidence=())

    def by_clock(self) -> dict[tuple[str, str, int], Breach]:
        """Tenants that have been erased since go by their pseudonyms (R29)."""
        names = self.book.erasures.names
        return {one[:3]: one._replace(tenants=names(one.tenants)) for one in self.breaches.values()}


class HistoryPart:
    """The incidents whose ids fall to one of so many shards, under both policies at once."""

    def __init__(
        self,
        old: Policies,
        new: Policies,
        time_limits: TimeLimits,
        *,
        shard: int = 0,
        shards: int = 1,
        until: int | None = None,
        backfill: bool = False,
    ) -> None:
        self._sides = _Side(old, time_limits), _Side(new, time_limits)
        self._contracts = Recomputation(old, time_limits)
        self._arrivals = ReplayClock(time_limits, backfill=backfill, until=until)
        self._shard, self._shards, self._until = shard, shards, until
        self._part = Part()

    def read(self, number: int, line: str) -> None:
        """Take one line in, numbered from 1; every shard is given all of them, as each moves the clock."""
        if not line.strip():
            return
        self._part.lines += 1
        seen = _glance(line)
        if seen is None:
            self._part.refused += self._shard == 0
            return
        arrivals = self._arrivals
        if not arrivals.reads(seen.time, seen.received):
            return
        passed = arrivals.passed(backfill=seen.backfill)
        for side in self._sides:
            if passed is None:
                side.book.restore_backfill_idle(arrivals.quiet_at)
            else:
                for decision in fire_timers(side.book, passed):
                    side.take(decision)
        mine = self._shards == 1 or crc32(seen.subject.encode()) % self._shards == self._shard
        if mine or seen.contract:
            refused = self._apply(line, number, backfill=arrivals.loaded(backfill=seen.backfill))
            self._part.refused += mine and refused

    def _apply(self, line: str, number: int, *, backfill: bool) -> bool:
        """Apply a line to both sides; whether it is refused."""
        parsed = parse_line(line, inputs_only=True)
        event = parsed if isinstance(parsed, Rejection) else to_event(*parsed)
        if isinstance(event, Rejection):
            return True
        event = event._replace(backfill=backfill)
        arrival = self._arrivals.arrival
        if event.type in INCIDENT_RANK:
            position = Position(INCIDENT_TOPIC, 0, number - 1)
            decisions = [side.book.apply(event, arrival, position) for side in self._sides]
            for side, decision in zip(self._sides, decisions, strict=True):
                side.take(decision)
            return isinstance(decisions[0], Rejected)
        position = Position(CONTRACT_TOPIC, 0, number - 1)
        if not self._contracts.add(event, arrival, position):
            return False
        self._part.contracts.append(ContractLine(event, arrival, position))
        for side in self._sides:
            for following in apply_contract_fact(side.book, event, arrival, position):
                side.take(following)
        return False

    def end(self) -> Part:
        """No more lines: everything due by the end acts."""
        passed = self._arrivals.end(self._until)
        for side in self._sides:
            for decision in fire_timers(side.book, passed):
                side.take(decision)
        part, (old, new) = self._part, (side.by_clock() for side in self._sides)
        part.gained = [breach for key, breach in new.items() if key not in old]
        part.lost = [breach for key, breach in old.items() if key not in new]
        for standing, breaches in zip(part.standing, (old, new), strict=True):
            standing.update(tenant for breach in breaches.values() for tenant in breach.tenants)
        part.total = len(old), len(new)
        # Impacts are facts that no policy decides on (R21): those of one side are those of both.
        part.impacts = list(self._sides[0].impacts.values())
        part.clock = passed.before
        return part


class _Seen(NamedTuple):
    contract: bool
    subject: str
    time: int
    received: int | None
    backfill: bool


def _glance(line: str) -> _Seen | None:
    """What every shard needs of a line; None when it is no input event."""
    try:
        event = json.loads(line)
        kind, received = event["type"], event.get("receivedtime")
        contract = kind in CONTRACT_TYPES
        if not contract and kind not in INCIDENT_RANK:
            return None
        return _Seen(
            contract,
            str(event["subject"]),
            parse_rfc3339(event["time"]),
            None if received is None else parse_rfc3339(received),
            event.get("backfill") in (True, "true"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
