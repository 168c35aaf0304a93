"""An eviction is done in steps, and goes on after a restart (R26)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from story import claimed, contract, micros, opened, policies, resolved, run, shipped, with_credit

from streams.sla.arrival import TimeLimits
from streams.sla.credits import retention
from streams.sla.credits.account import Account, MonthTerms
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.ledger_timers import EVICTION, LedgerTimers
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.posted import Posted
from streams.sla.credits.retention import EvictionFailed
from streams.sla.events import ContractSet, Event, MaintenanceScheduled, Money, Output, Position, TenantErased
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY, HOUR, Month
from streams.sla.policy import Policies

PLACE = Position("t", 0, 0)
START = micros("2026-01-01T00:00:00Z")
LATER = micros("2026-10-15T00:00:00Z")
TERMS = ContractSet(START, None, "scalr-emergency", Money(100_000, "EUR"), None, None, True)
TENANTS = [f"t{number}" for number in range(5)]


def outage(number: int) -> ImpactCopy:
    start = START + number * DAY
    impact = Impact("api", "complete_outage", start, start + DAY, None, "tenants", (f"t{number}",))
    return ImpactCopy(f"inc-{number}", 1, (impact,), (PLACE,))


def full() -> Ledger:
    """A ledger whose months are settled, and whose eviction is due next."""
    ledger = Ledger(policies(), TimeLimits(retain_months=6))
    for tenant in TENANTS:
        event = Event(tenant, "/t", "contract.set", tenant, START, TERMS, False, None, None, b"x")
        ledger.apply(event, START, PLACE)
    for number in range(5):
        ledger.apply_impacts(outage(number), START + 10 * DAY, backfill=False)
    while (due := ledger.first_due(LATER)) is not None and due != (micros("2026-10-01T00:00:00Z"), EVICTION):
        ledger.fire(LATER)
    return ledger


def test_r26_an_eviction_is_done_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    ledger = full()
    months, incidents, pending = [], [], []
    while (due := ledger.first_due(LATER)) is not None and due[1] == EVICTION:
        posted = ledger.fire(LATER)
        assert posted is not None
        assert posted.evicted is not None
        assert posted.retention is not None
        assert posted.retention[0] == micros("2026-04-01T00:00:00Z")
        assert len(posted.evicted.incidents) <= 2
        months += posted.evicted.months
        incidents += posted.evicted.incidents
        pending.append(posted.retention[1])
    # Earlier evictions took the months before March already.
    assert sorted(months) == [(tenant, "2026-03") for tenant in TENANTS]
    assert pending == [True] * (len(pending) - 1) + [False]
    assert len(pending) >= 3


def test_r26_a_pending_eviction_goes_on_after_a_restart() -> None:
    ledger = Ledger(policies(), TimeLimits(retain_months=6))
    for tenant in TENANTS:
        event = Event(tenant, "/t", "contract.set", tenant, START, TERMS, False, None, None, b"x")
        ledger.restore_fact(event, START, PLACE)
    for number in range(5):
        ledger.store_impacts(outage(number))
    until = micros("2026-04-01T00:00:00Z")
    ledger.restore_retention(until, pending=True)
    ledger.restored(LATER, 0)
    assert ledger.first_due(LATER + 1, backfill_idle=True) is not None
    evicted: list[str] = []
    while True:
        posted = ledger.fire(LATER + 1)
        assert isinstance(posted, Posted)
        if posted.evicted is not None:
            evicted += posted.evicted.incidents
            break
    assert sorted(evicted) == [f"inc-{number}" for number in range(5)]
    assert posted.retention == (until, False)
    assert "2026-03" not in ledger._accounts["t0"].months, "it is not stated again"


def test_an_impact_list_of_evicted_months_is_not_stored_again() -> None:
    ledger = full()
    while ledger.fire(LATER) is not None:
        pass
    assert not isinstance(ledger.apply_impacts(outage(1)._replace(revision=2), LATER, backfill=False), Posted)
    with pytest.raises(KeyError):
        ledger.impacts_of("inc-1")
    longer = Impact("api", "complete_outage", START, LATER, None, "tenants", ("t1",))
    copy = ImpactCopy("inc-1", 3, (longer,), (PLACE,))
    assert isinstance(ledger.apply_impacts(copy, LATER, backfill=False), Posted)


def test_the_list_of_an_incident_that_was_annulled_is_evicted() -> None:
    """Nothing counts it, so it has no instant by which it would be."""
    ledger = full()
    ledger.apply_impacts(ImpactCopy("annulled", 1, outage(1).impacts, (PLACE,)), START + 20 * DAY, backfill=False)
    ledger.apply_impacts(ImpactCopy("annulled", 2, (), (PLACE,)), LATER - 20 * DAY, backfill=False)
    assert "annulled" in ledger._impacts.names()
    while ledger.fire(LATER) is not None:
        pass
    assert "annulled" not in ledger._impacts.names()


def test_r27_an_outage_of_a_tenant_in_quarantine_outlives_the_eviction_and_is_adjusted_at_its_release() -> None:
    ledger, evicted = full(), micros("2026-10-01T00:00:00Z")
    ledger.quarantine("t1")
    start = micros("2026-03-03T00:00:00Z")
    for number, tenant in ((1, "t1"), (2, "t2")):
        impact = Impact("api", "complete_outage", start, start + DAY, None, "tenants", (tenant,))
        ledger.apply_impacts(ImpactCopy(f"late-{number}", 1, (impact,), (PLACE,)), evicted - DAY, backfill=False)
    assert [each.subject for each in march(ledger, LATER + 20 * DAY)] == ["t2"]
    assert [name for name in ledger._impacts.names() if name.startswith("late")] == ["late-1"]
    released = ledger.release("t1")
    assert released is not None
    assert [(row.tenant, row.month) for row in released.months] == [("t1", "2026-03"), ("t1", "2026-04")]
    stated = list(march(ledger, LATER + 60 * DAY))
    assert [(each.subject, each.data["status"], each.data["downtime_s"]) for each in stated] == [
        ("t1", "adjusted", DAY)
    ]
    assert [name for name in ledger._impacts.names() if name.startswith("late")] == []
    assert "2026-03" not in ledger._accounts["t1"].months


def test_r27_a_release_in_the_middle_of_an_eviction_keeps_the_outages_of_months_to_be_adjusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    ledger, evicted = full(), micros("2026-11-01T00:00:00Z")
    ledger.quarantine("t1")
    start = micros("2026-03-03T00:00:00Z")
    for number, tenant in enumerate(("t1", "t2", "t2", "t2", "t2")):
        impact = Impact("api", "complete_outage", start, start + DAY, None, "tenants", (tenant,))
        ledger.apply_impacts(ImpactCopy(f"late-{number}", 1, (impact,), (PLACE,)), LATER - 20 * DAY, backfill=False)
    while len(ledger._impacts.names()) == 5:  # until the first step that evicts outages
        assert ledger.fire(evicted + HOUR) is not None
    assert ledger.timers.retention.pending
    ledger.release("t1")
    stated = list(march(ledger, evicted + DAY))
    assert not ledger.timers.retention.pending
    assert [(each.subject, each.data["downtime_s"]) for each in stated][-1:] == [("t1", DAY)]


def test_r26_a_month_that_is_settled_for_an_eviction_keeps_no_flag_of_inputs_before_their_turn() -> None:
    """The eviction waits until all inputs are known that arrived before the one that was applied before its turn."""
    ledger, evicted = full(), micros("2026-10-01T00:00:00Z")
    ledger.timers.out_of_turn(evicted + 6 * HOUR)
    start = micros("2026-03-03T00:00:00Z")
    impact = Impact("api", "complete_outage", start, start + DAY, None, "tenants", ("t1",))
    ledger.apply_impacts(ImpactCopy("late", 1, (impact,), (PLACE,)), evicted - HOUR // 2, backfill=False)
    stated = list(march(ledger, LATER))
    assert [each.data["flags"] for each in stated][-1:] == [[]]
    assert [each.data["downtime_s"] for each in stated][-1:] == [DAY]
    assert "2026-03" not in ledger._accounts["t1"].months, "it is evicted all the same"


def march(ledger: Ledger, before: int) -> Iterator[Output]:
    """The statements of March that follow until an instant."""
    while (posted := ledger.fire(before)) is not None:
        yield from (each for each in posted.outputs if each.data.get("month") == "2026-03")


def test_r23_a_maintenance_of_which_a_version_comes_during_an_eviction_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "STEP", 1)
    ledger = full()
    assert isinstance(ledger.apply_maintenance(window("1", START + DAY), START, PLACE), Posted)
    assert ledger.fire(LATER) is not None  # the eviction begins, and has chosen what to evict
    assert ledger.timers.retention.pending
    ledger.apply_maintenance(window("2", LATER + DAY), LATER - DAY, PLACE)
    evicted = []
    while ledger.timers.retention.pending:
        posted = ledger.fire(LATER)
        assert posted is not None
        evicted += posted.evicted.facts if posted.evicted is not None else []
    assert not [each for each in evicted if each[0] == "weekly"]
    assert "weekly" in ledger._maintenance


def test_r29_a_tenant_that_is_erased_in_the_middle_of_an_eviction_is_evicted_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "STEP", 1)
    ledger = full()
    assert ledger.fire(LATER) is not None
    assert ledger.timers.retention.pending
    at = micros("2026-10-01T01:00:00Z")
    ledger.apply(Event("gone", "/t", "tenant.erased", "t4", at, TenantErased(), False, None, None, b"y"), at, PLACE)
    while ledger.fire(LATER) is not None:
        pass
    account = ledger._accounts[ledger.erasures.name("t4")]
    assert min(account.months) == "2026-04"


def window(name: str, start: int) -> Event:
    payload = MaintenanceScheduled("platform", (), ("api",), start, start + HOUR, start - 20 * DAY)
    return Event(name, "/m", "maintenance.scheduled", "weekly", payload.announced_at, payload, False, None, None, b"x")


def restarted(ledger: Ledger, until: int, clock: int, idle_at: int) -> Ledger:
    """A ledger that is restored from the facts, months and impact lists of another one."""
    again = Ledger(policies(), TimeLimits(retain_months=6))
    for account in ledger._accounts.values():
        for stored in account.facts.values():
            again.restore_fact(*stored)
        for month, state in account.months.items():
            again.restore_month(MonthRow(account.tenant, month, state))
    for name in ledger._impacts.names():
        again.store_impacts(ledger.impacts_of(name))
    again.restore_retention(until, pending=False)
    again.restored(clock, idle_at)
    return again


@pytest.mark.parametrize("first", [False, True], ids=["a later one", "the first one"])
def test_r26_an_eviction_that_a_backfill_holds_is_not_skipped_by_a_restart(first: bool) -> None:
    ledger, due = full(), micros("2026-10-01T00:00:00Z")
    until = 0 if first else ledger.timers.retention.until
    assert until < micros("2026-04-01T00:00:00Z")
    ledger = restarted(ledger, until, due + HOUR, due + 2 * HOUR)
    while ledger.fire(due + 2 * HOUR) is not None:
        pass
    assert ledger.timers.retention.until == until, "the backfill holds it"
    while ledger.fire(due + 3 * HOUR) is not None:
        pass
    assert ledger.timers.retention.until == micros("2026-04-01T00:00:00Z")
    assert "2026-03" not in ledger._accounts["t0"].months
    assert ledger.timers.retention.next_due(ledger.timers.clock) == micros("2026-11-01T00:00:00Z")


def test_r26_an_eviction_that_a_backfill_holds_for_a_month_is_followed_by_the_next_one() -> None:
    ledger, due = full(), micros("2026-10-01T00:00:00Z")
    late = micros("2026-11-10T00:00:00Z")
    for day in range(41):  # history comes all the time
        ledger.timers.arrived(due + day * DAY, backfill=True)
    ledger.timers._timers.backfill_idle_at = late
    while ledger.fire(late + HOUR) is not None:
        pass
    assert ledger.timers.retention.until == micros("2026-05-01T00:00:00Z")


def test_a_ledger_whose_months_are_all_kept_evicts_nothing_at_a_restart() -> None:
    ledger = full()
    ledger = restarted(ledger, micros("2026-04-01T00:00:00Z"), LATER, 0)
    while (posted := ledger.fire(LATER)) is not None:
        assert posted.evicted is None


def broken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The terms of a tenant raise."""
    find = Account._find_terms

    def raising(self: Account, month: Month) -> MonthTerms | None:
        if self.tenant == name:
            raise ValueError("odd")
        return find(self, month)

    monkeypatch.setattr(Account, "_find_terms", raising)


