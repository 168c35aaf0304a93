"""Two policies over the same history: breaches gained and lost by incident, credits by tenant and month.

Incidents are independent of each other given the contracts, so each part takes some of them and every contract.
The impacts of all parts are then counted into credits. The number of parts does not change the result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from zlib import crc32

from streams.replay.history import InputLine, RejectedLine, Replay, Step, TimeAdvance, apply_to_incidents
from streams.replay.what_if_statements import ContractLine, ImpactChange, Moment, TimeAdvances
from streams.sla.arrival import TimeLimits
from streams.sla.credits.recompute import Recomputation
from streams.sla.decisions import Rejected
from streams.sla.events import INCIDENT_RANK
from streams.sla.impact import ImpactCopy, impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Decision, outputs_of
from streams.sla.policy import Policies

PLATFORM = "*platform*"
"""Stands for the tenant of platform-wide incidents."""


class StandingBreach(NamedTuple):
    """A breach that is not retracted at the end. `tenants` is PLATFORM alone for a platform-wide incident."""

    incident_id: str
    metric: str
    instance: int
    severity: str
    deadline: int
    tenants: tuple[str, ...]


@dataclass
class PartialComparison:
    """What the incidents of one part came to. Breaches stand by tenant (each incident once for each of its tenants)
    and `total` (once) under the old policy and the new one."""

    gained: list[StandingBreach] = field(default_factory=list)
    lost: list[StandingBreach] = field(default_factory=list)
    standing: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    total: tuple[int, int] = (0, 0)
    impacts: list[ImpactChange] = field(default_factory=list)
    contracts: list[ContractLine] = field(default_factory=list)
    lines: int = 0
    rejected: int = 0
    end: TimeAdvance = field(default_factory=lambda: TimeAdvance(0, backfill_idle=True))


class ReplayedIncidents:
    """Incidents of a history under one policy: the breaches that stand, by output id, and each incident's impacts."""

    def __init__(self, policies: Policies, time_limits: TimeLimits) -> None:
        self.store = IncidentStore(policies, time_limits)
        self.breaches: dict[str, StandingBreach] = {}
        self.impacts: dict[str, ImpactCopy] = {}

    def take(self, decision: Decision) -> tuple[ImpactCopy, bool] | None:
        """Fold the outputs of a decision, which is about one incident. Returns its impact list where that changed, and
        whether the incident is history being loaded."""
        changed = None
        for output in outputs_of(decision):
            data = output.data
            if output.type == "sla.breached":
                platform = data["scope"] == "platform"
                self.breaches[output.id] = StandingBreach(
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
                copy = self.impacts[output.subject] = impact_copy(output.data)._replace(evidence=())
                changed = copy, output.backfill
        return changed

    def by_clock(self) -> dict[tuple[str, str, int], StandingBreach]:
        """The standing breaches by incident, metric and instance. Tenants that have been erased since go by their
        pseudonyms (R29)."""
        names = self.store.erasures.names
        return {one[:3]: one._replace(tenants=names(one.tenants)) for one in self.breaches.values()}


class PolicyComparer:
    """The incidents of one part of the ids (`part` of `parts`), under both policies at once."""

    def __init__(
        self,
        old: Policies,
        new: Policies,
        time_limits: TimeLimits,
        *,
        part: int = 0,
        parts: int = 1,
        until: int | None = None,
        backfill: bool = False,
    ) -> None:
        self._sides = ReplayedIncidents(old, time_limits), ReplayedIncidents(new, time_limits)
        self._contracts = Recomputation(old, time_limits)
        self._replay = Replay(time_limits, backfill=backfill, until=until, reads=self._in_part)
        self._part, self._parts = part, parts
        self._advances = TimeAdvances()
        self._number = 0
        self._result = PartialComparison()

    def read(self, number: int, line: str) -> None:
        """Apply one line, numbered from 1; every part receives all lines, because each advances the clock."""
        self._result.lines += bool(line.strip())
        self._number = number
        for step in self._replay.steps(number, line):
            if isinstance(step, TimeAdvance):
                self._advances.add(step)
            if isinstance(step, RejectedLine):
                self._result.rejected += self._in_part(step.subject)
            elif not isinstance(step, InputLine) or step.event.type in INCIDENT_RANK or self._take_contract(step):
                self._apply(step)

    def end(self) -> PartialComparison:
        """End of input: fires everything due by the end."""
        advance = self._replay.end()
        self._apply(advance)
        result, (old, new) = self._result, (side.by_clock() for side in self._sides)
        result.gained = [breach for key, breach in new.items() if key not in old]
        result.lost = [breach for key, breach in old.items() if key not in new]
        for standing, breaches in zip(result.standing, (old, new), strict=True):
            standing.update(tenant for breach in breaches.values() for tenant in breach.tenants)
        result.total = len(old), len(new)
        result.end = advance
        return result

    def _in_part(self, subject: str | None) -> bool:
        """Whether an incident, or an unreadable line, is counted here."""
        return self._parts == 1 or crc32((subject or "").encode()) % self._parts == self._part

    def _take_contract(self, step: InputLine) -> bool:
        """Whether a contract or maintenance event is accepted."""
        accepted = self._contracts.add(step.event, step.arrival, step.position)
        if accepted:
            self._result.contracts.append(ContractLine(self._moment(), step))
        return accepted

    def _moment(self) -> Moment:
        return Moment(self._number, self._advances.take(), self._replay.clock)

    def _apply(self, step: Step) -> None:
        rejected = False
        for index, side in enumerate(self._sides):
            for decision in apply_to_incidents(side.store, step):
                changed = side.take(decision)
                rejected |= index == 0 and isinstance(decision, Rejected)
                # Impacts are facts that no policy decides on (R21): those of one side are those of both.
                if changed is not None and index == 0:
                    self._result.impacts.append(ImpactChange(self._moment(), *changed))
        self._result.rejected += rejected
