"""Retention of the ledger: months older than the setting are evicted, and every input that only they need.

Once a month the limit moves on. Months that end by it have no state any more and get no statement; inputs that concern
nothing else, in any zone, are rejected `too_late`. A month whose adjustment is pending then is adjusted first:
afterwards nothing is left of its outages. What concerns a tenant in quarantine stays until an eviction after its
release, for its months are closed and rechecked then (R27).
"""

from __future__ import annotations

from collections.abc import Callable, Set
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

from streams.sla.credits.impact_index import tenants_of
from streams.sla.credits.time_index import PLATFORM
from streams.sla.events import ContractSet, CreditClaimed, Event, MaintenanceScheduled, Rejection
from streams.sla.instants import DAY, Month, format_rfc3339, month_bounds, month_of, months_before

if TYPE_CHECKING:
    from streams.sla.credits.account import Account
    from streams.sla.credits.impact_index import Impacts
    from streams.sla.credits.maintenance import Maintenance
    from streams.sla.impact import ImpactCopy

STEP = 50
"""Accounts that are looked at, and incidents or maintenances that are evicted, in one step, so that other work comes
between."""
LOOKED_AT = 1_000
"""Incidents that are looked at in one step."""
FACTS = 500
"""Claims that are rejected, and facts that are evicted, of one account in one step."""


class Retention:
    """Keeps `months` months. `until` is the limit in microseconds: what ends by it is evicted; 0: nothing is.
    `pending` while an eviction is not finished."""

    __slots__ = ("months", "pending", "until")

    def __init__(self, months: int) -> None:
        self.months = months
        self.until = 0
        self.pending = False

    @property
    def inputs_until(self) -> int:
        """What ends by this instant no month needs that is kept: the first of them begins some hours before `until` in
        zones east of UTC, and in those west of it nearly a month."""
        return months_before(self.until, 1) if self.until else 0

    def next_due(self, clock: int, known_at: int | None = None) -> int | None:
        """When to evict next: at once when one is pending; since the month began (UTC) when one was missed; else when
        the next month begins. A restart misses one that a backfill holds, and so does a backfill of more than a month.
        `known_at` is when the first contract fact arrived of the accounts with months before the limit, if that is
        asked for: the first eviction is due when the month after it begins. After the last month there is none."""
        begin, end = month_bounds(month_of(max(clock, 0), "UTC"), "UTC")
        missed = self.limit(clock) > self.until if self.until else known_at is not None and known_at < begin
        if self.pending or missed:
            return clock if self.pending else begin
        return end if end >= clock else None

    def limit(self, instant: int) -> int:
        """Where the oldest month that is retained at an instant begins (UTC)."""
        return months_before(instant, self.months)


class EvictionFailed(Exception):  # noqa: N818
    """What a tenant has can't be evicted: it is set aside, and the others' goes on (R27)."""

    def __init__(self, tenant: str) -> None:
        super().__init__(tenant)
        self.tenant = tenant


class EvictedRows(NamedTuple):
    """Rows to be deleted: months by tenant, facts by (subject, source, id), impact lists by incident."""

    months: list[tuple[str, Month]]
    facts: list[tuple[str, str, str]]
    incidents: list[str]