def test_r27_a_tenant_in_quarantine_whose_terms_raise_does_not_stop_an_eviction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = full()
    account = ledger._accounts["t1"]
    account.remove_month(Month("2026-03"))  # it was never stated
    ledger.quarantine("t1")
    broken(monkeypatch, "t1")
    account._invalidate_terms(None)
    while ledger.fire(LATER) is not None:
        pass
    assert "2026-03" not in ledger._accounts["t0"].months
    assert "2026-03" in account.months, "it is stated after its release"


def test_r27_the_release_of_a_tenant_whose_terms_raise_costs_nobody_else_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = full()
    ledger.quarantine("t1")
    broken(monkeypatch, "t1")
    ledger._accounts["t1"]._invalidate_terms(None)
    assert ledger.release("t1") is not None
    first = ledger.first_due(LATER)
    assert first is not None
    assert first[1] == "t1", "it crashes again, alone"
    with pytest.raises(ValueError, match="odd"):
        ledger.fire(LATER)
    ledger.quarantine("t1")
    while ledger.fire(LATER) is not None:
        pass
    assert "2026-03" not in ledger._accounts["t0"].months
    monkeypatch.undo()
    assert ledger.release("t1") is not None


def test_r27_a_start_with_a_tenant_whose_terms_raise_sets_that_tenant_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = full()
    broken(monkeypatch, "t1")
    ledger = restarted(ledger, ledger.timers.retention.until, LATER - DAY, 0)
    first = ledger.first_due(LATER)
    while first is not None and first[1] != "t1":
        assert ledger.fire(LATER) is not None
        first = ledger.first_due(LATER)
    assert first is not None, "it crashes alone"


