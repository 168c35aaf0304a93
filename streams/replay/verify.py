"""Statements checked against the events they were made from (R30, R32).

A statement of instant T is made when time first passes T, from every line before. One of a month that was over when
its contract arrived is made when the backfill is idle, and one whose period follows from a later contract fact is made
after that. Those not made by the end are checked against every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop

from streams.replay.history import InputLine, Replay, Step, TimeAdvance, apply_to_incidents
from streams.sla.arrival import TimeLimits
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.submitted import SubmittedStatement, TermDifference
from streams.sla.credits.verify import check_against
from streams.sla.events import CONTRACT_TYPES
from streams.sla.impact import impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import outputs_of
from streams.sla.policy import Policies


class ReplayedMonths:
    """Applies recorded lines to a `recomputation` of every tenant-month."""

    def __init__(self, policies: Policies, time_limits: TimeLimits, *, backfill: bool = False) -> None:
        self._replay = Replay(time_limits, backfill=backfill)
        self._incidents = IncidentStore(policies, time_limits)
        self.recomputation = Recomputation(policies, time_limits)

    def read(self, number: int, line: str) -> Iterator[Step]:
        """Apply one line (numbered from 1). Each step comes out before it is applied."""
        for step in self._replay.steps(number, line):
            yield step
            self._apply(step)

    def _apply(self, step: Step) -> None:
        if isinstance(step, InputLine) and step.event.type in CONTRACT_TYPES and not self._take(step):
            return
        for decision in apply_to_incidents(self._incidents, step):
            for output in outputs_of(decision):
                if output.type == "impact.changed":
                    self.recomputation.put_impacts(impact_copy(output.data))

    def _take(self, step: InputLine) -> bool:
        return self.recomputation.add(step.event, step.arrival, step.position)


def check_with_events(
    statements: list[SubmittedStatement], lines: Iterable[str], months: ReplayedMonths
) -> dict[int, TermDifference | None]:
    """What each statement (by its index) differs in from the events; None where it agrees."""
    waiting = _WaitingStatements(statements, months.recomputation)
    found: dict[int, TermDifference | None] = {}
    for number, line in enumerate(lines, 1):
        for step in months.read(number, line):
            if isinstance(step, TimeAdvance):
                made = waiting.made_by(step)
                found |= {index: check_against(statements[index], months.recomputation) for index in made}
            elif isinstance(step, InputLine) and step.event.type in CONTRACT_TYPES:
                waiting.contract_arrives(step.event.subject)
    found |= {index: check_against(statements[index], months.recomputation) for index in waiting.rest()}
    return found


class _WaitingStatements:
    """The statements (by index) that have not been made yet, by what they wait for. Each is looked at again only when
    that happens, so the work is linear in lines and statements."""

    def __init__(self, statements: list[SubmittedStatement], recomputation: Recomputation) -> None:
        self._statements = statements
        self._recomputation = recomputation
        self._by_time = [(given.time, index) for index, given in enumerate(statements)]
        heapify(self._by_time)
        self._by_tenant: dict[str, list[int]] = {}
        self._for_backfill: list[int] = []
        self._with_contract: set[str] = set()

    def made_by(self, advance: TimeAdvance) -> list[int]:
        """Those that are made as time advances; they no longer wait."""
        ready: list[int] = []
        while self._by_time and self._by_time[0][0] < advance.before:
            ready.append(heappop(self._by_time)[1])
        for tenant in self._with_contract:
            # Statements of an erased tenant may carry its name or its pseudonym (R29).
            for name in {tenant, self._recomputation.erasures.name(tenant)}:
                ready += self._by_tenant.pop(name, ())
        self._with_contract.clear()
        made = self._for_backfill if advance.backfill_idle else []
        if advance.backfill_idle:
            self._for_backfill = []
        for index in ready:
            given = self._statements[index]
            known_at = self._recomputation.known_at(given.tenant)
            # A month without time under contract has a statement only if it had one before.
            had_one = given.status == "adjusted" or not given.eligible
            period = self._recomputation.period(given.tenant, given.month, settled=had_one)
            # Another period follows from a contract fact that is yet to arrive: an earlier one moves the first month
            # that has a statement, and fixes the zone.
            if known_at is None or given.period != period:
                self._by_tenant.setdefault(given.tenant, []).append(index)
            elif advance.backfill_idle or given.time > known_at:
                made.append(index)
            else:
                self._for_backfill.append(index)
        return made

    def contract_arrives(self, tenant: str) -> None:
        """A contract fact of this tenant is about to be applied; the next advance looks at what waits for it."""
        self._with_contract.add(tenant)

    def rest(self) -> list[int]:
        """Those that history ended before."""
        return [
            *self._for_backfill,
            *(i for each in self._by_tenant.values() for i in each),
            *(i for _, i in self._by_time),
        ]
