"""Statements and credits of one account (R26): provisional, final, adjusted, claimed, issued, waived."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.credits.account import Account, MonthTerms, StatementState
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.statement import MonthResult, statement_data, weigh
from streams.sla.events import CreditClaimed, Event, Output, Rejection
from streams.sla.ids import output_id
from streams.sla.instants import LAST_MONTH, Month, format_rfc3339, next_month


class MonthRow(NamedTuple):
    """A tenant-month whose record changed."""

    tenant: str
    month: Month
    stated: StatementState


def _differs(stated: StatementState, weighed: MonthResult) -> bool:
    """Whether a month with a final statement would now be stated otherwise (R26)."""
    said = stated.settled, stated.guarantee_met, stated.basis
    return said != (weighed.settled, weighed.guarantee_met, weighed.basis)


class MonthClose:
    """Weighs months and says what follows. Outputs and changed records are taken with `take` after each step."""

    def __init__(self, impacts: Impacts, maintenance: Maintenance) -> None:
        self._impacts = impacts
        self._maintenance = maintenance
        self._outputs: list[Output] = []
        self._rows: list[MonthRow] = []

    def take(self) -> tuple[list[Output], list[MonthRow]]:
        taken = self._outputs, self._rows
        self._outputs, self._rows = [], []
        return taken

    def fire(self, account: Account, due: int, *, quiet: bool) -> None:
        """Time has passed `due`: adjust, close, evaluate what was due by then. Months that were past when their
        contract arrived close only when the load has been `quiet` (R32)."""
        for month in sorted(account.adjusting):
            adjust_at = account.stated(month).adjust_at
            if adjust_at is not None and adjust_at <= due:
                self._adjust(account, month, adjust_at)
        closing = account.next_close()
        if closing is not None and closing[0] <= due and (quiet or closing[0] > account.known_at):
            self._final(account, closing[1], closing[0])
        for month in sorted(account.touched):
            instant = account.next_provisional(month, due)
            if instant is not None and instant <= due:
                self._provisional(account, month, instant)

    # -- claims ------------------------------------------------------------------------------------------------------

    @staticmethod
    def refuse_claim(account: Account, event: Event) -> Rejection | None:
        """R26: a claim after `claimable_until` is too late; before the month is over it is remembered."""
        assert isinstance(event.payload, CreditClaimed)
        month = Month(event.payload.month)
        stated = account.stated(month)
        terms = account.terms(month)
        if stated.settled is not None:
            until = stated.claimable_until
        elif terms is not None:
            until = terms.claimable_until
        else:
            return None
        if event.time <= until:
            return None
        return Rejection("too_late", f"{month} could be claimed until {format_rfc3339(until)}", event.id)

    def claimed(self, account: Account, month: Month, instant: int) -> None:
        """A claim in time: issue what the last statement owes beyond what was issued, which is nothing for a repeat."""
        stated = account.stated(month)
        if stated.settled is not None:
            terms = account.stated_terms(month)
            self._issue(account, month, terms, stated.settled[3], "claimed", max(instant, terms.final_at))

    # -- statements --------------------------------------------------------------------------------------------------

    def _weigh(self, account: Account, month: Month, terms: MonthTerms, instant: int) -> MonthResult:
        impacts = self._impacts.between(account.tenant, terms.period.start, terms.period.end)
        windows = self._maintenance.windows()
        currency = account.contracts.currency
        return weigh(
            account.tenant, month, terms.period, terms.spans, terms.policy, impacts, windows, instant, currency
        )

    def weigh_again(self, account: Account, start: int, end: int, arrival: int) -> None:
        """Something within [start, end) changed: open months are evaluated at their next instant, and a settled one
        that comes out differently is adjusted `adjust_after` after the first change (R26)."""
        for month in account.months_between(start, end):
            terms = account.terms(month)
            stated = account.stated(month)
            if stated.settled is None:
                if terms is not None and terms.final_at > account.known_at:
                    account.touched.add(month)
                continue
            terms = account.stated_terms(month)
            if stated.adjust_at is None and _differs(stated, self._weigh(account, month, terms, arrival)):
                adjust_at = arrival + terms.policy.statements.adjust_after
                self._state(account, month, stated._replace(adjust_at=adjust_at))

    def _provisional(self, account: Account, month: Month, instant: int) -> None:
        terms = account.terms(month)
        assert terms is not None
        stated = account.stated(month)
        weighed = self._weigh(account, month, terms, instant)
        if (weighed.guarantee_met, weighed.credit) != (stated.guarantee_met, stated.credit):
            stated = stated._replace(
                revision=stated.revision + 1,
                guarantee_met=weighed.guarantee_met,
                credit=weighed.credit,
                stated_at=instant,
            )
            self._publish(account, weighed, stated, "provisional", instant)
            self._state(account, month, stated)
        if not self._impacts.lasting(account.tenant, instant, terms.period.end):
            account.touched.discard(month)
        self._touch_next(account, month, terms)

    def _touch_next(self, account: Account, month: Month, terms: MonthTerms) -> None:
        """What lasts beyond a month's end is downtime of the next one too, though no input will say so."""
        end = terms.period.end
        if month != LAST_MONTH and self._impacts.lasting(account.tenant, end, end + 1):
            account.touched.add(next_month(month))

    def _final(self, account: Account, month: Month, instant: int) -> None:
        terms = account.terms(month)
        assert terms is not None
        account.touched.discard(month)
        self._touch_next(account, month, terms)
        weighed = self._weigh(account, month, terms, instant)
        until = terms.claimable_until
        stated = account.stated(month)
        stated = StatementState(
            revision=stated.revision + 1,
            guarantee_met=weighed.guarantee_met,
            credit=weighed.credit,
            settled=weighed.settled,
            claimable_until=until,
            issued=stated.issued,
            basis=weighed.basis,
        )
        self._publish(account, weighed, stated, "final", instant)
        self._state(account, month, stated)
        automatic = terms.policy.credit.claim == "automatic"
        claim = account.claims.get(month)
        if automatic or (claim is not None and claim.time <= until):
            cause = "automatic" if automatic else "claimed"
            self._issue(account, month, terms, weighed.credit, cause, instant)

    def _adjust(self, account: Account, month: Month, instant: int) -> None:
        """R26: one `adjusted` per settling, its delta against the previous non-provisional revision."""
        stated = account.stated(month)._replace(adjust_at=None)
        terms = account.stated_terms(month)
        assert stated.settled is not None
        weighed = self._weigh(account, month, terms, instant)
        if not _differs(stated, weighed):
            self._state(account, month, stated)
            return
        delta = weighed.credit - stated.settled[3]
        stated = stated._replace(
            revision=stated.revision + 1,
            guarantee_met=weighed.guarantee_met,
            credit=weighed.credit,
            settled=weighed.settled,
            basis=weighed.basis,
        )
        waived = max(0, stated.issued - weighed.credit)
        self._publish(account, weighed, stated, "adjusted", instant, delta=delta, waived=waived)
        self._state(account, month, stated)
        claim = account.claims.get(month)
        entitled = terms.policy.credit.claim == "automatic" or (
            claim is not None and claim.time <= stated.claimable_until
        )
        if entitled:
            self._issue(account, month, terms, weighed.credit, "adjusted", instant)

    def _issue(self, account: Account, month: Month, terms: MonthTerms, credit: int, cause: str, instant: int) -> None:
        """Issue what the credit exceeds the issued amount by (R26)."""
        stated = account.stated(month)
        amount = credit - stated.issued
        if amount <= 0:
            return
        data: dict[str, object] = {
            "policy": terms.policy.as_data(),
            "tenant_id": account.tenant,
            "month": month,
            "statement_revision": stated.revision,
            "amount": {"amount_minor": amount, "currency": account.contracts.currency},
            "cause": cause,
        }
        name = output_id("credit.issued", account.tenant, month, stated.revision, cause)
        self._outputs.append(Output("credit.issued", name, account.tenant, instant, data))
        self._state(account, month, stated._replace(issued=stated.issued + amount))

    def _publish(
        self,
        account: Account,
        weighed: MonthResult,
        stated: StatementState,
        status: str,
        instant: int,
        *,
        delta: int = 0,
        waived: int = 0,
    ) -> None:
        terms = account.stated_terms(weighed.month)
        until = stated.claimable_until or terms.claimable_until
        data = statement_data(
            account.tenant,
            weighed,
            status=status,
            revision=stated.revision,
            delta=delta,
            waived=waived,
            claimable_until=until,
            flags=account.flags(weighed),
        )
        name = output_id("credit.statement", account.tenant, weighed.month, stated.revision, data["digest"])
        self._outputs.append(Output("credit.statement", name, account.tenant, instant, data))

    def _state(self, account: Account, month: Month, stated: StatementState) -> None:
        account.state(month, stated)
        self._rows.append(MonthRow(account.tenant, month, stated))