def test_r27_an_account_that_cannot_be_evicted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, evict = full(), Account.remove_month

    def raising(self: Account, month: Month) -> None:
        if self.tenant == "t1":
            raise ValueError("odd")
        evict(self, month)

    monkeypatch.setattr(Account, "remove_month", raising)
    with pytest.raises(EvictionFailed) as failed:
        ledger.fire(LATER)
    assert failed.value.tenant == "t1"


def test_r27_an_eviction_in_quarantine_is_tried_again() -> None:
    """Of an earlier release, whose eviction crashed: no input would release it."""
    ledger = full()
    ledger.quarantine(EVICTION)
    while (posted := ledger.fire(LATER)) is not None:
        assert posted.evicted is None, "next month"
    while ledger.fire(micros("2026-11-02T00:00:00Z")) is not None:
        pass
    assert ledger.timers.retention.until == micros("2026-05-01T00:00:00Z")


def test_r27_an_eviction_that_crashes_long_after_the_last_input_is_tried_again_once_a_month() -> None:
    """Time is what the watermarks say: a month that they have passed would make it due again at once."""
    again = Ledger(policies(), TimeLimits(retain_months=6), partitions=1)
    for account in full()._accounts.values():
        for stored in account.facts.values():
            again.restore_fact(*stored)
    again.restore_retention(START, pending=False)
    again.restored(micros("2026-08-20T00:00:00Z"), 0)
    for _ in range(100):
        again.timers.apply_watermark(0, LATER)
        first = again.first_due(LATER)
        if first is None:
            break
        again.quarantine(first[1])
    assert again.first_due(LATER) is None
    assert again.timers.next_instant() == micros("2026-11-01T00:00:00Z")


