"""When the months of one account are due: closed, evaluated while they are open, adjusted (R24, R26, R32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.sla.instants import LAST_MONTH, Month, month_bounds, month_of, next_month

if TYPE_CHECKING:
    from streams.sla.credits.account import Account


class MonthSchedule:
    """The months of an account that are due next. Instants are microseconds."""

    __slots__ = ("_account", "_known", "_known_for", "cursor", "scheduled_at", "to_evaluate")

    def __init__(self, account: Account) -> None:
        self._account = account
        self.scheduled_at = 0
        """The instant that time had reached when the account's timers were last set."""
        self.to_evaluate: set[Month] = set()
        """Open months that are evaluated at their next provisional instant."""
        self.cursor: Month | None = None
        """No month before this one is to be closed; None before the first contract fact."""
        self._known: tuple[int | None, int | None] = None, None
        self._known_for: tuple[int, int, frozenset[Month]] | None = None
        """What `next_timers` returned last, and for which state of the account."""

    def go_back(self, month: Month, *, everything: bool) -> None:
        """Contract facts changed the terms of a month and of those that follow, or of all."""
        self.cursor = month if everything or self.cursor is None else min(self.cursor, month)

    def next_close(self) -> tuple[int, Month] | None:
        """The first month without a final statement, and the instant of that statement."""
        if self.cursor is None:
            return None
        # One that has a state and no final statement may be older, of a tenant that was in quarantine.
        month = min((self.cursor, *self._account.provisional))
        zone = self._account.contracts.zone
        stated = [month_bounds(each, zone) for each in self._account.provisional]
        last = max([self._account.contracts.last_instant(), *(end for _, end in stated)])
        while True:
            terms = self._account.terms(month)
            if terms is not None and self._account.state_of(month).settled is None:
                self.cursor = month
                return terms.final_at, month
            end = month_bounds(month, zone)[1]
            if end >= last:
                return None
            month = next_month(month)
            if terms is None:
                # Nothing under contract: the next one that has is where the next contract begins. Or it is evicted: the
                # next one that is not is where what is kept begins, or earlier if it was stated.
                begins = [
                    self._account.begin,
                    *(contract.valid_from for contract in self._account.contracts),
                    *(start for start, _ in stated),
                ]
                begins = [begin for begin in begins if begin >= end]
                month = max(month, month_of(min(begins), zone)) if begins else month

    def next_provisional(self, month: Month, clock: int) -> int | None:
        """The next instant at which an open month is evaluated (R26); None when its final statement comes first."""
        terms = self._account.terms(month)
        if terms is None or self._account.state_of(month).settled is not None:
            return None
        every = terms.policy.statements.provisional_every
        elapsed = max(max(clock, self._account.state_of(month).stated_at + 1) - terms.period.start, 1)
        instant = terms.period.start + -(-elapsed // every) * every
        return instant if instant < terms.final_at else None

    def next_timers(self, clock: int) -> tuple[int | None, int | None]:
        """When its months are due next, and when those are that wait for the end of a backfill (R32). That stays until
        time passes it or the account changes, while many impacts may come."""
        before, self.scheduled_at = self.scheduled_at, clock
        account, (live, _) = self._account, self._known
        state = self._known_for
        if (
            state is None
            or (account.changes, account.retention.until) != state[:2]
            or self.to_evaluate != state[2]
            or not before <= clock
            or (live is not None and live < clock)
        ):
            self._known = self._next_timers(clock)
            self._known_for = account.changes, account.retention.until, frozenset(self.to_evaluate)
        return self._known

    def _next_timers(self, clock: int) -> tuple[int | None, int | None]:
        live: list[int] = [
            at for m in self._account.adjusting if (at := self._account.state_of(m).adjust_at) is not None
        ]
        deferred = None
        closing = self.next_close()
        if closing is not None:
            if closing[0] <= self._account.known_at:
                deferred = closing[0]
            else:
                live.append(closing[0])
        for month in list(self.to_evaluate):
            instant = self.next_provisional(month, clock)
            if instant is None:
                self.to_evaluate.discard(month)
            else:
                live.append(instant)
        return min(live, default=None), deferred

    def evaluate_open_months(self, clock: int) -> None:
        """Schedule every month that is not closed yet for its next provisional instant: those that time has reached,
        by an input or a statement, the next one, in which an outage may begin that is reported slightly early, and
        those in which a contract begins. That is at least what was scheduled when the rows were written."""
        closing = self.next_close()
        if closing is None:
            return
        account = self._account
        zone = account.contracts.zone
        start = month_bounds(closing[1], zone)[0]
        # Time may have passed since the latest input: an outage that lasts changes a month without any input.
        reached = max(clock, start, *(account.state_of(month).stated_at for month in account.provisional))
        months = {*account.months_between(start, reached + 1)}
        if (last := max(months)) != LAST_MONTH:
            months.add(next_month(last))
        months |= {month_of(each.valid_from, zone) for each in account.contracts if each.valid_from > reached}
        for month in months:
            terms = account.terms(month)
            if terms is not None and terms.final_at > account.known_at:
                self.to_evaluate.add(month)
