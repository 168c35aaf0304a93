"""One tenant's months (R24–R26): which are open, which instants are next, what has been stated and issued."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.contracts import Contract, ContractHistory, Span
from streams.sla.credits.statement import MonthResult, Period
from streams.sla.erasure import Erasures
from streams.sla.events import ContractSet, Event, Position
from streams.sla.instants import LAST_MONTH, LATEST, Month, month_bounds, month_of, next_month
from streams.sla.policy import Policies, Policy


class Claim(NamedTuple):
    """A claim that was in time, or that waits to be judged at the final statement (R26)."""

    time: int
    id: str
    position: Position


class StoredFact(NamedTuple):
    """A contract fact, claim or erasure as it is kept, and where and when it came."""

    event: Event
    arrival: int
    position: Position


class StatementState(NamedTuple):
    """What has been said of a tenant-month; its changelog row. `settled` is (downtime, eligible, charge, credit,
    excluded) of the latest non-provisional revision, `basis` what else makes it come out otherwise (Weighed.basis),
    `issued` the credit issued so far; None, empty and 0 before the final.
    `stated_at` is the nominal instant of the latest provisional revision: none of an earlier one may follow it."""

    revision: int = 0
    guarantee_met: bool = True
    credit: int = 0
    settled: tuple[int, int, int, int, int] | None = None
    claimable_until: int = 0
    issued: int = 0
    adjust_at: int | None = None
    stated_at: int = 0
    basis: str = ""


_NOTHING = StatementState()


class MonthTerms(NamedTuple):
    """A month's terms as the contract facts known have it."""

    period: Period
    spans: list[Span]
    policy: Policy

    @property
    def final_at(self) -> int:
        return self.period.end + self.policy.statements.grace

    @property
    def claimable_until(self) -> int:
        return min(self.final_at + self.policy.credit.claim_within, LATEST)