def scarce(*_: object) -> None:
    raise MemoryError


def test_r27_want_of_memory_in_an_eviction_loses_no_month_of_a_tenant_in_quarantine() -> None:
    ledger = full()
    ledger.quarantine("t1")
    ledger.timers._eviction._keep_unstated = scarce
    with pytest.raises(MemoryError):
        ledger.fire(LATER)


def test_r27_want_of_memory_at_a_release_or_a_start_sets_no_tenant_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = full()
    ledger.quarantine("t1")
    monkeypatch.setattr(LedgerTimers, "schedule", scarce)
    with pytest.raises(MemoryError):
        ledger.release("t1")
    with pytest.raises(MemoryError):
        restarted(ledger, ledger.timers.retention.until, LATER, 0)


def test_r26_a_claim_is_judged_by_the_terms_of_the_final_statement() -> None:
    """Whatever was known when it arrived: the contract that allows it may come later (R2)."""
    short, long = (with_credit(shipped(), claim_within=days * DAY) for days in (1, 60))
    using = Policies.of([replace(short, name="short"), replace(long, name="scalr-emergency")], "scalr-emergency")
    old = [
        contract("2026-01-01T00:00:00Z", plan="short"),
        contract("2026-02-20T00:00:00Z", plan="scalr-emergency"),
        opened("2026-02-10T00:00:00Z"),
        resolved("2026-02-13T00:00:00Z"),
        claimed("2026-03-20T00:00:00Z", "2026-02"),
    ]
    told = []
    for order in ([0, 1, 2, 3, 4], [0, 4, 1, 2, 3], [4, 3, 2, 0, 1]):
        lines = [{"id": f"e{number}", **old[number]} for number in order]
        outputs = run(*lines, backfill=True, until="2026-06-10T00:00:00Z", using=using)
        told.append([each["data"] for each in outputs if each["type"] == "credit.issued"])
        assert not [each for each in outputs if each["type"] == "sla.rejected"], order
    assert [[each["amount"]["amount_minor"] for each in issued] for issued in told] == [[90_000]] * 3


