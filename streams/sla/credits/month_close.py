"""Statements and credits of one account (R26): provisional, final, adjusted, claimed, issued, waived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.sla.credits.account import Account, MonthTerms, StatementState
from streams.sla.credits.claims import (
    CLAIMS_PER_STEP,
    RejectedClaim,
    late_claims,
    reject_late_claims,
    reject_unstated_claims,
)
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.statement import MonthResult, month_steps
from streams.sla.credits.statement_record import statement_data
from streams.sla.credits.work_steps import Steps
from streams.sla.events import Output
from streams.sla.ids import output_id
from streams.sla.instants import LAST_MONTH, Month, month_bounds, next_month

OUT_OF_ORDER = "out_of_order"
"""The flag of a statement that may count inputs which arrived after its instant (R26)."""


class MonthRow(NamedTuple):
    """A tenant-month whose state changed."""

    tenant: str
    month: Month
    state: StatementState


def _basis(result: MonthResult, flags: tuple[str, ...]) -> str:
    return f"{result.basis}/{','.join(flags)}"


def _has_terms(account: Account, month: Month) -> bool:
    """Whether a month may have a statement, also where its terms raise, as they may for a tenant in quarantine."""
    try:
        return account.terms(month) is not None
    except MemoryError:
        raise
    except Exception:
        return account.contracts.last_span(*month_bounds(month, account.contracts.zone)) is not None


def _differs(state: StatementState, result: MonthResult, flags: tuple[str, ...]) -> bool:
    """Whether a month with a final statement needs an adjustment (R26)."""
    # States of earlier releases have no flags.
    basis = _basis(result, flags) if "/" in state.basis else result.basis
    return (state.settled, state.guarantee_met, state.basis) != (result.settled, result.guarantee_met, basis)


class MonthClose:
    """Computes months and publishes their statements and credits. `take` returns the outputs and changed states of a
    step."""

    def __init__(self, impacts: Impacts, maintenance: Maintenance) -> None:
        self._impacts = impacts
        self._maintenance = maintenance
        self._outputs: list[Output] = []
        self._rows: list[MonthRow] = []
        self._rejected: list[RejectedClaim] = []
        self.out_of_turn_until = 0
        """The latest arrival of an input that was applied before its turn."""

    def take(self) -> tuple[list[Output], list[MonthRow]]:
        """The outputs and changed states since the last call."""
        taken = self._outputs, self._rows
        self._outputs, self._rows = [], []
        return taken

    def take_rejected(self) -> tuple[RejectedClaim, ...]:
        """The claims that were rejected since the last call; they are not stored any more."""
        taken, self._rejected = self._rejected, []
        return tuple(taken)

    def drop_rows(self, tenant: str) -> None:
        """Forget the changed states of a tenant: all its rows are written under another name."""
        self._rows = [row for row in self._rows if row.tenant != tenant]

    def fire(self, account: Account, due: int, *, backfill_idle: bool) -> Steps[None]:
        """Adjust, close and evaluate what is due by `due`. Months that were past when their contract arrived close only
        when no more backfill is expected (R32)."""
        for month in sorted(account.adjusting):
            adjust_at = account.state_of(month).adjust_at
            if adjust_at is not None and adjust_at <= due:
                yield from self._adjust(account, month, adjust_at)
        closing = account.schedule.next_close()
        if closing is not None and closing[0] <= due and (backfill_idle or closing[0] > account.known_at):
            yield from self._final(account, closing[1], closing[0])
        if due < account.schedule.scheduled_at:
            return  # a belated final: provisional instants before the facts that were known then are over
        for month in sorted(account.schedule.to_evaluate):
            instant = account.schedule.next_provisional(month, due)
            if instant is not None and instant <= due:
                yield from self._provisional(account, month, instant)

    def settle(self, account: Account, month: Month, due: int) -> Steps[None]:
        """Adjust a month that is evicted then as far as it is known, before what it is computed from goes."""
        adjust_at = account.state_of(month).adjust_at
        assert adjust_at is not None
        # The eviction may be a belated one: no statement is dated before what it counts.
        changed_at = adjust_at - account.settled_terms(month).policy.statements.adjust_after
        yield from self._adjust(account, month, max(due, changed_at))
        self._record(account, month, account.state_of(month)._replace(adjust_at=None))

    # -- claims ------------------------------------------------------------------------------------------------------

    def claimed(self, account: Account, month: Month, instant: int) -> None:
        """A claim was made in time: issue the credit of the last statement as far as it is not issued yet; a repeated
        claim issues nothing."""
        state = account.state_of(month)
        if state.settled is not None:
            terms = account.settled_terms(month)
            self._issue(account, month, terms, state.settled[3], "claimed", max(instant, terms.final_at))

    # -- statements --------------------------------------------------------------------------------------------------

    def _compute(self, account: Account, month: Month, terms: MonthTerms, instant: int) -> Steps[MonthResult]:
        impacts = self._impacts.between(account.tenant, terms.period.start, terms.period.end)
        maintenance = self._maintenance.between(account.tenant, terms.period.start, terms.period.end)
        currency = account.contracts.currency
        return month_steps(
            account.tenant, month, terms.period, terms.spans, terms.policy, impacts, maintenance, instant, currency
        )

    @staticmethod
    def recheck_open(account: Account, start: int, end: int) -> bool:
        """What `recheck_months` does where no month in [start, end) has its final statement, as nearly always; False
        where one has."""
        for month in account.months_between(max(start, account.begin - 1), end):
            if account.state_of(month).settled is not None:
                return False
            terms = account.terms(month)
            if terms is not None and terms.final_at > account.known_at:
                account.schedule.to_evaluate.add(month)
        return True

    def recheck_months(
        self, account: Account, start: int, end: int, arrival: int, limit: int | None = None
    ) -> Steps[int | None]:
        """Inputs of the months in [start, end) changed: open months are evaluated at their next provisional instant;
        a settled month whose result differs is adjusted `adjust_after` after the first change (R26). Returns the start
        of the first month that remains after `limit` months, None when none does."""
        for number, month in enumerate(account.months_between(max(start, account.begin - 1), end)):
            if number == limit:
                return month_bounds(month, account.contracts.zone)[0]
            terms = account.terms(month)
            state = account.state_of(month)
            if state.settled is None:
                if terms is not None and terms.final_at > account.known_at:
                    account.schedule.to_evaluate.add(month)
                continue
            if state.adjust_at is not None:
                continue
            terms = account.settled_terms(month)
            result = yield from self._compute(account, month, terms, arrival)
            if _differs(state, result, account.flags(month)):
                # An input that comes out of its turn, as a forwarded one may, dates no statement before the last one.
                adjust_at = max(arrival, state.stated_at) + terms.policy.statements.adjust_after
                self._record(account, month, state._replace(adjust_at=adjust_at))
        return None

    def keep_unstated(self, account: Account, until: int) -> None:
        """The account of a tenant in quarantine keeps its months that end by an instant and have no statement yet,
        which others lose then: they are closed after its release."""
        if not len(account.contracts):
            return
        for month in account.months_between(account.begin - 1, until):
            ended = month_bounds(month, account.contracts.zone)[1] <= until
            if ended and month not in account.months and _has_terms(account, month):
                self._record(account, month, StatementState())

    def reject_unstated(self, account: Account, identities: list[tuple[str, str]]) -> None:
        """Take out claims of months that are evicted without ever having had a statement."""
        self._rejected += reject_unstated_claims(account, identities)

    def recheck_retained(self, account: Account, arrival: int) -> None:
        """Recheck settled months that would be evicted but for the tenant's quarantine, which ends: no other recheck
        looks at them. A month that does not differ is not adjusted."""
        until, zone = account.retention.until, account.contracts.zone if len(account.contracts) else "UTC"
        for month, state in sorted(account.months.items()):
            if month_bounds(month, zone)[1] > until:
                return
            if state.settled is not None and state.adjust_at is None:
                after = account.settled_terms(month).policy.statements.adjust_after
                self._record(account, month, state._replace(adjust_at=max(arrival, state.stated_at) + after))

    def count_items(self, accounts: Iterable[Account], start: int, end: int) -> int:
        """About how many impact lists and maintenances `recheck_months` looks at: those of settled months."""
        return sum(
            index.count(account.tenant, *month_bounds(month, account.contracts.zone))
            for account in accounts
            if account.settles and len(account.contracts)
            for month in account.months_between(max(start, account.begin - 1), end)
            if account.state_of(month).settled is not None
            for index in (self._impacts, self._maintenance)
        )

    def _provisional(self, account: Account, month: Month, instant: int) -> Steps[None]:
        terms = account.terms(month)
        assert terms is not None
        state = account.state_of(month)
        result = yield from self._compute(account, month, terms, instant)
        if (result.guarantee_met, result.credit) != (state.guarantee_met, state.credit):
            state = state._replace(
                revision=state.revision + 1,
                guarantee_met=result.guarantee_met,
                credit=result.credit,
                stated_at=instant,
            )
            yield from self._publish(
                account, result, state, "provisional", instant, self._flags(account, month, instant)
            )
            self._record(account, month, state)
        if not self._impacts.changes_with_time(account.tenant, instant, terms.period.end):
            account.schedule.to_evaluate.discard(month)
        self._evaluate_next(account, month, terms)

    def _evaluate_next(self, account: Account, month: Month, terms: MonthTerms) -> None:
        """An outage that lasts beyond a month's end counts in the next month too, without any further input."""
        end = terms.period.end
        if month != LAST_MONTH and self._impacts.changes_with_time(account.tenant, end, end + 1):
            account.schedule.to_evaluate.add(next_month(month))

    def _final(self, account: Account, month: Month, instant: int) -> Steps[None]:
        terms = account.terms(month)
        assert terms is not None
        account.schedule.to_evaluate.discard(month)
        self._evaluate_next(account, month, terms)
        result = yield from self._compute(account, month, terms, instant)
        until, flags = terms.claimable_until, self._flags(account, month, instant)
        state = account.state_of(month)
        state = state._replace(
            revision=state.revision + 1,
            guarantee_met=result.guarantee_met,
            credit=result.credit,
            settled=result.settled,
            claimable_until=until,
            adjust_at=self._adjust_at(terms, instant),
            stated_at=instant,
            basis=_basis(result, flags),
        )
        in_time = month in account.claims and account.claims[month].time <= until
        late = late_claims(account, month, until)
        while len(late) > CLAIMS_PER_STEP:  # before the statement: a restart finds those that are left
            self._rejected += reject_late_claims(account, month, until, late[:CLAIMS_PER_STEP])
            del late[:CLAIMS_PER_STEP]
            yield
        yield from self._publish(account, result, state, "final", instant, flags)
        self._record(account, month, state)
        automatic = terms.policy.credit.claim == "automatic"
        if automatic or in_time:
            self._issue(account, month, terms, result.credit, "automatic" if automatic else "claimed", instant)
        if not in_time:  # not before, as an erasure in between makes all of this begin anew
            account.claims.pop(month, None)
        self._rejected += reject_late_claims(account, month, until, late)

    def _adjust(self, account: Account, month: Month, instant: int) -> Steps[None]:
        """R26: one `adjusted` per settling, its delta against the previous non-provisional revision."""
        terms = account.settled_terms(month)
        state = account.state_of(month)._replace(adjust_at=self._adjust_at(terms, instant))
        assert state.settled is not None
        result = yield from self._compute(account, month, terms, instant)
        flags = self._flags(account, month, instant)
        if not _differs(state, result, flags):
            self._record(account, month, state)
            return
        delta = result.credit - state.settled[3]
        state = state._replace(
            revision=state.revision + 1,
            guarantee_met=result.guarantee_met,
            credit=result.credit,
            settled=result.settled,
            stated_at=instant,
            basis=_basis(result, flags),
        )
        waived = max(0, state.issued - result.credit)
        yield from self._publish(account, result, state, "adjusted", instant, flags, delta=delta, waived=waived)
        self._record(account, month, state)
        claim = account.claims.get(month)
        entitled = terms.policy.credit.claim == "automatic" or (
            claim is not None and claim.time <= state.claimable_until
        )
        if entitled:
            self._issue(account, month, terms, result.credit, "adjusted", instant)

    def _issue(self, account: Account, month: Month, terms: MonthTerms, credit: int, cause: str, instant: int) -> None:
        """Issue the part of the credit that is not issued yet (R26)."""
        state = account.state_of(month)
        amount = credit - state.issued
        if amount <= 0:
            return
        data: dict[str, object] = {
            "policy": terms.policy.as_data(),
            "tenant_id": account.tenant,
            "month": month,
            "statement_revision": state.revision,
            "amount": {"amount_minor": amount, "currency": account.contracts.currency},
            "cause": cause,
        }
        name = output_id("credit.issued", account.tenant, month, state.revision, cause)
        self._outputs.append(Output("credit.issued", name, account.tenant, instant, data))
        self._record(account, month, state._replace(issued=state.issued + amount))

    def _publish(
        self,
        account: Account,
        result: MonthResult,
        state: StatementState,
        status: str,
        instant: int,
        flags: tuple[str, ...],
        *,
        delta: int = 0,
        waived: int = 0,
    ) -> Steps[None]:
        terms = account.settled_terms(result.month)
        until = state.claimable_until or terms.claimable_until
        data = yield from statement_data(
            account.tenant,
            result,
            status=status,
            revision=state.revision,
            delta=delta,
            waived=waived,
            claimable_until=until,
            flags=flags,
        )
        name = output_id("credit.statement", account.tenant, result.month, state.revision, data["digest"])
        self._outputs.append(Output("credit.statement", name, account.tenant, instant, data))

    def _flags(self, account: Account, month: Month, instant: int) -> tuple[str, ...]:
        flags = account.flags(month)
        return (*flags, OUT_OF_ORDER) if instant < self.out_of_turn_until else flags

    def _adjust_at(self, terms: MonthTerms, instant: int) -> int | None:
        """When the statement that has the flag `OUT_OF_ORDER` is followed by one without; None where it has none."""
        until = self.out_of_turn_until
        return until + terms.policy.statements.adjust_after if instant < until else None

    def _record(self, account: Account, month: Month, state: StatementState) -> None:
        account.set_state(month, state)
        self._rows.append(MonthRow(account.tenant, month, state))
