"""Statements and credits of one account (R26): provisional, final, adjusted, claimed, issued, waived."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.account import Account, Stated, Terms
from streams.sla.events import CreditClaimed, Event, Output, Rejection
from streams.sla.ids import output_id
from streams.sla.impacts import Impacts
from streams.sla.instants import Month, format_rfc3339
from streams.sla.maintenance import Maintenance
from streams.sla.policy import Policies
from streams.sla.statement import Weighed, statement_data, weigh


class MonthRow(NamedTuple):
    """A tenant-month whose record changed."""

    tenant: str
    month: Month
    stated: Stated


class Closing:
    """Weighs months and says what follows. Outputs and changed records are taken with `take` after each step."""

    def __init__(self, policies: Policies, impacts: Impacts, maintenance: Maintenance) -> None:
        self._policies = policies
        self._impacts = impacts
        self._maintenance = maintenance
        self._outputs: list[Output] = []
        self._rows: list[MonthRow] = []

    def take(self) -> tuple[list[Output], list[MonthRow]]:
        taken = self._outputs, self._rows
        self._outputs, self._rows = [], []
        return taken

    def act(self, account: Account, due: int) -> None:
        """Time has passed `due`: adjust, close, evaluate what was due by then."""
        for month in sorted(account.adjusting):
            adjust_at = account.stated(month).adjust_at
            if adjust_at is not None and adjust_at <= due:
                self._adjust(account, month, adjust_at)
        closing = account.next_close()
        if closing is not None and closing[0] <= due:
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
            until = terms.final_at + terms.policy.credit.claim_within
        else:
            return None
        if event.time <= until:
            return None
        return Rejection("too_late", f"{month} could be claimed until {format_rfc3339(until)}", event.id)

    def claimed(self, account: Account, month: Month, instant: int) -> None:
        """The first claim of a month: issue what its final statement owes."""
        stated, terms = account.stated(month), account.terms(month)
        if stated.settled is not None and terms is not None:
            self._issue(account, month, terms, stated.settled[3], "claimed", max(instant, terms.final_at))

    # -- statements --------------------------------------------------------------------------------------------------

    def _weigh(self, account: Account, month: Month, terms: Terms, instant: int) -> Weighed:
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
            if stated.adjust_at is None and self._settled(account, month, terms, arrival) != stated.settled:
                policy = terms.policy if terms is not None else self._policies.at(None, arrival)
                self._state(account, month, stated._replace(adjust_at=arrival + policy.statements.adjust_after))

    def _settled(self, account: Account, month: Month, terms: Terms | None, instant: int) -> tuple[int, int, int, int]:
        return (0, 0, 0, 0) if terms is None else self._weigh(account, month, terms, instant).settled

    def _provisional(self, account: Account, month: Month, instant: int) -> None:
        terms = account.terms(month)
        assert terms is not None
        stated = account.stated(month)
        weighed = self._weigh(account, month, terms, instant)
        if (weighed.guarantee_met, weighed.credit) != (stated.guarantee_met, stated.credit):
            stated = stated._replace(
                revision=stated.revision + 1, guarantee_met=weighed.guarantee_met, credit=weighed.credit
            )
            self._publish(account, weighed, stated, "provisional", instant)
            self._state(account, month, stated)
        if not self._impacts.running(account.tenant, terms.period.end):
            account.touched.discard(month)

    def _final(self, account: Account, month: Month, instant: int) -> None:
        terms = account.terms(month)
        assert terms is not None
        account.touched.discard(month)
        weighed = self._weigh(account, month, terms, instant)
        until = instant + terms.policy.credit.claim_within
        stated = account.stated(month)
        stated = Stated(
            stated.revision + 1, weighed.guarantee_met, weighed.credit, weighed.settled, until, stated.issued, None
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
        terms = account.terms(month)
        assert stated.settled is not None
        if terms is None:
            # No second under contract is left: nothing can be weighed, and the last statement stands.
            self._state(account, month, stated)
            return
        weighed = self._weigh(account, month, terms, instant)
        if weighed.settled == stated.settled:
            self._state(account, month, stated)
            return
        delta = weighed.credit - stated.settled[3]
        stated = stated._replace(
            revision=stated.revision + 1,
            guarantee_met=weighed.guarantee_met,
            credit=weighed.credit,
            settled=weighed.settled,
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

    def _issue(self, account: Account, month: Month, terms: Terms, credit: int, cause: str, instant: int) -> None:
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
        weighed: Weighed,
        stated: Stated,
        status: str,
        instant: int,
        *,
        delta: int = 0,
        waived: int = 0,
    ) -> None:
        terms = account.terms(weighed.month)
        assert terms is not None
        until = stated.claimable_until or terms.final_at + terms.policy.credit.claim_within
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

    def _state(self, account: Account, month: Month, stated: Stated) -> None:
        account.state(month, stated)
        self._rows.append(MonthRow(account.tenant, month, stated))
