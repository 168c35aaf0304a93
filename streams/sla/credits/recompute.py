"""Recomputes tenant-months from facts alone (R21–R26): the terms that a statement of any instant must have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.credits.account import Account
from streams.sla.credits.claims import late_claim
from streams.sla.credits.erase_tenant import erase
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.intervals import Interval, intersect, union
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.retention import Retention, reject_evicted
from streams.sla.credits.statement import MonthResult, Period, compute_month, counts
from streams.sla.erasure import Erasures
from streams.sla.impact import ImpactCopy
from streams.sla.instants import LAST_MONTH, LATEST, Month, month_bounds, month_of, months_before, next_month
from streams.sla.policy import Policies

_MAINTENANCE = ev.MaintenanceScheduled | ev.MaintenanceCancelled


class RecomputedMonth(NamedTuple):
    """A recomputed tenant-month. `final_at` and `claimable_until` are those of its terms."""

    result: MonthResult
    final_at: int
    claimable_until: int
    flags: tuple[str, ...]


class Recomputation:
    """Contracts, maintenance and impacts known so far. No statement is stored: every result is computed from all facts
    added so far. Instants in microseconds."""

    def __init__(self, policies: Policies, time_limits: TimeLimits) -> None:
        self._policies = policies
        self._time_limits = time_limits
        self._accounts: dict[str, Account] = {}
        self._impacts = Impacts()
        self._maintenance = Maintenance()
        self._first_arrival = LATEST
        self._last_arrival = 0
        self.erasures = Erasures(time_limits.pseudonym_key)

    def oversize(self, event: ev.Event) -> ev.Rejection | None:
        """Why the maintenance of an event can't take one more (R28)."""
        return self._maintenance.oversize(event) if isinstance(event.payload, _MAINTENANCE) else None

    def add(self, event: ev.Event, arrival: int, position: ev.Position, *, accepted_before: bool = False) -> bool:
        """Add one checked contract or maintenance event; False when it is rejected, repeated or has no effect on a
        month (R1, R5). `accepted_before` says that a release with fewer checks accepted it."""
        event = self.erasures.event(event)
        if self._is_known(event):
            return False
        if isinstance(event.payload, _MAINTENANCE):
            if not accepted_before and self._maintenance.oversize(event) is not None:
                return False
            if check_time(event, arrival, self._time_limits, instants=not accepted_before) is not None:
                return False
            self._maintenance.add(event, arrival, position)
            self._arrived(arrival)
            return True
        if not isinstance(event.payload, ev.ContractSet | ev.TenantErased | ev.CreditClaimed):
            return False
        if check_time(event, arrival, self._time_limits, instants=not accepted_before) is not None:
            return False
        if isinstance(event.payload, ev.TenantErased) and event.subject not in self.erasures:
            if self.erasures.pseudonym(event.subject) in self._accounts:
                return False
            erase(event.subject, 0, self.erasures, self._accounts, self._impacts, self._maintenance)
            event = self.erasures.event(event)
        account = self._accounts.get(event.subject)
        if account is None:
            account = self._accounts[event.subject] = Account(event.subject, self._policies, self._time_limits.lateness)
        if isinstance(event.payload, ev.CreditClaimed) and late_claim(account, event) is not None:
            return False
        if not accepted_before and self._is_evicted(account, event, arrival):
            return False
        if account.digest(event) is not None:
            return False
        account.add_fact(event, arrival, position)
        self._arrived(arrival)
        # Of a claim only its identity counts here: no contract fact may have the same (R1).
        return not isinstance(event.payload, ev.CreditClaimed)

    def _arrived(self, arrival: int) -> None:
        self._first_arrival = min(arrival, self._first_arrival)
        self._last_arrival = max(arrival, self._last_arrival)

    def _is_evicted(self, account: Account, event: ev.Event, arrival: int) -> bool:
        """Whether the ledger had evicted all months that a contract fact concerns (R26). It has no limit before the
        first month that begins after its first input. Retention is that of this process: it has to be the ledger's."""
        reached = max(arrival, self._last_arrival) - 1
        if not isinstance(event.payload, ev.ContractSet) or self._first_arrival >= months_before(reached, 0):
            return False
        retention = Retention(self._time_limits.retain_months)
        retention.until = retention.limit(reached)
        return reject_evicted(account, event, retention) is not None

    def _is_known(self, event: ev.Event) -> bool:
        account = self._accounts.get(event.subject)
        return self._maintenance.identity(event) is not None or (
            account is not None and account.digest(event) is not None
        )

    def put_impacts(self, copy: ImpactCopy) -> None:
        """Replace an incident's impact list."""
        self._impacts.put(copy)

    def impacts_of(self, incident_id: str) -> ImpactCopy | None:
        """An incident's impact list."""
        return self._impacts.get(incident_id)

    def known_at(self, tenant: str) -> int | None:
        """When a tenant's contract first arrived; None when there is none."""
        account = self._accounts.get(self.erasures.name(tenant))
        return account.known_at if account is not None and len(account.contracts) else None

    def period(self, tenant: str, month: Month, *, settled: bool) -> Period | None:
        """The period that a statement of the month has by the contract facts known so far; None when there is none
        (R24). `settled` asks for a month that has a statement already."""
        account = self._accounts.get(self.erasures.name(tenant))
        if account is None or not len(account.contracts):
            return None
        terms = account.settled_terms(month) if settled else account.terms(month)
        return terms.period if terms is not None else None

    def final_at(self, tenant: str, month: Month) -> int | None:
        """When the month is closed by the contract facts known so far; None when it is not (R24)."""
        account = self._accounts.get(self.erasures.name(tenant))
        terms = account.terms(month) if account is not None else None
        return terms.final_at if terms is not None else None

    def tenants(self) -> list[str]:
        """Tenants with a contract, in order."""
        return sorted(tenant for tenant, account in self._accounts.items() if len(account.contracts))

    def months(self, tenant: str, until: int) -> Iterator[Month]:
        """The tenant's months that have statements and have begun before an instant."""
        account = self._accounts[tenant]
        if account.begin >= LATEST:
            return
        zone, last = account.contracts.zone, min(until, account.contracts.last_instant())
        month = month_of(max(account.begin - 1, 0), zone)
        while month_bounds(month, zone)[0] < last:
            if account.terms(month) is not None:
                yield month
            if month == LAST_MONTH:
                return
            month = next_month(month)

    def compute_month(self, tenant: str, month: Month, instant: int) -> RecomputedMonth | None:
        """The month as of an instant, open outages running to it; None when the tenant has no contract."""
        tenant = self.erasures.name(tenant)
        if self.known_at(tenant) is None:
            return None
        account = self._accounts[tenant]
        terms = account.settled_terms(month)
        impacts = self._impacts.between(tenant, terms.period.start, terms.period.end)
        maintenance = self._maintenance.between(tenant, terms.period.start, terms.period.end)
        currency = account.contracts.currency
        found = compute_month(
            tenant, month, terms.period, terms.spans, terms.policy, impacts, maintenance, instant, currency
        )
        return RecomputedMonth(found, terms.final_at, terms.claimable_until, account.flags(month))

    def incidents_within(self, tenant: str, result: MonthResult, instant: int, spans: list[Interval]) -> list[str]:
        """The incidents whose downtime for a tenant overlaps some of the given spans."""
        tenant = self.erasures.name(tenant)
        found = []
        for copy in self._impacts.between(tenant, result.period.start, result.period.end):
            outages = union(
                (impact.start, instant if impact.end is None else min(impact.end, instant))
                for impact in copy.impacts
                if counts(result.policy, impact) and (impact.scope == "platform" or tenant in impact.tenant_ids)
            )
            if intersect(outages, spans):
                found.append(copy.incident_id)
        return found
