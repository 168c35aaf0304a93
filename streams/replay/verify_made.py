"""When statements were made and as which revision, checked against the arrivals of the events (R26).

Final and provisional statements have nominal instants, which their policy says. An adjusted one is made `adjust_after`
after the arrival of an input, so this needs the arrivals as they were, as in lines that `sla tail --json` prints. How
many revisions there can be follows from how often the month's result changed. They are counted only where the revision
before is not among the statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop
from typing import NamedTuple

from streams.replay.history import BackfillLoading, InputLine, Step, TimeAdvance
from streams.sla.credits.recompute import Recomputation
from streams.sla.credits.submitted import SubmittedStatement, TermDifference, instant
from streams.sla.credits.verify_revision import Months, final_at
from streams.sla.erasure import ERASED
from streams.sla.instants import MINUTE, months_before
from streams.sla.policy import Policies

MAX_PROBES = 1_000
"""A month with more instants of provisional statements is not counted through."""


class FactChange(NamedTuple):
    """Facts of some tenants (None: all) changed."""

    tenants: frozenset[str] | None

    def concerns(self, *names: str) -> bool:
        return self.tenants is None or not self.tenants.isdisjoint(names)


class _Count:
    """What bounds the revision of one statement: results of its month at instants of provisional statements, and
    arrivals of changes."""

    def __init__(self, base: SubmittedStatement | None) -> None:
        self.base = base
        self.provisional = 0
        self.last = (True, 0) if base is None else (base.guarantee_met, base.credit)
        self.changed_at: set[int] = set()
        self.known = True
        """Whether the account is known under the name of the statement, or the one before its erasure."""
        self.undated = 0
        """Changes by history, whose arrival may be another for the ledger."""

    def result(self, now: tuple[bool, int]) -> None:
        self.provisional += now != self.last
        self.last = now


class NamesBefore:
    """The names that erased tenants had before their erasure was read (R29)."""

    def __init__(self, recomputation: Recomputation) -> None:
        self._recomputation = recomputation
        self._hashed: set[str] = set()
        self._before: dict[str, str] = {}

    def name(self, tenant: str) -> str:
        """The name under which the facts read so far have a tenant of a statement."""
        if not tenant.startswith(ERASED) or self._recomputation.known_at(tenant) is not None:
            return tenant
        if tenant not in self._before:
            for name in self._recomputation.tenants():
                if name not in self._hashed:
                    self._hashed.add(name)
                    self._before[self._recomputation.erasures.pseudonym(name)] = name
        return self._before.get(tenant, tenant)


class MadeChecks:
    """Follows the steps of a history; afterwards `differences` has what is wrong, by the index of the statement."""

    def __init__(
        self,
        statements: Mapping[int, SubmittedStatement],
        policies: Policies,
        recomputation: Recomputation,
        names: NamesBefore,
    ) -> None:
        self._statements = statements
        self._policies = policies
        self._recomputation = recomputation
        self._names = names
        self._every_received = True
        self._undated_load = False
        self._fit: set[int] = set()
        """Adjusted statements whose instant follows from an arrival."""
        self._by_arrival: dict[int, set[int]] = defaultdict(set)
        self._after_timer: dict[int, set[int]] = defaultdict(set)
        self._before_eviction: dict[tuple[int, int], set[int]] = defaultdict(set)
        """Adjusted statements of months that may be evicted at their instant, by the instants between which an input
        leads to them."""
        self._evicted: set[int] = set()
        """Those of `_before_eviction` before which an input arrived."""
        self._arrived: set[int] = set()
        """Of the instants `_after_timer`, those at which an input arrived."""
        self._counts: dict[int, _Count] = {}
        self._probes: list[tuple[int, int]] = []
        months = Months(statements.values(), recomputation.erasures)
        self._delays = {p.statements.adjust_after for each in policies.by_name.values() for p in each}
        for index, given in statements.items():
            before = [one for one in months.of(given) if one.revision < given.revision]
            if given.status == "adjusted":
                self._expect(index, given, before)
            if given.revision > 1 and all(one.revision != given.revision - 1 for one in before):
                self._count(index, given, max(before, key=lambda one: one.revision, default=None))
        heapify(self._probes)
        self._timers = frozenset(at for each in self._after_timer.values() for at in each)

    def _expect(self, index: int, given: SubmittedStatement, before: Iterable[SubmittedStatement]) -> None:
        """The arrivals that lead to an adjustment at this instant."""
        times = {one.time for one in before}
        for delay in self._delays:
            self._by_arrival[given.time - delay].add(index)
            # No adjustment is dated before the statement that it follows.
            if given.time - delay in times:
                self._fit.add(index)
            # After a quarantine (R27) a month is adjusted from the instant on that time had reached, a microsecond
            # after a timer, where no input arrived.
            if (given.time - delay - 1) % MINUTE == 0:
                self._after_timer[index].add(given.time - delay - 1)
            # A month whose adjustment is pending when it is evicted, as a month begins, is adjusted at once.
            if months_before(given.time, 0) == given.time and months_before(given.time, 1) >= given.period.end:
                self._before_eviction[given.time - delay, given.time].add(index)

    def _count(self, index: int, given: SubmittedStatement, base: SubmittedStatement | None) -> None:
        policy = self._policies.exact(*given.policy[:2])
        if policy is None:
            return
        end = min(given.time, final_at(given, policy) - 1)
        start = given.period.start if base is None else max(base.time, given.period.start)
        settled = base is not None and base.status != "provisional"
        everies = {p.statements.provisional_every for each in self._policies.by_name.values() for p in each}
        length = given.period.end - given.period.start
        if length // policy.statements.provisional_every > MAX_PROBES or not length > 0:
            return
        self._counts[index] = _Count(base)
        if settled:
            return
        instants: set[int] = set()
        for every in everies:
            if length // every <= MAX_PROBES:
                first = given.period.start + ((start - given.period.start) // every + 1) * every
                instants.update(range(first, end + 1, every))
        self._probes += [(at, index) for at in instants]

    # -- steps -------------------------------------------------------------------------------------------------------

    @property
    def counting(self) -> bool:
        """Whether changes are counted."""
        return bool(self._counts)

    def step(self, step: Step, loaded: bool) -> None:
        """A step is about to be applied; `loaded` says that its line tells when it arrived."""
        match step:
            case TimeAdvance(before):
                while self._probes and self._probes[0][0] < before:
                    self._probe(*heappop(self._probes))
            case BackfillLoading():
                self._undated_load = self._undated_load or not loaded
            case InputLine(event=event):
                self._every_received = self._every_received and (event.backfill or event.received is not None)
                for arrival in {step.arrival, event.time, event.received}:
                    if arrival is not None and arrival in self._by_arrival:
                        self._fit |= self._by_arrival[arrival]
                    if arrival is not None and arrival in self._timers:
                        self._arrived.add(arrival)
                for begin, end in [each for each in self._before_eviction if each[0] < step.arrival <= each[1]]:
                    self._evicted |= self._before_eviction.pop((begin, end))
            case _:
                pass

    def _probe(self, at: int, index: int) -> None:
        given = self._statements[index]
        name = self._names.name(given.tenant)
        found = self._recomputation.compute_month(name, given.month, at)
        if found is None and name.startswith(ERASED):
            self._counts[index].known = False
        elif found is not None:
            self._counts[index].result((found.result.guarantee_met, found.result.credit))

    def changed(self, changes: Iterable[FactChange], arrival: int, *, backfill: bool) -> None:
        """A line that arrived then changed facts."""
        for index, count in self._counts.items():
            tenant = self._statements[index].tenant
            names = tenant, self._recomputation.erasures.name(tenant), self._names.name(tenant)
            if any(change.concerns(*names) for change in changes):
                count.changed_at.add(arrival)
                count.undated += backfill

    # -- what follows ------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """No more lines follow."""
        while self._probes:
            self._probe(*heappop(self._probes))

    def difference(self, index: int) -> TermDifference | None:
        """What is wrong with when a statement was made or with its revision."""
        return None if index not in self._statements else self._instant(index) or self._revision(index)

    @property
    def exact(self) -> bool:
        """Whether arrivals are those that the ledger saw: every line tells it, or some adjustment follows from them."""
        return not self._undated_load and (self._every_received or bool(self._fit))

    def _instant(self, index: int) -> TermDifference | None:
        given = self._statements[index]
        if given.status != "adjusted" or index in self._fit or index in self._evicted or not self.exact:
            return None
        if self._after_timer.get(index, set()) - self._arrived:
            return None
        return TermDifference("time", instant(given.time), "adjust_after after the arrival of an input")

    def _revision(self, index: int) -> TermDifference | None:
        count, given = self._counts.get(index), self._statements[index]
        policy = self._policies.exact(*given.policy[:2])
        if count is None or policy is None or not count.known:
            return None
        base = count.base.revision if count.base is not None else 0
        most = base + count.provisional
        if given.status == "final":
            most += 1
        elif given.status == "adjusted":
            since = final_at(given, policy)
            if count.base is None or count.base.status == "provisional":
                most += 1
            else:
                since = count.base.time
            most += self._adjustments(given, count, since, given.time - policy.statements.adjust_after)
        if given.revision <= most:
            return None
        return TermDifference("revision", f"{given.revision:,}", f"at most {most:,}: its month did not change as often")

    def _adjustments(self, given: SubmittedStatement, count: _Count, since: int, until: int) -> int:
        """How many adjustments can have been made of changes that arrived after an instant up to another."""
        if not self.exact:
            return len(count.changed_at) + 1
        dated = [arrival for arrival in count.changed_at if since < arrival <= until]
        # A statement with the flag `out_of_order` is followed by one that no change of its own month brings.
        own = any(given.time - delay in count.changed_at for delay in self._delays)
        return len(dated) + count.undated + (not own)