@pytest.mark.parametrize("backfill", [True, False])
@pytest.mark.parametrize("order", [["A", "B"], ["B", "A"]])
def test_r26_a_claim_that_came_too_late_is_told_beside_one_in_time(order: list[str], *, backfill: bool) -> None:
    """By the contract of the month both could have been claimed no more than a day later; other policies allow more."""
    short, long = (with_credit(shipped(), claim_within=days * DAY) for days in (1, 60))
    using = Policies.of([replace(short, name="short"), replace(long, name="scalr-emergency")], "scalr-emergency")
    claims = {"A": claimed("2026-03-02T00:00:00Z", "2026-02"), "B": claimed("2026-03-20T10:00:00Z", "2026-02")}
    lines = [
        {"id": "e1", **contract("2026-01-01T00:00:00Z", plan="short")},
        {"id": "e2", **opened("2026-02-10T00:00:00Z")},
        {"id": "e3", **resolved("2026-02-13T00:00:00Z")},
        *({"id": name, **claims[name]} for name in order),
    ]
    outputs = run(*lines, backfill=backfill, until="2026-06-10T00:00:00Z", using=using)
    issued = [each["data"]["amount"]["amount_minor"] for each in outputs if each["type"] == "credit.issued"]
    rejected = [(each["data"]["id"], each["data"]["code"]) for each in outputs if each["type"] == "sla.rejected"]
    assert issued == [90_000]
    assert rejected == [("B", "too_late")]
