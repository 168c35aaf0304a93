"""All accounts of one partition: contract facts, impacts, maintenance and claims become statements and credits."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.credits.account import Account, Claim
from streams.sla.credits.erase_tenant import ErasedTenant, erase
from streams.sla.credits.impact_index import PLATFORM, Impacts, tenants_of
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.month_close import MonthClose, MonthRow
from streams.sla.credits.posted import LedgerDecision, Posted
from streams.sla.credits.recheck_queue import Recheck
from streams.sla.credits.rechecks import Rechecks
from streams.sla.credits.retention import Eviction, Retention, reject_evicted
from streams.sla.credits.work_steps import Steps, WorkInProgress
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasures
from streams.sla.impact import ImpactCopy
from streams.sla.instants import LATEST, Month
from streams.sla.policy import Policies
from streams.sla.timers import Timers

EVICTION = ""
"""The key of the timer that evicts; no tenant has it."""


class Ledger:
    """The accounts of one partition. With `partitions` > 0 no statement is published before the watermark of every
    incident partition has passed its instant (R26); simulation has one partition and no watermarks. Instants in
    microseconds."""

    def __init__(self, policies: Policies, time_limits: TimeLimits, partitions: int = 0, partition: int = 0) -> None:
        self._partition = partition
        self._policies = policies
        self._time_limits = time_limits
        self._accounts: dict[str, Account] = {}
        self._impacts = Impacts()
        self._maintenance = Maintenance()
        self._watermarks: dict[int, int] = dict.fromkeys(range(partitions), -1)
        self._timers = Timers()
        self._retention = Retention(time_limits.retain_months)
        self._eviction = Eviction(self._retention, self._accounts, self._impacts, self._maintenance)
        self._clock = 0
        self._work = WorkInProgress()
        self._month_close = MonthClose(self._impacts, self._maintenance)
        self._rechecks = Rechecks(
            *(self._accounts, self._month_close), account_of=self._active_account, schedule=self._schedule
        )
        self.erasures = Erasures(time_limits.pseudonym_key)

    def __len__(self) -> int:
        return len(self._accounts)

    def has_contract(self, tenant: str) -> bool:
        """Whether a contract of a tenant of this partition is known."""
        account = self._accounts.get(self.erasures.name(tenant))
        return account is not None and len(account.contracts) > 0

    # -- inputs ------------------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        """Apply one checked contract, claim, erasure or maintenance event, named as `erasures` has it (R1, R5, R24,
        R26, R29)."""
        maintenance = isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled)
        known = self._maintenance.identity(event) if maintenance else self._identity(event)
        if known is not None:
            return self._repeated(event, known)
        rejection = check_time(event, arrival, self._time_limits) or self._check_retention(event)
        if rejection is None and maintenance:
            rejection = self._maintenance.oversize(event)
        if rejection is not None:
            return Rejected(rejection)
        if maintenance:
            return self.apply_maintenance(event, arrival, position)
        self._arrived(arrival, backfill=event.backfill)
        if isinstance(event.payload, ev.TenantErased):
            return self._apply_erasure(event, arrival, position)
        account = self._account(event.subject)
        if isinstance(event.payload, ev.CreditClaimed):
            return self._claim(account, event, arrival, position)
        assert isinstance(event.payload, ev.ContractSet)
        contracts = account.contracts
        before = (contracts.first, contracts.flags()) if len(contracts) else None
        account.add_fact(event, arrival, position)
        # The earliest fact decides zone and currency of every month, and flags are those of all facts (R24).
        everything = before is not None and before != (contracts.first, contracts.flags())
        self._recheck([event.subject], account.begin if everything else event.payload.valid_from, LATEST, arrival)
        return self._posted()

    def _check_retention(self, event: ev.Event) -> ev.Rejection | None:
        if not self._retention.until:
            return None
        if isinstance(event.payload, ev.MaintenanceScheduled) and event.subject in self._maintenance:
            return None  # it may take time away from a version that is kept, wherever it lies itself (R23)
        return reject_evicted(self._accounts.get(event.subject), event, self._retention.until)

    def _apply_erasure(self, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        erased = None
        if event.subject not in self.erasures:
            if self.erasures.pseudonym(event.subject) in self._accounts:
                message = "another tenant has this one's pseudonym for its id: give that one another id, then erase"
                return Rejected(ev.Rejection("conflict", message, event.id))
            erased = self.erase(event.subject, self._partition)
        event = self.erasures.event(event)
        self._account(event.subject).add_fact(event, arrival, position)
        return self._posted()._replace(erased=erased)

    def restore_fact(self, event: ev.Event, arrival: int, position: ev.Position) -> None:
        """Restore an event from its changelog row."""
        if isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled):
            self._maintenance.add(event, arrival, position)
        elif isinstance(event.payload, ev.CreditClaimed):
            self._add_claim(self._account(event.subject), event, arrival, position)
        else:
            self._account(event.subject).add_fact(event, arrival, position)

    def erase(self, tenant: str, home: int) -> ErasedTenant:
        """Replace a tenant's name by its pseudonym in all state; `home` is the partition of its account (R29)."""
        self._work.complete()
        self._rechecks.finish(tenant)
        self._month_close.drop_rows(tenant)  # what is returned has every month under the pseudonym
        erased = erase(tenant, home, self.erasures, self._accounts, self._impacts, self._maintenance)
        self._timers.set(tenant, None)
        if erased.pseudonym in self._accounts:
            self._schedule(self._accounts[erased.pseudonym])
        return erased

    @staticmethod
    def _add_claim(account: Account, event: ev.Event, arrival: int, position: ev.Position) -> None:
        """Store a claim; the earliest one of a month counts."""
        assert isinstance(event.payload, ev.CreditClaimed)
        account.add_fact(event, arrival, position)
        month = Month(event.payload.month)
        claim = Claim(event.time, event.id, position)
        account.claims[month] = min(account.claims.get(month, claim), claim)

    def _claim(self, account: Account, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        """R26: a claim in time is stored; later it is `too_late`; repeats have no effect."""
        assert isinstance(event.payload, ev.CreditClaimed)
        rejection = self._month_close.reject_claim(account, event)
        if rejection is not None:
            return Rejected(rejection)
        self._add_claim(account, event, arrival, position)
        self._month_close.claimed(account, Month(event.payload.month), event.time)
        return self._posted()

    def _identity(self, event: ev.Event) -> bytes | None:
        """The digest of the stored event with this identity, if there is one (R1)."""
        account = self._accounts.get(event.subject)
        return None if account is None else account.digest(event)

    def apply_maintenance(self, event: ev.Event, arrival: int, position: ev.Position) -> Posted | Duplicate:
        """Apply a maintenance event, or its copy from another partition: recompute the months it covers (R23)."""
        self._arrived(arrival, backfill=event.backfill)
        if self._maintenance.identity(event) is not None:
            return Duplicate()
        for plan in self._maintenance.add(event, arrival, position):
            self._recheck(None if plan.platform else plan.tenant_ids, plan.start, plan.end, arrival)
        return self._posted()

    def apply_impacts(self, copy: ImpactCopy, arrival: int, *, backfill: bool) -> Posted | Duplicate:
        """Apply a changed impact list of an incident; the copy with the highest revision counts (R21, R22)."""
        self._arrived(arrival, backfill=backfill)
        copy = self.erasures.impacts(copy)
        old = self._impacts.get(copy.incident_id)
        if old.revision >= copy.revision if old is not None else copy.ends_by(self._retention.until):
            return Duplicate()  # or what it concerns is evicted
        changed = (set(old.impacts) if old is not None else set()) ^ set(copy.impacts)
        self.store_impacts(copy)
        if changed:
            start = min(i.start for i in changed)
            end = LATEST if any(i.end is None for i in changed) else max(i.end or 0 for i in changed)
            named = tenants_of(changed)
            self._recheck(None if PLATFORM in named else named, start, end, arrival)
        return self._posted()

    def store_impacts(self, copy: ImpactCopy) -> None:
        """Store an impact list without computing its months; also used to restore one."""
        self._impacts.put(copy)

    def impacts_of(self, incident_id: str) -> ImpactCopy:
        """The stored impact list of an incident. Raises KeyError when there is none."""
        return self._impacts[incident_id]

    def apply_watermark(self, partition: int, instant: int) -> None:
        """Every input of an incident partition that arrived by `instant` has been applied (R26)."""
        if instant > self._watermarks.get(partition, -1):
            self._watermarks[partition] = instant

    # -- timers ------------------------------------------------------------------------------------------------------

    def _watermark(self) -> int:
        return min(self._watermarks.values(), default=LATEST)

    def awaited(self) -> int | None:
        """The instant of the earliest statement, if no statement is allowed by the watermark before it; else None."""
        due = self._timers.next_due()
        return due if due is not None and due > self._watermark() else None

    def lagging(self, instant: int) -> tuple[int, ...]:
        """The incident partitions whose watermark is before an instant."""
        return tuple(partition for partition, until in sorted(self._watermarks.items()) if until < instant)

    def watermarks(self) -> Iterable[tuple[int, int]]:
        """The watermark of each incident partition; -1 before its first."""
        return self._watermarks.items()

    def next_due(self) -> int | None:
        """The earliest instant at which a statement is due, as far as the watermark allows, or a queued recheck."""
        if self._work:
            return self._work.due[0]
        due, queued = self._timers.next_due(self._watermark()), self._rechecks.first_due()
        return min((at for at in (due, queued and queued[0]) if at is not None), default=None)

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, tenant). Months that were past when their
        contract arrived wait until the backfill has been idle (R32), or until `backfill_idle` says that it is over.
        Queued rechecks are due at the arrival of their input."""
        if self._work:
            return self._work.due if self._work.due[0] < before else None
        due = self._timers.first_due(min(before, self._watermark() + 1), backfill_idle=backfill_idle)
        queued = self._rechecks.first_due()
        return queued if queued is not None and queued[0] < before and (due is None or queued[0] <= due[0]) else due

    def fire(self, before: int, *, backfill_idle: bool = False) -> Posted | None:
        """Do the next step of the earliest due timer or queued recheck; None when there is none. A month of many
        incidents takes several."""
        chosen = self.first_due(before, backfill_idle=backfill_idle)
        if chosen is None:
            return None
        if self._work:
            self._work.proceed()
        elif chosen == self._rechecks.first_due():
            self._work.begin(*chosen, self._rechecks.step())
        elif chosen[1] == EVICTION:
            return self._evict(chosen[0])
        else:
            backfill_idle = backfill_idle or self._timers.backfill_idle_at < min(before, self._watermark() + 1)
            self._clock = max(self._clock, chosen[0] + 1)
            self._work.begin(*chosen, self._fire(*chosen, backfill_idle=backfill_idle))
        return self._posted()

    def _evict(self, due: int) -> Posted:
        self._clock = max(self._clock, due + 1)
        evicted = self._eviction.step(due)
        self._schedule_eviction()
        return self._posted()._replace(evicted=evicted, retention=(self._retention.until, self._retention.pending))

    def _fire(self, due: int, tenant: str, *, backfill_idle: bool) -> Steps[None]:
        account = self._accounts[tenant]
        yield from self._month_close.fire(account, due, backfill_idle=backfill_idle)
        self._schedule(account)

    def _recheck(self, tenants: Collection[str] | None, start: int, end: int, arrival: int) -> None:
        """Inputs of the months within [start, end) changed, for some tenants or all. Of the months to come only the
        first is rechecked: evaluating it schedules the next one while an outage lasts."""
        self._rechecks.add(tenants, start, min(end, max(self._clock, start) + 1), arrival)

    def restore_recheck(self, item: Recheck) -> None:
        """Restore a queued recheck from its changelog row."""
        self._rechecks.restore(item)

    def _active_account(self, tenant: str) -> Account | None:
        account = self._accounts.get(self.erasures.name(tenant))
        return None if account is None or self._timers.quarantined(account.tenant) else account

    def quarantine(self, tenant: str) -> None:
        """Stop the tenant's timers, which crashed, until its next input; its state is kept (R27)."""
        self._timers.quarantine(tenant)

    def release(self, tenant: str) -> Posted | None:
        """End a tenant's quarantine, and recheck its months, which were left out meanwhile. None when it was not
        quarantined."""
        if not self._timers.release(tenant):
            return None
        self._work.complete()
        account = self._accounts.get(tenant)
        if account is not None:
            self._recheck([tenant], account.begin, LATEST, self._clock)
            self._schedule(account)
        return self._posted()

    def last_input(self, tenant: str) -> ev.Position | None:
        """The position of the tenant's contract fact with the latest `valid_from`."""
        account = self._accounts.get(tenant)
        return [*account.contracts][-1].position if account is not None and len(account.contracts) else None

    def _schedule(self, account: Account) -> None:
        self._timers.set(account.tenant, *account.next_timers(self._clock))

    def _schedule_eviction(self) -> None:
        """The limit of retention moves once a month, when no backfill is being loaded."""
        if self._clock:
            self._timers.set(EVICTION, None, self._retention.next_due(self._clock))

    def restore_retention(self, until: int, *, pending: bool) -> None:
        """Restore up to where months are evicted from its changelog row."""
        self._retention.until, self._retention.pending = until, pending

    # -- state -------------------------------------------------------------------------------------------------------

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            lateness = self._time_limits.lateness
            account = self._accounts[tenant] = Account(tenant, self._policies, lateness, self._retention)
        return account

    def _arrived(self, arrival: int, *, backfill: bool) -> None:
        self._work.complete()
        if not self._clock:
            self._clock = arrival
            self._schedule_eviction()
        self._clock = max(self._clock, arrival)
        if backfill:
            self._timers.expect_backfill_until(arrival + self._time_limits.backfill_quiet)

    def _repeated(self, event: ev.Event, known: bytes) -> LedgerDecision:
        if known == event.digest:
            return Duplicate()
        message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
        return Rejected(ev.Rejection("conflict", message, event.id))

    def _posted(self) -> Posted:
        outputs, rows = self._month_close.take()
        return Posted(outputs, rows, self._rechecks.take())

    def restore_month(self, row: MonthRow) -> None:
        """Restore a month from its changelog row."""
        self._account(row.tenant).set_state(row.month, row.state)

    def restored(self, clock: int, backfill_idle_at: int) -> None:
        """All rows are restored: schedule the timers as of the instant reached."""
        self._clock = max(self._clock, clock)
        self._timers.expect_backfill_until(backfill_idle_at)
        for account in self._accounts.values():
            account.evaluate_open_months(self._clock)
            self._schedule(account)
        self._schedule_eviction()

    @property
    def backfill_idle_at(self) -> int:
        """No backfill is expected after this instant (R32)."""
        return self._timers.backfill_idle_at