class Account:
    """Everything the ledger knows of one tenant."""

    __slots__ = (
        "_terms",
        "adjusting",
        "claims",
        "contracts",
        "cursor",
        "kept",
        "known_at",
        "lateness",
        "months",
        "policies",
        "tenant",
        "touched",
    )

    def __init__(self, tenant: str, policies: Policies, lateness: int) -> None:
        self.tenant = tenant
        self.policies = policies
        self.lateness = lateness
        self.contracts = ContractHistory()
        self.kept: dict[tuple[str, str], StoredFact] = {}
        self.claims: dict[Month, Claim] = {}
        self.months: dict[Month, StatementState] = {}
        self.adjusting: set[Month] = set()
        self.touched: set[Month] = set()
        self.cursor: Month | None = None
        self.known_at = 0
        self._terms: dict[Month, MonthTerms | None] = {}

    def keep(self, event: Event, arrival: int, position: Position) -> None:
        """Take an accepted event in; a contract fact goes into the history as well."""
        self.kept[event.source, event.id] = StoredFact(event, arrival, position)
        if not isinstance(event.payload, ContractSet):
            return
        before = self.contracts.first if len(self.contracts) else None
        self.known_at = arrival if before is None else min(self.known_at, arrival)
        self.contracts.add(Contract.of(event, position))
        # The earliest fact decides zone and currency of every month (R24).
        self._terms_changed(event.payload.valid_from if self.contracts.first == before else None)

    def _terms_changed(self, since: int | None) -> None:
        """Forget what was derived for months that end after an instant, None for all. Those before are as they were,
        so a long past costs a new fact nothing; the cursor goes back no further either."""
        # A month that ends exactly where statements begin has one.
        first = month_of(max(since or 0, self.begin - 1, 0), self.contracts.zone)
        if since is None or self.cursor is None:
            self._terms.clear()
            self.cursor = first
            return
        for month in [month for month in self._terms if month >= first]:
            del self._terms[month]
        self.cursor = min(self.cursor, first)

    def digest(self, event: Event) -> bytes | None:
        """The digest of what is kept with this event's identity, if there is anything (R1)."""
        kept = self.kept.get((event.source, event.id))
        return None if kept is None else kept.event.digest

    def rename(self, name: str, erasures: Erasures) -> None:
        """The tenant is erased: another name, and nothing of the old one in what is kept (R29)."""
        self.tenant = name
        self.kept = {key: kept._replace(event=erasures.event(kept.event)) for key, kept in self.kept.items()}

    @property
    def begin(self) -> int:
        """Months that end before this instant have no statement (R24)."""
        if not len(self.contracts):
            return LATEST
        return max(min(c.valid_from for c in self.contracts), self.contracts.first.time - self.lateness)

    def terms(self, month: Month) -> MonthTerms | None:
        """None when the month has no statement (R24)."""
        if month not in self._terms:
            self._terms[month] = self._find_terms(month)
        return self._terms[month]

    def _find_terms(self, month: Month) -> MonthTerms | None:
        if not len(self.contracts):
            return None
        zone = self.contracts.zone
        start, end = month_bounds(month, zone)
        spans = self.contracts.spans(start, end)
        if not spans or end < self.contracts.first.time - self.lateness:
            return None
        plan = spans[-1].contract.plan
        return MonthTerms(Period(start, end, zone), spans, self._policy(plan, spans[-1].end - 1))

    def stated_terms(self, month: Month) -> MonthTerms:
        """MonthTerms of a month that has a final statement. Contract facts that came later may have taken all its time
        under contract away (R26): then they are those of the first contract, with no time and no charge."""
        terms = self.terms(month)
        if terms is not None:
            return terms
        start, end = month_bounds(month, self.contracts.zone)
        plan = self.contracts.first.plan
        return MonthTerms(Period(start, end, self.contracts.zone), [], self._policy(plan, end - 1))

    def _policy(self, plan: str, instant: int) -> Policy:
        return self.policies.at(plan if self.policies.knows(plan) else None, instant)

    def state(self, month: Month, stated: StatementState) -> None:
        """Set a month's record; also how it is restored."""
        self.months[month] = stated
        if stated.adjust_at is None:
            self.adjusting.discard(month)
        else:
            self.adjusting.add(month)

    def stated(self, month: Month) -> StatementState:
        return self.months.get(month, _NOTHING)

    def next_close(self) -> tuple[int, Month] | None:
        """The first month without a final statement and the instant of that statement."""
        month = self.cursor
        if month is None:
            return None
        last = self.contracts.last_instant()
        while True:
            terms = self.terms(month)
            if terms is not None and self.stated(month).settled is None:
                self.cursor = month
                return terms.final_at, month
            if month_bounds(month, self.contracts.zone)[1] >= last:
                return None
            month = next_month(month)

    def next_provisional(self, month: Month, clock: int) -> int | None:
        """The next instant at which an open month that something happened in is evaluated (R26)."""
        terms = self.terms(month)
        if terms is None or self.stated(month).settled is not None:
            return None
        every = terms.policy.statements.provisional_every
        elapsed = max(max(clock, self.stated(month).stated_at + 1) - terms.period.start, 1)
        instant = terms.period.start + -(-elapsed // every) * every
        return instant if instant < terms.final_at else None

    def months_between(self, start: int, end: int) -> Iterable[Month]:
        """Months that have begun being stated or may be, overlapping [start, end)."""
        zone = self.contracts.zone
        month = month_of(max(start, 0), zone)
        while month_bounds(month, zone)[0] < end:
            yield month
            if month == LAST_MONTH:
                return
            month = next_month(month)

    def touch_open_months(self, clock: int) -> None:
        """Have every month that is not closed yet evaluated at its next instant."""
        closing = self.next_close()
        if closing is None:
            return
        start = month_bounds(closing[1], self.contracts.zone)[0]
        # Time may have passed since the latest input: an outage that lasts makes a month differ without any.
        for month in self.months_between(start, max(clock, start) + 1):
            terms = self.terms(month)
            if terms is not None and terms.final_at > self.known_at:
                self.touched.add(month)

    def flags(self, weighed: MonthResult) -> tuple[str, ...]:
        flags = list(self.contracts.flags())
        terms = self.terms(weighed.month)
        if terms is not None and not self.policies.knows(terms.spans[-1].contract.plan):
            flags.append("unknown_plan")
        return tuple(flags)
