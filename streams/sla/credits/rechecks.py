"""Recomputes months whose inputs changed: a few at once, many in slices between other work (R26)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from streams.sla.credits.account import Account
from streams.sla.credits.month_close import MonthClose
from streams.sla.credits.recheck_queue import Recheck, RecheckQueue
from streams.sla.credits.work_steps import Steps, finish

MONTHS_AT_ONCE = 24
"""Months that are computed before the next input is applied; more are queued."""
INCIDENTS_AT_ONCE = 2_000
"""Impact lists and maintenances that are looked at for them; months with more are queued."""
MAX_TENANTS = 1_000
"""A queued recheck names at most this many tenants, so that its row stays small; with more it is for all."""
MONTHS_PER_STEP = 4
"""Queued months that are computed in one step, so that other work comes between."""


class Rechecks:
    """Rechecks of one partition's accounts. `account_of` finds an account by the name of its tenant, also after an
    erasure; None when there is none, or when it is quarantined. `schedule` is called after an account's recheck."""

    def __init__(
        self,
        accounts: dict[str, Account],
        month_close: MonthClose,
        *,
        account_of: Callable[[str], Account | None],
        schedule: Callable[[Account], None],
    ) -> None:
        self._accounts = accounts
        self._month_close = month_close
        self._account_of = account_of
        self._schedule = schedule
        self._queue = RecheckQueue(accounts.keys)
        self._changed: dict[int, Recheck | None] = {}

    def take(self) -> dict[int, Recheck | None]:
        """The queued rechecks that changed since the last call, by number; None: done."""
        changed, self._changed = self._changed, {}
        return changed

    def restore(self, item: Recheck) -> None:
        """Restore a queued recheck."""
        self._queue.restore(item)

    def add(self, tenants: Collection[str] | None, start: int, end: int, arrival: int, *, own: bool = False) -> None:
        """Inputs of the months within [start, end) changed at `arrival`, for some tenants or all; `own`: of one tenant,
        by its own input, which may raise."""
        names: Collection[str] = self._accounts.keys() if tenants is None else tenants & self._accounts.keys()
        if len(names) <= MONTHS_AT_ONCE:
            accounts = [account for name in sorted(names) if (account := self._account_of(name)) is not None]
            if sum([account.count_months(start, end) for account in accounts]) <= MONTHS_AT_ONCE:
                settled = [account for account in accounts if not self._recheck_open(account, start, end, own=own)]
                if not settled:
                    return
                if self._month_close.count_items(settled, start, end) <= INCIDENTS_AT_ONCE:
                    tenants = names = [one.tenant for one in settled if not self._done(one, start, end, arrival)]
                    if not names:
                        return
        listed = None if tenants is None or len(names) > MAX_TENANTS else names
        queued = self._queue.add(arrival, start, end, listed)
        self._changed[queued.number] = queued

    def first_due(self) -> tuple[int, str] | None:
        """When the first queued recheck is due, which is the arrival of its input, and whose account is next."""
        first = self._queue.first()
        return None if first is None else (first[0].arrival, first[1])

    def step(self) -> Steps[None]:
        """Recheck the next months of the next account."""
        first = self._queue.first()
        assert first is not None
        item, tenant = first
        account, resume = self._account_of(tenant), None
        if account is not None:
            resume = yield from self._recheck(account, item.remaining_from, item.end, item.arrival, MONTHS_PER_STEP)
        number, remaining = self._queue.advance(resume)
        self._changed[number] = remaining

    def finish(self, tenant: str) -> bool:
        """Do what is queued for a tenant now: its account is about to get another name. No row has the old one. False
        where that raises."""
        account, done = self._account_of(tenant), True
        for item in self._queue.items() if account is not None else ():
            if tenant > item.after and (item.tenants is None or tenant in item.tenants):
                assert account is not None
                done = self._done(account, item.start, item.end, item.arrival) and done
        self._changed.update(self._queue.remove(tenant))
        return done

    def _recheck_open(self, account: Account, start: int, end: int, *, own: bool) -> bool:
        """Recheck an account whose months are all open; False where one is settled, so that it has to be computed, or
        where that raises by the input of another."""
        if not len(account.contracts):
            return True
        try:
            if not self._month_close.recheck_open(account, start, end):
                return False
            self._schedule(account)
        except MemoryError:  # the tenant is not at fault, and what was half done is discarded with the task's state
            raise
        except Exception:
            if own:
                raise
            return False
        return True

    def _done(self, account: Account, start: int, end: int, arrival: int) -> bool:
        """Recheck an account at once; False where that raises. Then it is queued, so that it costs only its tenant,
        which is set aside (R27), and neither the others nor the input."""
        try:
            finish(self._recheck(account, start, end, arrival))
        except MemoryError:
            raise
        except Exception:
            return False
        return True

    def _recheck(
        self, account: Account, start: int, end: int, arrival: int, limit: int | None = None
    ) -> Steps[int | None]:
        """Returns the start of the first month that remains after `limit` months."""
        if not len(account.contracts):
            return None
        remaining = yield from self._month_close.recheck_months(account, start, end, arrival, limit)
        self._schedule(account)
        return remaining
