"""One tenant's months (R24–R26): which are open, which instants are next, what has been stated and issued."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.contracts import ContractHistory, Span
from streams.sla.events import Position
from streams.sla.instants import LAST_MONTH, Month, month_bounds, month_of, next_month
from streams.sla.policy import Policies, Policy
from streams.sla.statement import Period, Weighed


class Claim(NamedTuple):
    """A claim that was in time, or that waits to be judged at the final statement (R26)."""

    time: int
    id: str
    position: Position


class Stated(NamedTuple):
    """What has been said of a tenant-month; its changelog row. `settled` is (downtime, eligible, charge, credit) of
    the latest non-provisional revision, `issued` the credit issued so far, both None and 0 before the final."""

    revision: int = 0
    guarantee_met: bool = True
    credit: int = 0
    settled: tuple[int, int, int, int] | None = None
    claimable_until: int = 0
    issued: int = 0
    adjust_at: int | None = None


class Terms(NamedTuple):
    """A month's terms as the contract facts known have it."""

    period: Period
    spans: list[Span]
    policy: Policy

    @property
    def final_at(self) -> int:
        return self.period.end + self.policy.statements.grace


class Account:
    """Everything the ledger knows of one tenant."""

    __slots__ = (
        "_terms",
        "adjusting",
        "claims",
        "contracts",
        "cursor",
        "identities",
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
        self.identities: dict[tuple[str, str], bytes] = {}
        self.claims: dict[Month, Claim] = {}
        self.months: dict[Month, Stated] = {}
        self.adjusting: set[Month] = set()
        self.touched: set[Month] = set()
        self.cursor: Month | None = None
        self.known_at = 0
        self._terms: dict[Month, Terms | None] = {}

    def contracts_changed(self) -> None:
        """Forget what was derived from contract facts; the cursor goes back to the first month (R24)."""
        self._terms.clear()
        self.cursor = self._first_month()

    def _first_month(self) -> Month | None:
        if not len(self.contracts):
            return None
        first = self.contracts.first
        earliest = max(min(c.valid_from for c in self.contracts), first.time - self.lateness)
        # A month that ends at `first.time − lateness` or later has a statement, also one that ends exactly there.
        return month_of(max(earliest - 1, 0), self.contracts.zone)

    def terms(self, month: Month) -> Terms | None:
        """None when the month has no statement (R24)."""
        if month not in self._terms:
            self._terms[month] = self._find_terms(month)
        return self._terms[month]

    def _find_terms(self, month: Month) -> Terms | None:
        if not len(self.contracts):
            return None
        zone = self.contracts.zone
        start, end = month_bounds(month, zone)
        spans = self.contracts.spans(start, end)
        if not spans or end < self.contracts.first.time - self.lateness:
            return None
        plan = spans[-1].contract.plan
        policy = self.policies.at(plan if self.policies.knows(plan) else None, spans[-1].end - 1)
        return Terms(Period(start, end, zone), spans, policy)

    def state(self, month: Month, stated: Stated) -> None:
        """Set a month's record; also how it is restored."""
        self.months[month] = stated
        if stated.adjust_at is None:
            self.adjusting.discard(month)
        else:
            self.adjusting.add(month)

    def stated(self, month: Month) -> Stated:
        return self.months.get(month) or Stated()

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
        elapsed = max(clock - terms.period.start, 1)
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
        for month in self.months_between(start, clock + 1):
            terms = self.terms(month)
            if terms is not None and terms.final_at > self.known_at:
                self.touched.add(month)

    def flags(self, weighed: Weighed) -> tuple[str, ...]:
        flags = list(self.contracts.flags())
        terms = self.terms(weighed.month)
        if terms is not None and not self.policies.knows(terms.spans[-1].contract.plan):
            flags.append("unknown_plan")
        return tuple(flags)
