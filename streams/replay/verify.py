"""Statements checked against the events they were made from (R30, R32).

A statement of instant T is made when time first passes T, from every line before. One of a month that was over when
its contract arrived is made when the backfill is idle, and one whose period or instant follows from a later contract
fact is made after that. Those not made by the end are checked against every line.

An earlier release may have accepted inputs that this one refuses. A statement that differs is therefore checked again
with the inputs that its evidence names, as they were accepted then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from heapq import heapify, heappop
from typing import NamedTuple

from streams.replay.history import InputLine, Replay, Step, TimeAdvance, apply_to_incidents
from streams.replay.verify_made import FactChange, MadeChecks, NamesBefore
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.submitted import SubmittedStatement, TermDifference
from streams.sla.credits.time_index import PLATFORM
from streams.sla.credits.verify import check_against, check_month
from streams.sla.credits.verify_issued import ClaimedAt, ExpectedCredits, check_waived, expected_credits
from streams.sla.credits.verify_revision import Months
from streams.sla.events import (
    CONTRACT_TYPES,
    CreditClaimed,
    MaintenanceCancelled,
    MaintenanceScheduled,
    Rejection,
    TenantErased,
)
from streams.sla.impact import Impact, ImpactCopy, impact_copy
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import outputs_of
from streams.sla.policy import Policies


class RefusedInput(NamedTuple):
    """An input that was taken although this release refuses it: its line, its arrival in microseconds, its kind and id
    as evidence names it, and the reason."""

    line: int
    arrival: int
    name: tuple[str, str]
    rejection: Rejection


def _name_of(event_type: str, subject: str, event_id: str) -> tuple[str, str]:
    """Kind and id by which evidence names an input."""
    kind = event_type.partition(".")[0]
    return kind, event_id if kind == "contract" else subject


class Evidence:
    """The inputs that the evidence of some statements names. Where evidence is summarised, these are all."""

    def __init__(self, statements: Iterable[SubmittedStatement]) -> None:
        self._names: set[tuple[str, str]] = set()
        self._all = False
        for given in statements:
            self._names |= given.evidence
            self._all = self._all or given.evidence_summary is not None

    def names(self, event_type: str, record: Mapping[str, object]) -> bool:
        """Whether it names a record."""
        return self._all or _name_of(event_type, str(record["subject"]), str(record["event_id"])) in self._names


class ReplayedMonths:
    """Applies recorded lines to a `recomputation` of every tenant-month."""

    def __init__(
        self,
        policies: Policies,
        time_limits: TimeLimits,
        *,
        backfill: bool = False,
        evidence: Evidence | None = None,
    ) -> None:
        """With `evidence` the inputs that it names are taken as they were accepted by releases with fewer checks."""
        accepted_before = None if evidence is None else evidence.names
        self._replay = Replay(time_limits, backfill=backfill, accepted_before=accepted_before, loaded_times=True)
        self.refused: list[RefusedInput] = []
        self.events = 0
        """How many lines had an event that can be applied."""
        self._incidents = IncidentStore(policies, time_limits)
        self.policies = policies
        self._time_limits = time_limits
        self.recomputation = Recomputation(policies, time_limits)
        self.changes: list[FactChange] = []
        """What the latest line changed."""
        self.counting = False
        """Whether `changes` has what the impacts of incidents change."""
        self.claims: dict[tuple[str, str], list[ClaimedAt]] = {}
        """Claims by tenant and month, each once."""
        self._claims: set[tuple[str, str]] = set()
        self.exact = True
        """Whether the lines tell the arrivals as they were for the ledger."""

    def read(self, number: int, line: str) -> Iterator[Step]:
        """Apply one line (numbered from 1). Each step comes out before it is applied."""
        self.changes.clear()
        for step in self._replay.steps(number, line):
            yield step
            self._apply(step)

    def _apply(self, step: Step) -> None:
        self.events += isinstance(step, InputLine)
        if isinstance(step, InputLine) and step.accepted_before:
            self._note_refusal(step)
        if isinstance(step, InputLine) and isinstance(step.event.payload, CreditClaimed):
            self._claim(step)
        if isinstance(step, InputLine) and step.event.type in CONTRACT_TYPES and not self._take(step):
            return
        for decision in apply_to_incidents(self._incidents, step):
            for output in outputs_of(decision):
                if output.type == "impact.changed":
                    self._put(impact_copy(output.data))

    def _claim(self, step: InputLine) -> None:
        event, known = step.event, (step.event.source, step.event.id)
        if known in self._claims or check_time(event, step.arrival, self._time_limits) is not None:
            return
        self._claims.add(known)
        assert isinstance(event.payload, CreditClaimed)
        self.claims.setdefault((event.subject, event.payload.month), []).append(
            ClaimedAt(step.arrival, event.time, event.backfill)
        )

    def expected_credits(self, revisions: Iterable[SubmittedStatement]) -> ExpectedCredits | None:
        """What the revisions of one month and its claims lead to; None where that does not follow from them."""
        ordered = sorted({one.revision: one for one in revisions}.values(), key=lambda one: one.revision)
        if not self.exact or not ordered or ordered[-1].status == "provisional":
            return None
        name = self.recomputation.erasures.name
        wanted = {(name(one.tenant), one.month) for one in ordered}
        found = [
            one for (tenant, month), each in self.claims.items() if (name(tenant), month) in wanted for one in each
        ]
        # The arrival of one that was loaded as history may be another for the ledger.
        return None if any(one.backfill for one in found) else expected_credits(ordered, found, self.policies)

    def _put(self, copy: ImpactCopy) -> None:
        if self.counting:
            before = self.recomputation.impacts_of(copy.incident_id)
            old, new = (_by_tenant(one, self.recomputation.erasures.name) for one in (before, copy))
            concerned = frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
            self.changes.append(FactChange(None if PLATFORM in concerned else concerned))
        self.recomputation.put_impacts(copy)

    def _take(self, step: InputLine) -> bool:
        event = step.event
        taken = self.recomputation.add(event, step.arrival, step.position, accepted_before=step.accepted_before)
        if taken and not isinstance(event.payload, TenantErased):
            everybody = isinstance(event.payload, MaintenanceScheduled | MaintenanceCancelled)
            names = {event.subject, self.recomputation.erasures.name(event.subject)}
            self.changes.append(FactChange(None if everybody else frozenset(names)))
        return taken

    def _note_refusal(self, step: InputLine) -> None:
        refusal = step.refusal or self.recomputation.oversize(step.event)
        if refusal is not None:
            input_name = _name_of(step.event.type, step.event.subject, step.event.id)
            self.refused.append(RefusedInput(step.number, step.arrival, input_name, refusal))


def _by_tenant(copy: ImpactCopy | None, named: Callable[[str], str]) -> dict[str, set[Impact]]:
    """What an impact list says of each tenant that it names, and of all (`PLATFORM`)."""
    found: dict[str, set[Impact]] = {}
    for impact in copy.impacts if copy is not None else ():
        for name in (PLATFORM,) if impact.scope == "platform" else impact.tenant_ids:
            found.setdefault(named(name), set()).add(impact._replace(tenant_ids=()))
    return found


def check_with_events(
    statements: list[SubmittedStatement], lines: Iterable[str], months: ReplayedMonths
) -> dict[int, TermDifference | None]:
    """What each statement (by its index) differs in from the events; None where it agrees."""
    found: dict[int, TermDifference | None] = {}
    for index, given in enumerate(statements):
        if (wrong := check_month(given)) is not None:  # it has no month that could be recomputed
            found[index] = wrong
    names = NamesBefore(months.recomputation)
    waiting = _WaitingStatements(statements, months.recomputation, names, set(found))
    made = MadeChecks(
        {index: given for index, given in enumerate(statements) if index not in found},
        months.policies,
        months.recomputation,
        names,
    )
    months.counting = made.counting
    for number, line in enumerate(lines, 1):
        dated, arrival, backfill = False, None, False
        for step in months.read(number, line):
            made.step(step, dated)
            if isinstance(step, TimeAdvance):
                dated = True
                ready = waiting.made_by(step)
                found |= {index: check_against(waiting.as_known(index), months.recomputation) for index in ready}
            elif isinstance(step, InputLine):
                arrival, backfill = step.arrival, step.event.backfill
                if step.event.type in CONTRACT_TYPES:
                    waiting.contract_arrives(step.event.subject)
        if arrival is not None and months.changes:
            made.changed(months.changes, arrival, backfill=backfill)
    made.end()
    found |= {index: check_against(statements[index], months.recomputation) for index in waiting.rest()}
    months.exact = made.exact
    by_month = Months(statements, months.recomputation.erasures)

    def made_and_waived(index: int) -> TermDifference | None:
        given = statements[index]
        return made.difference(index) or check_waived(given, months.expected_credits(by_month.of(given)))

    return {index: difference or made_and_waived(index) for index, difference in found.items()}


def check_as_accepted(
    statements: list[SubmittedStatement],
    lines: Iterable[str],
    policies: Policies,
    time_limits: TimeLimits,
    *,
    backfill: bool = False,
) -> dict[int, list[RefusedInput]]:
    """Those statements (by index) that agree with the events once the inputs that evidence names are taken as releases
    with fewer checks took them, each with the inputs of its evidence that this release refuses."""
    months = ReplayedMonths(policies, time_limits, backfill=backfill, evidence=Evidence(statements))
    found = check_with_events(statements, lines, months)
    agreed: dict[int, list[RefusedInput]] = {}
    for index, difference in found.items():
        given = statements[index]
        whole = given.evidence_summary is not None
        refused = [one for one in months.refused if one.arrival <= given.time and (whole or one.name in given.evidence)]
        if difference is None and refused:
            agreed[index] = refused
    return agreed


class _WaitingStatements:
    """The statements (by index) that have not been made yet, by what they wait for. Each is looked at again only when
    that happens, so the work is linear in lines and statements."""

    def __init__(
        self,
        statements: list[SubmittedStatement],
        recomputation: Recomputation,
        names: NamesBefore,
        without: set[int],
    ) -> None:
        self._statements = statements
        self._recomputation = recomputation
        self._names = names
        self._by_time = [(given.time, index) for index, given in enumerate(statements) if index not in without]
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
            name = self._names.name(given.tenant)
            known_at = self._recomputation.known_at(name)
            # A month without time under contract has a statement only if it had one before.
            had_one = given.status == "adjusted" or not given.eligible
            period = self._recomputation.period(name, given.month, settled=had_one)
            # Another period follows from a contract fact that is yet to arrive: an earlier one moves the first month
            # that has a statement, and fixes the zone.
            if known_at is None or given.period != period or self._closes_later(given, name, advance):
                self._by_tenant.setdefault(given.tenant, []).append(index)
            elif advance.backfill_idle or given.time > known_at:
                made.append(index)
            else:
                self._for_backfill.append(index)
        return made

    def _closes_later(self, given: SubmittedStatement, name: str, advance: TimeAdvance) -> bool:
        """Whether the month of a final statement is still open by the terms known so far, although its instant has
        passed: a contract fact that is yet to arrive gives it a plan with a shorter grace."""
        final_at = self._recomputation.final_at(name, given.month) if given.status == "final" else None
        return final_at is not None and final_at != given.time and final_at >= advance.before

    def as_known(self, index: int) -> SubmittedStatement:
        """A statement with the name that its tenant has in the facts read so far: one that is made late, after an
        erasure, has the pseudonym already and is checked against the facts of before."""
        given = self._statements[index]
        return replace(given, tenant=self._names.name(given.tenant))

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
