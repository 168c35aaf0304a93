"""What of a ledger is due when: statements as far as watermarks allow, queued rechecks, evictions, and rows that still
name an erased tenant (R26, R29)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from streams.sla.arrival import TimeLimits
from streams.sla.credits.account import Account
from streams.sla.credits.erase_tenant import ImpactRewrites
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.month_close import MonthClose
from streams.sla.credits.posted import Posted
from streams.sla.credits.rechecks import Rechecks
from streams.sla.credits.retention import Eviction, Retention
from streams.sla.credits.work_steps import Steps, WorkInProgress
from streams.sla.erasure import Erasures
from streams.sla.instants import LATEST, Month, month_bounds, month_of
from streams.sla.timers import Timers

EVICTION = ""
"""The key of the timer that evicts; no tenant has it."""


class LedgerTimers:
    """The timers and the queued work of one partition's accounts. With `partitions` > 0 no statement is published
    before the watermark of every incident partition has passed its instant (R26). Instants in microseconds."""

    def __init__(
        self,
        accounts: dict[str, Account],
        impacts: Impacts,
        maintenance: Maintenance,
        erasures: Erasures,
        time_limits: TimeLimits,
        partitions: int,
    ) -> None:
        self._accounts = accounts
        self._erasures = erasures
        self._backfill_quiet = time_limits.backfill_quiet
        self._watermarks: dict[int, int] = dict.fromkeys(range(partitions), -1)
        self.watermark = -1 if partitions else LATEST
        """Every input that arrived at an incident partition by then has been applied (R26)."""
        self._timers = Timers()
        self._work = WorkInProgress()
        self.clock = 0
        """The latest instant that an input or a timer has reached."""
        self.retention = Retention(time_limits.retain_months)
        self.month_close = MonthClose(impacts, maintenance)
        self._eviction = Eviction(
            *(self.retention, accounts, impacts, maintenance),
            quarantined=self._timers.all_quarantined,
            keep_unstated=self.month_close.keep_unstated,
            reject_unstated=self.month_close.reject_unstated,
        )
        self.rechecks = Rechecks(*(accounts, self.month_close), account_of=self._active_account, schedule=self.schedule)
        self.rewrites = ImpactRewrites(impacts)
        self._eviction_due: int | None = None
        self._unfinished = False
        """Whether what `finish` had to do raised: it is done under the new name."""
        self._abandoned: tuple[str, int] | None = None
        """Whose work an erasure has ended half way, and when it was due: it begins anew under the new name."""

    # -- what inputs change --------------------------------------------------------------------------------------------

    def arrived(self, arrival: int, *, backfill: bool) -> None:
        """An input arrived: work that was begun is completed before it is applied."""
        self._complete()
        if not self.clock:
            self.clock = arrival
            self._schedule_eviction()
        self.clock = max(self.clock, arrival)
        if backfill:
            self._timers.expect_backfill_until(arrival + self._backfill_quiet)

    def out_of_turn(self, arrival: int) -> bool:
        """An input that arrived then is applied although earlier ones may be missing: a statement of an earlier instant
        is flagged, and one without the flag follows (R26). False when later inputs were."""
        later = arrival > self.month_close.out_of_turn_until
        if later:
            self.month_close.out_of_turn_until = arrival
        return later

    def _complete(self) -> None:
        """Do all that is left of what was begun. Where that raises it is due as before, and raises by itself: it costs
        its own tenant, and no input of others (R27)."""
        try:
            self._work.complete()
        except MemoryError:  # what was half done is discarded with the task's state
            raise
        except Exception:
            return

    def recheck(
        self, tenants: Collection[str] | None, start: int, end: int, arrival: int, *, own: bool = False
    ) -> None:
        """Inputs of the months within [start, end) changed, for some tenants or all. Of the months to come only the
        first is rechecked: evaluating it schedules the next one while an outage lasts. `own` says that the input is the
        tenant's alone: it is rejected where what it says raises."""
        self.rechecks.add(tenants, start, min(end, max(self.clock, start) + 1), arrival, own=own)

    def schedule(self, account: Account) -> None:
        """Set an account's timers to what is due next."""
        self._timers.set(account.tenant, *account.schedule.next_timers(self.clock))

    def erasing(self, tenant: str) -> None:
        """An erasure of a tenant arrived: what is half done for it is published under its new name only (R29)."""
        due = self._work.abandon(tenant)
        if due is not None:
            self._abandoned = tenant, due

    def finish(self, tenant: str) -> None:
        """Do what is queued for a tenant now: its account is about to get another name."""
        self.erasing(tenant)
        self._complete()
        self._unfinished = not self.rechecks.finish(tenant)
        self.month_close.drop_rows(tenant)  # the erasure has every month under the pseudonym

    def rename(self, tenant: str, account: Account | None) -> None:
        """No account has this name any more. `account` is the one that had it, under its pseudonym."""
        self._timers.set(tenant, None)
        abandoned, self._abandoned = self._abandoned, None
        if account is not None:
            self._eviction.rename(tenant, account.tenant)
            with self._set_aside(account):
                if self._unfinished:
                    self.recheck([account.tenant], account.begin, LATEST, self.clock)
                if abandoned is not None and abandoned[0] == tenant:
                    # `schedule` would leave out a provisional statement of that instant, which time has reached.
                    self._timers.set(account.tenant, abandoned[1])
                else:
                    self.schedule(account)

    def posted(self) -> Posted:
        """What followed since the last call."""
        outputs, rows = self.month_close.take()
        return Posted(outputs, rows, self.rechecks.take(), rejected=self.month_close.take_rejected())

    def restored(self, clock: int, backfill_idle_at: int) -> None:
        """All rows are restored: schedule the timers as of the instant reached."""
        self.clock = max(self.clock, clock)
        self._timers.expect_backfill_until(backfill_idle_at)
        for account in self._accounts.values():
            with self._set_aside(account):
                account.schedule.evaluate_open_months(self.clock)
                self.schedule(account)
        limit = self.retention.limit(self.clock)
        old = [account.known_at for account in self._accounts.values() if account.begin < limit]
        self._schedule_eviction(min(old, default=None))

    @property
    def backfill_idle_at(self) -> int:
        """No backfill is expected after this instant (R32)."""
        return self._timers.backfill_idle_at

    def deferred_due(self, now: int) -> int:
        """How many timers a backfill holds, of which one is due (`Timers.deferred_due`)."""
        return self._timers.deferred_due(now)

    @property
    def has_accounts(self) -> bool:
        """Whether there is a tenant whose months can be stated."""
        return bool(self._accounts)

    # -- watermarks ----------------------------------------------------------------------------------------------------

    def apply_watermark(self, partition: int, instant: int) -> None:
        """Every input of an incident partition that arrived by `instant` has been applied (R26)."""
        if instant > self._watermarks.get(partition, -1):
            self._watermarks[partition] = instant
            self.watermark = min(self._watermarks.values())

    def next_instant(self) -> int | None:
        """The instant of the earliest statement, whether or not the watermark allows it."""
        return self._timers.next_due()

    def awaited(self) -> int | None:
        """The instant of the earliest statement, if no statement is allowed by the watermark before it; else None."""
        due = self._timers.next_due()
        return due if due is not None and due > self.watermark else None

    def lagging(self, instant: int) -> tuple[int, ...]:
        """The incident partitions whose watermark is before an instant."""
        return tuple(partition for partition, until in sorted(self._watermarks.items()) if until < instant)

    def watermarks(self) -> Iterable[tuple[int, int]]:
        """The watermark of each incident partition; -1 before its first."""
        return self._watermarks.items()

    # -- timers --------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """The earliest instant at which a statement is due, as far as the watermark allows, or queued work."""
        if self._work:
            return self._work.due[0]
        due, queued = self._timers.next_due(self.watermark), self._first_queued()
        return min((at for at in (due, queued and queued[0]) if at is not None), default=None)

    def first_due(self, before: int, *, backfill_idle: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, tenant). Months that were past when their
        contract arrived wait until the backfill has been idle (R32), or until `backfill_idle` says that it is over.
        Queued rechecks are due at the arrival of their input."""
        first = self._first(before, backfill_idle=backfill_idle)
        unsettled = self._unsettled(first[0]) if first is not None and first[1] == EVICTION else None
        return first if first is None or unsettled is None else (first[0], unsettled[0].tenant)

    def _first(self, before: int, *, backfill_idle: bool) -> tuple[int, str] | None:
        """As `first_due`; of an eviction before which a tenant's month is settled the key is that of the eviction."""
        if self._work:
            return self._work.due if self._work.due[0] < before else None
        due = self._timers.first_due(min(before, self.watermark + 1), backfill_idle=backfill_idle)
        queued = self._first_queued()
        return queued if queued is not None and queued[0] < before and (due is None or queued[0] <= due[0]) else due

    def _unsettled(self, due: int) -> tuple[Account, Month] | None:
        return self._eviction.unsettled(due)

    def _first_queued(self) -> tuple[int, str] | None:
        rechecking, rewriting = self.rechecks.first_due(), self.rewrites.first_due()
        return rewriting if rechecking is None or (rewriting is not None and rewriting < rechecking) else rechecking

    def fire(self, before: int, *, backfill_idle: bool = False) -> Posted | None:
        """Do the next step of the earliest due timer or queued work; None when there is none. A month of many incidents
        takes several."""
        chosen = self._first(before, backfill_idle=backfill_idle)
        if chosen is None:
            return None
        if self._work:
            self._work.proceed()
        elif chosen == self.rewrites.first_due():
            return self.posted()._replace(impacts=self.rewrites.take())
        elif chosen == self.rechecks.first_due():
            self._work.begin(*chosen, self.rechecks.step())
        elif chosen[1] == EVICTION and chosen[0] < self.month_close.out_of_turn_until:
            # What is settled now would keep the flag of such statements: no adjustment could follow.
            self._timers.set(EVICTION, None, self.month_close.out_of_turn_until)
        elif chosen[1] == EVICTION:
            unsettled = self._unsettled(chosen[0])
            if unsettled is None:
                return self._evict(chosen[0])
            self._work.begin(chosen[0], unsettled[0].tenant, self._settle(*unsettled, chosen[0]))
        else:
            backfill_idle = backfill_idle or self._timers.backfill_idle_at < min(before, self.watermark + 1)
            self.clock = max(self.clock, chosen[0] + 1)
            self._work.begin(*chosen, self._fire(*chosen, backfill_idle=backfill_idle))
        return self.posted()

    def _evict(self, due: int) -> Posted:
        self.clock = max(self.clock, due + 1)
        evicted = self._eviction.step(due)
        self._schedule_eviction()
        return self.posted()._replace(evicted=evicted, retention=(self.retention.until, self.retention.pending))

    def _fire(self, due: int, tenant: str, *, backfill_idle: bool) -> Steps[None]:
        account = self._accounts[tenant]
        yield from self.month_close.fire(account, due, backfill_idle=backfill_idle)
        self.schedule(account)

    def _settle(self, account: Account, month: Month, due: int) -> Steps[None]:
        yield from self.month_close.settle(account, month, due)
        self.schedule(account)

    def _schedule_eviction(self, known_at: int | None = None) -> None:
        """The limit of retention moves once a month, when no backfill is being loaded. `known_at` is that of
        `Retention.next_due`, after a restart."""
        if self.clock:
            self._eviction_due = self.retention.next_due(self.clock, known_at)
            self._timers.set(EVICTION, None, self._eviction_due)

    # -- quarantine ----------------------------------------------------------------------------------------------------

    def _active_account(self, tenant: str) -> Account | None:
        account = self._accounts.get(self._erasures.name(tenant))
        return None if account is None or self._timers.quarantined(account.tenant) else account

    def quarantine(self, tenant: str) -> None:
        """Stop the tenant's timers, which crashed, until its next input; its state is kept (R27). An eviction that
        crashed is no tenant's, so no input would release it: the next start tries it again, or the month after the one
        that watermarks have reached, which may be long after the last input."""
        if tenant == EVICTION:
            passed = self.watermark if self.watermark < LATEST else 0
            failed_at = max(self.clock, self._eviction_due or 0, passed)
            self._timers.set(EVICTION, None, month_bounds(month_of(failed_at, "UTC"), "UTC")[1])
        else:
            self._timers.quarantine(tenant)

    def release(self, tenant: str) -> bool:
        """End a tenant's quarantine, and recheck its months, which were left out meanwhile. False when it was not
        quarantined."""
        if not self._timers.release(tenant):
            return False
        self._complete()
        self._eviction.begin_again()
        account = self._accounts.get(tenant)
        if account is not None:
            with self._set_aside(account):
                self.recheck([tenant], account.begin, LATEST, self.clock)
                self.month_close.recheck_retained(account, self.clock)
                self.schedule(account)
        return True

    @contextmanager
    def _set_aside(self, account: Account) -> Iterator[None]:
        """An account that can't be scheduled is due at once: what raises then costs its tenant, and neither the start
        nor the input that may mend it (R27)."""
        try:
            yield
        except MemoryError:  # the tenant is not at fault
            raise
        except Exception:
            self._timers.set(account.tenant, self.clock)
