"""One tenant's account (R24–R26): contract facts, claims, month states, and the months that are due next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.contracts import Contract, ContractHistory, Span
from streams.sla.credits.month_schedule import MonthSchedule
from streams.sla.credits.retention import Retention
from streams.sla.credits.statement import Period
from streams.sla.erasure import Erasures
from streams.sla.events import ContractSet, Event, Position
from streams.sla.instants import DAY, LATEST, Month, month_bounds, month_of, months_between
from streams.sla.policy import Policies, Policy


class Claim(NamedTuple):
    """A claim that was in time, or that is checked at the final statement (R26)."""

    time: int
    id: str
    position: Position


class StoredFact(NamedTuple):
    """A contract fact, claim or erasure as stored, with its arrival and its position in the log."""

    event: Event
    arrival: int
    position: Position


class StatementState(NamedTuple):
    """The latest published statement of a tenant-month; one changelog row. Instants in microseconds, amounts in minor
    units.

    `settled` is (downtime, eligible, charge, credit, excluded) of the latest non-provisional revision, None before the
    final statement. `basis` is `MonthResult.basis` of that revision. `issued` is the credit issued so far. `stated_at`
    is the nominal instant of the latest revision, 0 for final ones of earlier releases: no revision of an earlier
    instant may follow it."""

    revision: int = 0
    guarantee_met: bool = True
    credit: int = 0
    settled: tuple[int, int, int, int, int] | None = None
    claimable_until: int = 0
    issued: int = 0
    adjust_at: int | None = None
    stated_at: int = 0
    basis: str = ""


_INITIAL = StatementState()


class MonthTerms(NamedTuple):
    """The terms of one tenant-month, according to the contract facts known so far. `last` is the last of its `spans`;
    there is none where later facts have removed all time under contract of a month that has a statement. The others
    are looked for only when the month is computed, so that thousands of facts within a month do not each cost all."""

    period: Period
    last: Span | None
    policy: Policy
    contracts: ContractHistory

    @property
    def spans(self) -> list[Span]:
        """The terms in force within the month."""
        return self.contracts.spans(self.period.start, self.period.end) if self.last is not None else []

    @property
    def final_at(self) -> int:
        """The instant of the final statement (R26)."""
        return self.period.end + self.policy.statements.grace

    @property
    def claimable_until(self) -> int:
        """The last instant of a claim (R26)."""
        return min(self.final_at + self.policy.credit.claim_within, LATEST)


class Account:
    """The state of one tenant in the ledger."""

    __slots__ = (
        "_began",
        "_terms",
        "adjusting",
        "changes",
        "claims",
        "contracts",
        "facts",
        "known_at",
        "lateness",
        "months",
        "policies",
        "provisional",
        "retention",
        "schedule",
        "tenant",
    )

    def __init__(self, tenant: str, policies: Policies, lateness: int, retention: Retention | None = None) -> None:
        self.tenant = tenant
        self.policies = policies
        self.lateness = lateness
        self.retention = retention or Retention(0)
        self.contracts = ContractHistory()
        self.facts: dict[tuple[str, str], StoredFact] = {}
        self.claims: dict[Month, Claim] = {}
        self.months: dict[Month, StatementState] = {}
        self.adjusting: set[Month] = set()
        """Months whose final statement has to be adjusted."""
        self.provisional: set[Month] = set()
        """Months whose latest statement is provisional."""
        self.schedule = MonthSchedule(self)
        self.known_at = 0
        """When the first contract fact arrived."""
        self.changes = 0
        """How often contracts or states of months have changed."""
        self._terms: dict[Month, MonthTerms | None] = {}
        self._began: int | None = None
        """`begin` apart from what is evicted, once it is known."""

    def add_fact(self, event: Event, arrival: int, position: Position) -> None:
        """Store an accepted event; a contract fact also enters the contract history."""
        self.facts[event.source, event.id] = StoredFact(event, arrival, position)
        if not isinstance(event.payload, ContractSet):
            return
        self.changes += 1
        before = self.contracts.first if len(self.contracts) else None
        self.known_at = arrival if before is None else min(self.known_at, arrival)
        self.contracts.add(Contract.of(event, position))
        self._began = None
        # The earliest fact decides zone and currency of every month (R24).
        self._invalidate_terms(event.payload.valid_from if self.contracts.first == before else None)

    def _invalidate_terms(self, since: int | None) -> None:
        """Drop the cached terms of months that end after an instant; None means all. Earlier months are unaffected,
        so the cost of a new fact does not grow with the past. The schedule goes back to the same month."""
        # A month that ends exactly where statements begin has one.
        first = month_of(max(since or 0, self.begin - 1, 0), self.contracts.zone)
        everything = since is None or self.schedule.cursor is None
        for month in [month for month in self._terms if everything or month >= first]:
            del self._terms[month]
        self.schedule.go_back(first, everything=everything)

    def digest(self, event: Event) -> bytes | None:
        """The digest of the stored event with this identity, if there is one (R1)."""
        stored = self.facts.get((event.source, event.id))
        return None if stored is None else stored.event.digest

    def erase_tenant(self, pseudonym: str, erasures: Erasures) -> None:
        """The tenant is erased: the account takes its pseudonym, and stored events no longer name the tenant (R29)."""
        self.tenant = pseudonym
        self.facts = {key: stored._replace(event=erasures.event(stored.event)) for key, stored in self.facts.items()}

    @property
    def begin(self) -> int:
        """Months that end before this instant have no statement (R24), or are evicted."""
        if self._began is None:
            if not len(self.contracts):
                return LATEST
            self._began = max(next(iter(self.contracts)).valid_from, self.contracts.first.time - self.lateness)
        return max(self._began, self.retention.until)

    def terms(self, month: Month) -> MonthTerms | None:
        """None when the month has no statement (R24). One that has a provisional statement keeps having statements,
        also when later contract facts have removed all its time under contract."""
        if month in self.provisional:
            return self.settled_terms(month)
        if month not in self._terms:
            self._terms[month] = self._find_terms(month)
        return self._terms[month]

    def _find_terms(self, month: Month) -> MonthTerms | None:
        if not len(self.contracts):
            return None
        zone = self.contracts.zone
        start, end = month_bounds(month, zone)
        last = self.contracts.last_span(start, end)
        if last is None or end < self.contracts.first.time - self.lateness:
            return None
        if end <= self.retention.until and month not in self.months:
            return None
        policy = self._policy(last.contract.plan, last.end - 1)
        return MonthTerms(Period(start, end, zone), last, policy, self.contracts)

    def settled_terms(self, month: Month) -> MonthTerms:
        """Terms of a month that has a statement. Later contract facts may have removed all its time under
        contract (R26): then they are those of the first contract, with no time and no charge."""
        if month not in self._terms:
            self._terms[month] = self._find_terms(month)
        terms = self._terms[month]
        if terms is not None:
            return terms
        start, end = month_bounds(month, self.contracts.zone)
        plan = self.contracts.first.plan
        return MonthTerms(Period(start, end, self.contracts.zone), None, self._policy(plan, end - 1), self.contracts)

    def _policy(self, plan: str, instant: int) -> Policy:
        return self.policies.at(plan if self.policies.knows(plan) else None, instant)

    def set_state(self, month: Month, state: StatementState) -> None:
        """Record a month's state; also used to restore it."""
        self.changes += 1
        self.months[month] = state
        if state.adjust_at is None:
            self.adjusting.discard(month)
        else:
            self.adjusting.add(month)
        if state.settled is None:
            self.provisional.add(month)
        else:
            self.provisional.discard(month)

    def remove_month(self, month: Month) -> None:
        """Evict a month: neither it nor its claim is kept."""
        self.changes += 1
        self.months.pop(month, None)
        self.claims.pop(month, None)
        self._terms.pop(month, None)
        self.schedule.to_evaluate.discard(month)
        self.provisional.discard(month)

    def remove_facts(self, identities: list[tuple[str, str]]) -> None:
        """Evict facts by (source, id)."""
        for identity in identities:
            del self.facts[identity]
        if identities:
            self.changes += 1
            left = [contract for contract in self.contracts if (contract.source, contract.id) in self.facts]
            self.contracts, self._began = ContractHistory(left), None

    def state_of(self, month: Month) -> StatementState:
        """The month's state; the initial one when nothing was published yet."""
        return self.months.get(month, _INITIAL)

    def months_between(self, start: int, end: int) -> Iterable[Month]:
        """Months that overlap [start, end), in the contract's zone."""
        return months_between(start, end, self.contracts.zone)

    @property
    def settles(self) -> bool:
        """Whether a month has its final statement."""
        return len(self.months) > len(self.provisional)

    def count_months(self, start: int, end: int) -> int:
        """About how many months `months_between` gives of those that may have a statement; at least 1."""
        return max(0, end - max(start, self.begin - 1)) // (28 * DAY) + 1

    def flags(self, month: Month) -> tuple[str, ...]:
        """The flags of a month's statement (R24, R20)."""
        flags = list(self.contracts.flags())
        terms = self.terms(month)
        if terms is not None and terms.last is not None and not self.policies.knows(terms.last.contract.plan):
            flags.append("unknown_plan")
        return tuple(flags)
