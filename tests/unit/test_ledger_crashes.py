"""R27: a tenant whose months can't be computed costs nobody else an input, and neither an erasure of its own."""

from __future__ import annotations

from typing import Any

import pytest
from story import micros, policies

from streams.sla.arrival import TimeLimits
from streams.sla.credits.account import Account, MonthTerms
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.month_close import MonthClose
from streams.sla.credits.posted import Posted
from streams.sla.credits.statement import MonthResult
from streams.sla.credits.work_steps import Steps
from streams.sla.events import ContractSet, Event, Money, Position, TenantErased
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY, HOUR, Month

PLACE = Position("t", 0, 0)
START = micros("2026-01-01T00:00:00Z")
LATER = micros("2026-02-10T00:00:00Z")
TENANTS = [f"t{number}" for number in range(3)]


def event(name: str, tenant: str, payload: Any, kind: str = "contract.set", at: int = START) -> Event:
    return Event(name, "/t", kind, tenant, at, payload, False, None, None, name.encode())


def terms(start: int) -> ContractSet:
    return ContractSet(start, None, "scalr-emergency", Money(100_000, "EUR"), None, None, True)


def settled() -> Ledger:
    """Three tenants whose January has its final statement."""
    ledger = Ledger(policies(), TimeLimits())
    for tenant in TENANTS:
        ledger.apply(event(tenant, tenant, terms(START)), START, PLACE)
    while ledger.fire(LATER) is not None:
        pass
    return ledger


def outage(name: str, start: int) -> ImpactCopy:
    impact = Impact("api", "complete_outage", start, start + DAY, None, "platform", ())
    return ImpactCopy(name, 1, (impact,), (PLACE,))


def broken_terms(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, *names: str) -> None:
    find = Account._find_terms

    def raising(self: Account, month: Month) -> MonthTerms | None:
        if self.tenant in names:
            raise ValueError("odd")
        return find(self, month)

    monkeypatch.setattr(Account, "_find_terms", raising)
    for name in names:
        if name in ledger._accounts:
            ledger._accounts[name]._terms.clear()


def broken_computing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """They raise in the second step of a month."""
    compute = MonthClose._compute

    def raising(self: MonthClose, account: Account, *rest: Any) -> Steps[MonthResult]:
        if account.tenant in names:
            yield
            raise ValueError("odd")
        return (yield from compute(self, account, *rest))

    monkeypatch.setattr(MonthClose, "_compute", raising)


def run(ledger: Ledger, until: int) -> set[tuple[str, str]]:
    """The statements that follow, by tenant and status; what crashes is set aside."""
    found = set()
    while (first := ledger.first_due(until)) is not None:
        try:
            posted = ledger.fire(until)
        except ValueError:
            ledger.quarantine(first[1])
            continue
        assert posted is not None
        found |= {(each.subject, str(each.data["status"])) for each in posted.outputs}
    return found


@pytest.mark.parametrize("month", ["open", "settled"])
def test_r27_an_outage_of_several_holds_for_those_whose_terms_do_not_raise(
    month: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = settled()
    broken_terms(monkeypatch, ledger, "t1")
    start = LATER - DAY if month == "open" else START + DAY
    assert isinstance(ledger.apply_impacts(outage("late", start), LATER, backfill=False), Posted)
    stated = run(ledger, LATER + 2 * DAY)
    assert stated == {(name, "provisional" if month == "open" else "adjusted") for name in ("t0", "t2")}


def test_r27_terms_that_raise_at_their_own_input_reject_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = settled()
    broken_terms(monkeypatch, ledger, "t1")
    with pytest.raises(ValueError, match="odd"):
        ledger.apply(event("more", "t1", terms(LATER), at=LATER), LATER, PLACE)


def test_r27_what_is_half_done_and_raises_costs_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = settled()
    ledger.apply_impacts(outage("one", START + DAY), LATER, backfill=False)
    broken_computing(monkeypatch, "t0")
    while not ledger.timers._work:
        assert ledger.fire(LATER + HOUR + 1) is not None
    assert ledger.first_due(LATER + DAY) == (LATER + HOUR, "t0")
    ledger.apply(event("more", "t2", terms(LATER), at=LATER), LATER + HOUR + 2, PLACE)
    assert not ledger.timers._work
    assert run(ledger, LATER + 2 * DAY) == {("t1", "adjusted"), ("t2", "adjusted")}


@pytest.mark.parametrize("what", ["terms", "months"])
def test_r29_a_tenant_whose_months_raise_is_erased(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sla.credits.rechecks.MONTHS_AT_ONCE", 0)  # everything is queued
    ledger = settled()
    pseudonym = ledger.erasures.pseudonym("t1")
    if what == "terms":
        broken_terms(monkeypatch, ledger, "t1", pseudonym)
    else:
        broken_computing(monkeypatch, "t1", pseudonym)
    ledger.apply_impacts(outage("late", START + DAY), LATER, backfill=False)
    erasure = event("gone", "t1", TenantErased(), "tenant.erased", LATER)
    decision = ledger.apply(erasure, LATER, PLACE)
    assert isinstance(decision, Posted)
    assert decision.erased is not None
    assert "t1" not in ledger._accounts
    assert run(ledger, LATER + DAY) == {("t0", "adjusted"), ("t2", "adjusted")}
    monkeypatch.undo()
    assert ledger.release(pseudonym) is not None
    assert run(ledger, LATER + 2 * DAY) == {(pseudonym, "adjusted")}, "nothing is lost"