class Eviction:
    """Evicts in steps."""

    def __init__(
        self,
        retention: Retention,
        accounts: dict[str, Account],
        impacts: Impacts,
        maintenance: Maintenance,
        *,
        quarantined: Set[str],
        keep_unstated: Callable[[Account, int], None],
        reject_unstated: Callable[[Account, list[tuple[str, str]]], None],
    ) -> None:
        """`quarantined` are the tenants in quarantine at any time. `keep_unstated` is called for their accounts before
        the limit moves on to an instant, `reject_unstated` with the claims of an account that no statement answered."""
        self._quarantined = quarantined
        self._keep_unstated = keep_unstated
        self._reject_unstated = reject_unstated
        self._retention = retention
        self._accounts = accounts
        self._impacts = impacts
        self._maintenance = maintenance
        self._tenants: list[str] = []
        self._incidents: list[str] = []
        self._plans: list[str] = []

    def unsettled(self, due: int) -> tuple[Account, Month] | None:
        """A month that the next step evicts and whose adjustment is pending."""
        until = max(self._retention.until, self._retention.limit(due))
        for tenant in self._tenants[-STEP:] if self._begun else nsmallest(STEP, self._accounts):
            account = self._accounts.get(tenant)
            if account is None or tenant in self._quarantined:
                continue
            for month in sorted(account.adjusting):
                if month_bounds(month, account.contracts.zone)[1] <= until:
                    return account, month
        return None

    @property
    def _begun(self) -> bool:
        """Whether there is something left to be looked at."""
        return bool(self._tenants or self._incidents or self._plans)

    def begin_again(self) -> None:
        """A tenant is released while an eviction is not finished: what its months need is yet to be looked at."""
        self._tenants, self._incidents, self._plans = [], [], []

    def rename(self, tenant: str, name: str) -> None:
        """A tenant is erased while an eviction is not finished: its account is looked at under its new name."""
        self._tenants = [name if one == tenant else one for one in self._tenants]

    def step(self, due: int) -> EvictedRows:
        """The next step of the eviction that was due at an instant; `Retention.pending` says whether more follow."""
        retention = self._retention
        if not self._begun:
            until = max(retention.until, retention.limit(due))
            for tenant in sorted(self._quarantined & self._accounts.keys()):
                try:
                    self._keep_unstated(self._accounts[tenant], until)
                except MemoryError:  # its months would be lost
                    raise
                except Exception:
                    continue  # that is perhaps why it is in quarantine
            retention.until = until
            self._tenants = sorted(self._accounts, reverse=True)
            self._incidents = self._impacts.names()
            self._plans = self._maintenance.ended_by(retention.inputs_until)
        evicted = EvictedRows([], [], [])
        for _ in range(min(STEP, len(self._tenants))):
            account = self._accounts.get(self._tenants.pop())
            if account is not None and account.tenant not in self._quarantined:
                try:
                    if not self._evict_account(account, evicted):
                        self._tenants.append(account.tenant)
                        break
                except Exception as error:
                    raise EvictionFailed(account.tenant) from error
        if not self._tenants:
            self._evict_impacts(evicted)
            for _ in range(min(STEP, len(self._plans))):
                plan = self._plans.pop()
                # One of which another version has come meanwhile is kept.
                if self._maintenance.has_ended(plan, retention.inputs_until) and not self._retains_for_quarantined():
                    evicted.facts.extend(self._maintenance.remove(plan))
        retention.pending = self._begun
        return evicted

    def _evict_impacts(self, evicted: EvictedRows) -> None:
        for _ in range(min(LOOKED_AT, len(self._incidents))):
            incident_id = self._incidents.pop()
            copy = self._impacts.get(incident_id)
            if copy is None or self._is_retained(copy):
                continue
            if not copy.impacts or copy.ends_by(self._retention.inputs_until):  # none: the incident was annulled
                evicted.incidents.append(incident_id)
                self._impacts.remove(incident_id)
                if len(evicted.incidents) == STEP:
                    return

    def _is_retained(self, copy: ImpactCopy) -> bool:
        """Whether an impact list concerns a tenant in quarantine."""
        if not self._retains_for_quarantined():
            return False
        concerned = tenants_of(copy.impacts)
        return PLATFORM in concerned or not self._quarantined.isdisjoint(concerned)

    def _retains_for_quarantined(self) -> bool:
        return any(tenant in self._accounts for tenant in self._quarantined)

    def _evict_account(self, account: Account, evicted: EvictedRows) -> bool:
        """False where more of it is left than one step does."""
        until = self._retention.until
        unstated = unstated_claims(account, until)
        self._reject_unstated(account, unstated[:FACTS])
        if len(unstated) > FACTS:
            return False
        months = ended_months(account, until)
        facts = facts_before(account, self._retention, {*months})
        if more := len(facts) > FACTS:
            months, facts = [], facts[:FACTS]  # the months stay until then, so that none of their claims is unstated
        for month in months:
            account.remove_month(month)
        account.remove_facts(facts)
        if not account.facts and not account.months:
            del self._accounts[account.tenant]
        evicted.months.extend((account.tenant, month) for month in months)
        evicted.facts.extend((account.tenant, source, name) for source, name in facts)
        return not more


