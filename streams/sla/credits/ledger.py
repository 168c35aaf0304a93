"""All accounts of one partition: contract facts, impacts, maintenance and claims become statements and credits."""

from __future__ import annotations

from collections.abc import Iterable

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.credits.account import Account, Claim
from streams.sla.credits.claims import reject_claim
from streams.sla.credits.erase_tenant import SLICE, ErasedTenant, erase
from streams.sla.credits.impact_index import Impacts, tenants_of
from streams.sla.credits.ledger_timers import LedgerTimers
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.posted import LedgerDecision, Posted
from streams.sla.credits.recheck_queue import Recheck
from streams.sla.credits.retention import reject_evicted
from streams.sla.credits.time_index import PLATFORM
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.erasure import Erasure, Erasures
from streams.sla.impact import ImpactCopy
from streams.sla.instants import LATEST, Month
from streams.sla.policy import Policies


def repeated(event: ev.Event, known: bytes) -> Duplicate | Rejected:
    """What becomes of an event whose identity arrived before, with content of the digest `known` (R1)."""
    if known == event.digest:
        return Duplicate()
    message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
    return Rejected(ev.Rejection("conflict", message, event.id))


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
        self.erasures = Erasures(time_limits.pseudonym_key)
        self.timers = LedgerTimers(
            self._accounts, self._impacts, self._maintenance, self.erasures, time_limits, partitions
        )

    def __len__(self) -> int:
        return len(self._accounts)

    def has_contract(self, tenant: str) -> bool:
        """Whether a contract of a tenant of this partition is known."""
        account = self._accounts.get(self.erasures.name(tenant))
        return account is not None and len(account.contracts) > 0

    # -- inputs ------------------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event, arrival: int, position: ev.Position, *, early: bool = False) -> LedgerDecision:
        """Apply one checked contract, claim, erasure or maintenance event, named as `erasures` has it (R1, R5, R24,
        R26, R29). An erasure may be `early` (`input_order`): it moves no time."""
        decision = self.check(event, arrival)
        if decision is not None:
            return decision
        if isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled):
            return self.apply_maintenance(event, arrival, position)
        if isinstance(event.payload, ev.TenantErased) and not self._name_taken(event.subject):
            self.timers.erasing(event.subject)
        self.timers.arrived(self.timers.clock if early else arrival, backfill=event.backfill and not early)
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
        start = account.begin if everything else event.payload.valid_from
        self.timers.recheck([event.subject], start, LATEST, arrival, own=True)
        return self.timers.posted()

    def check(self, event: ev.Event, arrival: int, waiting: int = 0) -> Duplicate | Rejected | None:
        """Why an event can't be applied whatever its account's months are (R1, R5, R28); None when it can. `waiting` is
        how many accepted events of its subject are yet to be applied. When it is applied it may still be rejected: a
        claim, or where its months are evicted by then."""
        maintenance = isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled)
        # A maintenance may be named like a tenant. Both are facts of one subject, and their rows have their identity.
        known = self._maintenance.identity(event) or self._identity(event)
        if known is not None:
            return repeated(event, known)
        rejection = check_time(event, arrival, self._time_limits) or self._check_retention(event)
        if rejection is None and maintenance:
            rejection = self._maintenance.oversize(event, waiting)
        return None if rejection is None else Rejected(rejection)

    def reject_claim(self, event: ev.Event) -> ev.Rejection | None:
        """Why a claim is too late, by what is applied (R26)."""
        return reject_claim(self._account(event.subject), event)

    def _check_retention(self, event: ev.Event) -> ev.Rejection | None:
        if not self.timers.retention.until:
            return None
        if isinstance(event.payload, ev.MaintenanceScheduled) and event.subject in self._maintenance:
            return None  # it may take time away from a version that is kept, wherever it lies itself (R23)
        return reject_evicted(self._accounts.get(event.subject), event, self.timers.retention)

    def _apply_erasure(self, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        erased = None
        if event.subject not in self.erasures:
            if self._name_taken(event.subject):
                message = "another tenant has this one's pseudonym for its id: give that one another id, then erase"
                return Rejected(ev.Rejection("conflict", message, event.id))
            erased = self.erase(event.subject, self._partition, arrival)
        event = self.erasures.event(event)
        self._account(event.subject).add_fact(event, arrival, position)
        return self.timers.posted()._replace(erased=erased)

    def _name_taken(self, tenant: str) -> bool:
        """Whether another tenant has the pseudonym of this one for its id: it cannot be erased."""
        return self.erasures.pseudonym(tenant) in self._accounts

    def restore_fact(self, event: ev.Event, arrival: int, position: ev.Position) -> None:
        """Restore an event from its changelog row."""
        if isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled):
            self._maintenance.add(event, arrival, position)
        elif isinstance(event.payload, ev.CreditClaimed):
            self._add_claim(self._account(event.subject), event, arrival, position)
        else:
            self._account(event.subject).add_fact(event, arrival, position)

    def erase(self, tenant: str, home: int, arrival: int) -> ErasedTenant:
        """Replace a tenant's name by its pseudonym in all state; `home` is the partition of its account (R29). The rows
        of many impact lists are queued."""
        self.timers.finish(tenant)
        erased = erase(tenant, home, self.erasures, self._accounts, self._impacts, self._maintenance)
        self.timers.rename(tenant, self._accounts.get(erased.pseudonym))
        if len(erased.impacts) > SLICE:
            self.timers.rewrites.add(erased.impacts, arrival)
            erased = erased._replace(impacts=[])
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
        rejection = reject_claim(account, event)
        if rejection is not None:
            return Rejected(rejection)
        self._add_claim(account, event, arrival, position)
        self.timers.month_close.claimed(account, Month(event.payload.month), event.time)
        return self.timers.posted()

    def _identity(self, event: ev.Event) -> bytes | None:
        """The digest of the stored event with this identity, if there is one (R1)."""
        account = self._accounts.get(event.subject)
        return None if account is None else account.digest(event)

    def apply_maintenance(self, event: ev.Event, arrival: int, position: ev.Position) -> Posted | Duplicate:
        """Apply a maintenance event, or its copy from another partition: recompute the months it covers (R23)."""
        self.timers.arrived(arrival, backfill=event.backfill)
        if self._maintenance.identity(event) is not None:
            return Duplicate()
        for plan in self._maintenance.add(event, arrival, position):
            self.timers.recheck(None if plan.platform else plan.tenant_ids, plan.start, plan.end, arrival)
        return self.timers.posted()

    def apply_impacts(self, copy: ImpactCopy, arrival: int, *, backfill: bool) -> Posted | Duplicate:
        """Apply a changed impact list of an incident; the copy with the highest revision counts (R21, R22)."""
        self.timers.arrived(arrival, backfill=backfill)
        copy = self.erasures.impacts(copy)
        old = self._impacts.get(copy.incident_id)
        if old.revision >= copy.revision if old is not None else copy.ends_by(self.timers.retention.inputs_until):
            return Duplicate()  # or what it concerns is evicted
        changed = (set(old.impacts) if old is not None else set()) ^ set(copy.impacts)
        self.store_impacts(copy)
        if changed:
            start = min([i.start for i in changed])
            end = max([LATEST if i.end is None else i.end for i in changed])
            named = tenants_of(changed)
            self.timers.recheck(None if PLATFORM in named else named, start, end, arrival)
        return self.timers.posted()

    def store_impacts(self, copy: ImpactCopy) -> None:
        """Store an impact list without computing its months; also used to restore one."""
        self._impacts.put(copy)
        self.timers.rewrites.discard(copy.incident_id)

    def impacts_of(self, incident_id: str) -> ImpactCopy:
        """The stored impact list of an incident. Raises KeyError when there is none."""
        return self._impacts[incident_id]

    # -- timers ------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant at which something is due (`LedgerTimers.next_due`)."""
        return self.timers.next_due()

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, tenant) (`LedgerTimers.first_due`)."""
        return self.timers.first_due(before, backfill_idle=backfill_idle)

    def fire(self, before: int, *, backfill_idle: bool = False) -> Posted | None:
        """Do the next step of what is due first; None when nothing is (`LedgerTimers.fire`)."""
        return self.timers.fire(before, backfill_idle=backfill_idle)

    def quarantine(self, tenant: str) -> None:
        """Stop the tenant's timers, which crashed, until its next input; its state is kept (R27)."""
        self.timers.quarantine(tenant)

    def release(self, tenant: str) -> Posted | None:
        """End a tenant's quarantine, and recheck its months, which were left out meanwhile. None when it was not
        quarantined."""
        return self.timers.posted() if self.timers.release(tenant) else None

    def last_input(self, tenant: str) -> ev.Position | None:
        """The position of the tenant's contract fact with the latest `valid_from`."""
        account = self._accounts.get(tenant)
        return [*account.contracts][-1].position if account is not None and len(account.contracts) else None

    def restore_retention(self, until: int, *, pending: bool) -> None:
        """Restore up to where months are evicted from its changelog row."""
        self.timers.retention.until, self.timers.retention.pending = until, pending

    # -- state -------------------------------------------------------------------------------------------------------

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            lateness = self._time_limits.lateness
            account = self._accounts[tenant] = Account(tenant, self._policies, lateness, self.timers.retention)
        return account

    def restore_month(self, row: MonthRow) -> None:
        """Restore a month from its changelog row."""
        self._account(row.tenant).set_state(row.month, row.state)

    def restore_recheck(self, item: Recheck) -> None:
        """Restore a queued recheck from its changelog row."""
        self.timers.rechecks.restore(item)

    def restored(self, clock: int, backfill_idle_at: int, erasures: Iterable[Erasure] = ()) -> None:
        """All rows are restored: schedule the timers as of the instant reached. Impact lists whose rows still name a
        tenant of these erasures get its pseudonym, and their rows are queued (R29)."""
        erased_at = {erasure.pseudonym: erasure.arrival for erasure in erasures}
        for tenant in self._impacts.tenants() if erased_at else ():
            pseudonym = self.erasures.name(tenant)
            if pseudonym != tenant:
                self.timers.rewrites.add(self._impacts.erase_tenant(tenant, pseudonym), erased_at[pseudonym])
        self.timers.restored(clock, backfill_idle_at)

    @property
    def backfill_idle_at(self) -> int:
        """No backfill is expected after this instant (R32)."""
        return self.timers.backfill_idle_at