def ended_months(account: Account, until: int) -> list[Month]:
    """The months of an account that end by an instant and need no adjustment."""
    if not len(account.contracts):
        return []
    zone = account.contracts.zone
    return [
        month
        for month, state in account.months.items()
        if state.adjust_at is None and month_bounds(month, zone)[1] <= until
    ]


def unstated_claims(account: Account, until: int) -> list[tuple[str, str]]:
    """The identities (source, id) of claims of months that end by an instant and have never had a statement."""
    zone = account.contracts.zone if len(account.contracts) else None
    return [
        identity
        for identity, stored in account.facts.items()
        if isinstance(stored.event.payload, CreditClaimed)
        and (month := Month(stored.event.payload.month)) not in account.months
        and _has_ended(month, zone, until)
    ]


def facts_before(account: Account, retention: Retention, evicted: Set[Month]) -> list[tuple[str, str]]:
    """The identities (source, id) of claims of `evicted` months and of those that are no more, and of contract facts
    that apply to no instant after `Retention.inputs_until`. The fact that fixes zone and currency, the first to arrive
    and those that raise a flag stay."""
    contracts, zone = account.contracts, account.contracts.zone if len(account.contracts) else None
    earlier = [contract[:4] for contract in contracts if contract.valid_from <= retention.inputs_until]
    found = []
    for (source, name), stored in account.facts.items():
        payload = stored.event.payload
        if isinstance(payload, CreditClaimed):
            month = Month(payload.month)
            if (month in evicted or month not in account.months) and _has_ended(month, zone, retention.until):
                found.append((source, name))
        elif isinstance(payload, ContractSet):
            superseded = earlier and (payload.valid_from, stored.event.time, name, source) < earlier[-1]
            flagged = payload.time_zone not in (None, zone) or payload.monthly_charge.currency != contracts.currency
            first = stored.arrival == account.known_at or (name, source) == contracts.first[2:4]
            if superseded and not flagged and not first:
                found.append((source, name))
    return found


def _has_ended(month: Month, zone: str | None, until: int) -> bool:
    """Whether a month ends by an instant; without a contract, which says the zone, wherever it may be."""
    return month_bounds(month, zone or "UTC")[1] + (0 if zone else DAY) <= until


def reject_evicted(account: Account | None, event: Event, retention: Retention) -> Rejection | None:
    """A contract fact, claim or maintenance that concerns only what is evicted is too late. `account` is its tenant's,
    if there is one."""
    payload = event.payload
    evicted, until = False, retention.until if isinstance(payload, CreditClaimed) else retention.inputs_until
    if isinstance(payload, MaintenanceScheduled):
        evicted = payload.end <= until
    elif isinstance(payload, CreditClaimed):
        month, zone = Month(payload.month), None
        if account is not None and len(account.contracts):
            zone = account.contracts.zone
        evicted = (account is None or month not in account.months) and _has_ended(month, zone, until)
    elif isinstance(payload, ContractSet):
        contracts = () if account is None else account.contracts
        earlier = [contract[:4] for contract in contracts if contract.valid_from <= until]
        if earlier:
            # Whatever its `valid_to`: with the latest `valid_from` it ends the contract for all later months (R24).
            evicted = (payload.valid_from, event.time, event.id, event.source) < earlier[-1]
        else:
            evicted = payload.valid_to is not None and payload.valid_to <= until
    if not evicted:
        return None
    message = f"concerns only months before {format_rfc3339(until)}, which are not kept any more (SLA_RETAIN_MONTHS)"
    return Rejection("too_late", message, event.id)
