"""Long work of the ledger is queued and done in slices (R26): inputs that concern every account, or a long past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from random import Random  # noqa: TID251 -- seeded

import pytest
from story import micros, policies, shipped

from streams.sla.arrival import TimeLimits
from streams.sla.credits import month_close, rechecks, statement
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.intervals import Interval
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.maintenance import MaintenancePlan
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.posted import Posted
from streams.sla.credits.recheck_queue import Recheck, RecheckQueue
from streams.sla.credits.rechecks import INCIDENTS_AT_ONCE, MONTHS_AT_ONCE, MONTHS_PER_STEP
from streams.sla.credits.retention import LOOKED_AT
from streams.sla.credits.statement import month_steps
from streams.sla.credits.time_index import TimeIndex
from streams.sla.credits.work_steps import ITEMS_PER_STEP, WorkInProgress
from streams.sla.events import (
    ContractSet,
    CreditClaimed,
    Event,
    MaintenanceScheduled,
    Money,
    Payload,
    Position,
    TenantErased,
)
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, Month, format_rfc3339

PLACE = Position("t", 0, 0)
JANUARY = micros("2026-01-01T00:00:00Z")
SUMMER = micros("2026-07-10T00:30:00Z")
TERMS = ContractSet(JANUARY, None, shipped().name, Money(100_000, "EUR"), None, None, True)


def event(kind: str, subject: str, time: int, payload: Payload) -> Event:
    name = f"{kind}-{subject}-{format_rfc3339(time)}"
    return Event(name, "/t", kind, subject, time, payload, False, None, None, name.encode())


def contract(ledger: Ledger, tenant: str) -> None:
    ledger.apply(event("contract.set", tenant, JANUARY, TERMS), JANUARY, PLACE)


def outage(start: int, end: int | None, *, name: str = "inc", revision: int = 1) -> ImpactCopy:
    impact = Impact("api", "complete_outage", start, end, None, "platform", ())
    return ImpactCopy(name, revision, (impact,), (PLACE,))


class Counted:
    """Counts computed months, by tenant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.months: Counter[tuple[str, str]] = Counter()

        def counting(tenant: str, month: Month, *rest: object) -> object:
            self.months[tenant, month] += 1
            return month_steps(tenant, month, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(month_close, "month_steps", counting)


def steps(ledger: Ledger, before: int) -> Iterator[Posted]:
    while (posted := ledger.fire(before)) is not None:
        yield posted


def settled(tenants: int) -> Ledger:
    """A ledger of tenants whose half year has final statements."""
    ledger = Ledger(policies(), TimeLimits())
    for number in range(tenants):
        contract(ledger, f"t{number:03}")
    for _ in steps(ledger, SUMMER):
        pass
    return ledger


def rows(posted: list[Posted]) -> list[MonthRow]:
    return [row for each in posted for row in each.months]


def test_r26_a_platform_wide_outage_is_queued_and_done_a_few_months_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = settled(40)
    counted = Counted(monkeypatch)
    first = ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 200 * DAY), SUMMER, backfill=False)
    assert isinstance(first, Posted)
    assert (counted.months.total(), first.months) == (0, [])
    assert [item and item.tenants for item in first.rechecks.values()] == [None]
    assert ledger.next_due() == SUMMER
    assert ledger.first_due(SUMMER) is None, "an input of the same arrival is applied first"
    assert ledger.first_due(SUMMER + 1) == (SUMMER, "t000")
    done = []
    for posted in steps(ledger, SUMMER + 1):
        assert counted.months.total() <= MONTHS_PER_STEP
        counted.months.clear()
        done.append(posted)
    assert len(done) >= 80
    assert {(row.tenant, row.month) for row in rows(done)} == {
        (f"t{number:03}", f"2026-{month:02}") for number in range(40) for month in range(1, 7)
    }
    assert {row.state.adjust_at for row in rows(done)} == {SUMMER + HOUR}
    assert done[-1].rechecks == {0: None}


def test_r26_what_concerns_few_months_is_done_at_once() -> None:
    ledger = settled(2)
    posted = ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), SUMMER, backfill=False)
    assert isinstance(posted, Posted)
    assert (len(posted.months), posted.rechecks) == (2, {})


def test_r24_months_before_the_contract_began_are_never_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage since 1970 concerns 670 months, but the tenants' contracts are half a year old."""
    ledger = settled(MONTHS_AT_ONCE)
    seen = Counter[str]()
    walked = month_close.Account.months_between

    def months_between(account: month_close.Account, start: int, end: int) -> Iterator[Month]:
        for month in walked(account, start, end):
            seen[account.tenant] += 1
            yield month

    monkeypatch.setattr(month_close.Account, "months_between", months_between)
    ledger.apply_impacts(outage(0, SUMMER), SUMMER, backfill=False)
    done = list(steps(ledger, SUMMER + 1))
    assert len(rows(done)) == 6 * MONTHS_AT_ONCE
    assert max(seen.values()) <= 16


def test_r26_what_is_queued_survives_a_restart_and_other_work_comes_between() -> None:
    def restarted(queue: dict[int, Recheck], months: dict[tuple[str, str], MonthRow]) -> Ledger:
        ledger = Ledger(policies(), TimeLimits())
        for number in range(30):
            ledger.restore_fact(event("contract.set", f"t{number:03}", JANUARY, TERMS), JANUARY, PLACE)
        ledger.store_impacts(outage(JANUARY + DAY, JANUARY + 200 * DAY))
        for row in months.values():
            ledger.restore_month(row)
        for item in queue.values():
            ledger.restore_recheck(item)
        ledger.restored(SUMMER, 0)
        return ledger

    ledger = settled(30)
    months = {
        (tenant, month): MonthRow(tenant, month, state)
        for tenant, account in ledger._accounts.items()
        for month, state in account.months.items()
    }
    first = ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 200 * DAY), SUMMER, backfill=False)
    assert isinstance(first, Posted)
    queue: dict[int, Recheck] = {n: item for n, item in first.rechecks.items() if item is not None}
    for _ in range(60):
        ledger = restarted(queue, months)
        posted = ledger.fire(SUMMER + 1)
        assert posted is not None
        months |= {(row.tenant, row.month): row for row in posted.months}
        for number, item in posted.rechecks.items():
            if item is None:
                del queue[number]
            else:
                queue[number] = item
    assert queue == {}
    assert ledger.fire(SUMMER + 1) is None
    adjusting = [key for key, row in months.items() if row.state.adjust_at is not None]
    assert len(adjusting) == 30 * 6


def test_r27_a_quarantined_tenant_is_left_out_and_rechecked_when_released() -> None:
    ledger = settled(30)
    ledger.quarantine("t007")
    ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), SUMMER, backfill=False)
    done = list(steps(ledger, SUMMER + 1))
    assert {row.tenant for row in rows(done)} == {f"t{number:03}" for number in range(30)} - {"t007"}
    released = ledger.release("t007")
    assert released is not None
    assert [(row.tenant, row.month) for row in released.months] == [("t007", "2026-01")]
    assert ledger.release("t007") is None


def scarce(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("part", ["recheck_open", "recheck_months"])
def test_r27_want_of_memory_while_months_are_rechecked_leaves_nothing_half_done(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """No tenant is at fault. The task discards its state, where months may be half changed, and does it again."""
    ledger = settled(2)
    monkeypatch.setattr(month_close.MonthClose, part, scarce)
    with pytest.raises(MemoryError):
        ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), SUMMER, backfill=False)


def test_r27_want_of_memory_while_begun_work_is_completed_leaves_nothing_half_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = settled(2)
    monkeypatch.setattr(WorkInProgress, "complete", scarce)
    with pytest.raises(MemoryError):
        ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), SUMMER, backfill=False)


def test_r29_an_erased_tenant_is_rechecked_before_it_loses_its_name() -> None:
    ledger = settled(30)
    ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), SUMMER, backfill=False)
    assert ledger.fire(SUMMER + 1) is not None
    decision = ledger.apply(event("tenant.erased", "t020", SUMMER, TenantErased()), SUMMER, PLACE)
    assert isinstance(decision, Posted)
    assert decision.months == [], "no row has the old name"
    assert decision.erased is not None
    assert [month for month, state in decision.erased.months if state.adjust_at is not None] == ["2026-01"]
    done = list(steps(ledger, SUMMER + 1))
    assert len(rows(done)) == 28


def test_r28_a_queued_recheck_names_a_thousand_tenants_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rechecks, "MAX_TENANTS", 28)
    queued = []
    for count in (28, 29):
        ledger = settled(30)
        names = tuple(f"t{number:03}" for number in range(count))
        impact = outage(JANUARY + DAY, JANUARY + 2 * DAY).impacts[0]._replace(scope="tenants", tenant_ids=names)
        posted = ledger.apply_impacts(ImpactCopy("inc", 1, (impact,), (PLACE,)), SUMMER, backfill=False)
        assert isinstance(posted, Posted)
        queued += [item and item.tenants for item in posted.rechecks.values()]
        assert {row.tenant for row in rows(list(steps(ledger, SUMMER + 1)))} == set(names)
    assert queued == [tuple(f"t{number:03}" for number in range(28)), None]


def test_claims_find_their_month_while_rechecks_are_queued() -> None:
    ledger = settled(30)
    ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 20 * DAY), SUMMER, backfill=False)
    claim = event("credit.claimed", "t003", micros("2026-03-01T00:00:00Z"), CreditClaimed("2026-01"))
    assert isinstance(ledger.apply(claim._replace(backfill=True), SUMMER, PLACE), Posted)
    issued = [o for p in steps(ledger, SUMMER + DAY) for o in p.outputs if o.type == "credit.issued"]
    assert [output.data["tenant_id"] for output in issued] == ["t003"]


def test_the_queue_goes_on_where_it_was_and_forgets_what_is_done() -> None:
    names = {"a": 1, "b": 2, "c": 3}
    queue = RecheckQueue(names.keys)
    everyone, some = queue.add(5, 0, 10, None), queue.add(6, 0, 10, {"c", "a"})
    assert (everyone.number, some.number, some.tenants) == (0, 1, ("a", "c"))
    assert queue.advance(7) == (0, everyone._replace(resume=7))
    assert queue.advance(None) == (0, everyone._replace(after="a"))
    again = RecheckQueue(names.keys)
    for item in queue.items():
        again.restore(item)
    assert again.first() == (everyone._replace(after="a"), "b")
    assert [again.advance(None)[1] is None for _ in range(4)] == [False, True, False, True]
    assert (again.first(), len(again)) == (None, 0)
    assert again.add(7, 0, 1, ()).number == 2


class Numbered(int):
    """A number that counts how often numbers are compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Numbered.compared += 1
        return int(self) < other


def test_the_first_of_many_queued_rechecks_is_found_without_comparing_all() -> None:
    queue, many = RecheckQueue(lambda: ["a"]), 500
    for number in Random(5).sample(range(many), many):
        queue.restore(Recheck(Numbered(number), 5, 0, 10, None))
    for number in range(many):
        first = queue.first()
        assert first is not None
        assert first[0].number == number
        assert queue.advance(None) == (number, None)
    assert queue.first() is None
    assert Numbered.compared < 5 * many


def test_rechecks_of_one_arrival_are_one_unless_it_has_begun() -> None:
    names = {"a": 1, "b": 2}
    queue = RecheckQueue(names.keys)
    begun = queue.add(5, 0, 10, None)
    assert queue.first() == (begun, "a")
    following = queue.add(5, 3, 12, None)
    assert following == Recheck(1, 5, 3, 12, None)
    widened = queue.add(5, 0, 4, None)
    assert widened == following._replace(start=0)
    others = [queue.add(5, 20, 30, None), queue.add(6, 20, 30, None), queue.add(6, 20, 30, ["a"])]
    assert [each.number for each in others] == [2, 3, 4]
    assert queue.items() == [begun, widened, *others]
    again = RecheckQueue(names.keys)
    for item in [begun._replace(after="a"), *others[2:]]:
        again.restore(item)
    assert again.add(5, 0, 10, None).number == 5
    assert again.add(5, 9, 11, None) == Recheck(5, 5, 0, 11, None)


def test_a_hundred_lists_of_one_arrival_recheck_the_months_of_many_tenants_once_or_twice() -> None:
    ledger = Ledger(policies(), TimeLimits())
    tenants = MONTHS_AT_ONCE + 1
    for number in range(tenants):
        contract(ledger, f"t-{number}")
    for revision in range(1, 101):
        impacts = outage(JANUARY + DAY, None if revision % 2 else JANUARY + 2 * DAY, revision=revision)
        ledger.apply_impacts(impacts, SUMMER, backfill=False)
        assert ledger.first_due(SUMMER + 1) is not None
    fired = 0
    while (due := ledger.first_due(SUMMER + 1)) is not None and due[0] == SUMMER:
        ledger.fire(SUMMER + 1)
        fired += 1
    months = 7
    assert fired <= 2 * tenants * -(-months // MONTHS_PER_STEP)


# -- months of many incidents ------------------------------------------------------------------------------------------

MANY = 6 * ITEMS_PER_STEP
CLOSE = JANUARY + 34 * DAY


def crowded(incidents: int = MANY) -> Ledger:
    """A ledger whose first month has many outages of half a second, and whose next timer is its final statement."""
    ledger = Ledger(policies(), TimeLimits())
    contract(ledger, "acme")
    for number in range(incidents):
        start = JANUARY + number * 300 * SECOND
        ledger.store_impacts(outage(start, start + SECOND // 2, name=f"inc-{number:05}"))
    assert [output for each in steps(ledger, CLOSE) for output in each.outputs] == []
    return ledger


def test_r26_a_month_of_many_incidents_is_computed_and_stated_in_steps() -> None:
    ledger = crowded()
    posted = list(steps(ledger, CLOSE + 1))
    assert len(posted) > 3 * MANY // ITEMS_PER_STEP
    stated = [output for each in posted for output in each.outputs]
    assert [output.data["status"] for output in stated] == ["final"]
    assert [each for each in posted if each.months] == [posted[-1]]
    whole = next(output for each in steps(crowded(), CLOSE + 1) for output in each.outputs)
    assert whole.data["digest"] == stated[0].data["digest"]


def test_r26_input_that_comes_between_two_steps_waits_for_the_statement_that_was_begun() -> None:
    ledger = crowded()
    assert ledger.fire(CLOSE + 1) == Posted([], [])
    late = outage(JANUARY, JANUARY + 20 * DAY, name="late")
    applied = ledger.apply_impacts(late, CLOSE + 1, backfill=False)
    assert isinstance(applied, Posted)
    assert [output.data["downtime_s"] for output in applied.outputs] == [MANY * SECOND // 2]
    assert ledger.next_due() == CLOSE + 1  # the recheck of the late impacts


def test_r26_a_statement_that_was_begun_is_made_after_a_restart() -> None:
    begun = crowded()
    for _ in range(3):
        assert begun.fire(CLOSE + 1) == Posted([], [])
    again = crowded()  # nothing was recorded of it
    assert [output.data["status"] for each in steps(again, CLOSE + 1) for output in each.outputs] == ["final"]


@pytest.mark.parametrize("restless", [False, True], ids=["final", "provisional"])
@pytest.mark.parametrize("home", [True, False], ids=["own", "copied"])
def test_r29_a_statement_that_was_begun_at_an_erasure_is_published_under_the_pseudonym(
    restless: bool, home: bool
) -> None:
    def begun() -> tuple[Ledger, int]:
        ledger = crowded()
        if not restless:
            return ledger, CLOSE
        ledger.apply_impacts(outage(JANUARY, JANUARY + 20 * DAY, name="long"), CLOSE, backfill=False)
        ledger.apply(event("contract.set", "acme", CLOSE, TERMS._replace(valid_from=CLOSE)), CLOSE, PLACE)
        ledger.apply_impacts(outage(CLOSE, CLOSE + 9 * DAY, name="longer"), CLOSE, backfill=False)
        for number in range(MANY):
            start = CLOSE + number * 30 * SECOND
            ledger.store_impacts(outage(start, start + SECOND, name=f"new-{number:05}"))
        list(steps(ledger, CLOSE + DAY // 2))
        due = ledger.next_due()
        assert due is not None
        return ledger, due

    whole, due = begun()
    wanted = [output for each in steps(whole, due + 1) for output in each.outputs]
    assert [output.data["status"] for output in wanted] == ["provisional" if restless else "final"]
    ledger, due = begun()
    assert ledger.fire(due + 1) == Posted([], [])
    if home:
        decision = ledger.apply(event("tenant.erased", "acme", due, TenantErased()), due, PLACE)
        assert isinstance(decision, Posted)
        assert (decision.outputs, decision.months) == ([], [])
    else:
        ledger.erase("acme", 0, due)
        assert ledger.timers.posted().outputs == []
    stated = [output for each in steps(ledger, due + 1) for output in each.outputs]
    name = ledger.erasures.pseudonym("acme")
    assert [(output.subject, output.data["tenant_id"], output.time) for output in stated] == [(name, name, due)]
    same = ("status", "revision", "downtime_s", "credit", "intervals")
    assert [stated[0].data[key] for key in same] == [wanted[0].data[key] for key in same]
    assert ledger.next_due() == whole.next_due()


def test_r26_a_settled_month_of_many_incidents_is_queued_although_it_is_one() -> None:
    ledger = crowded(INCIDENTS_AT_ONCE + 1)
    now = JANUARY + 40 * DAY
    assert list(steps(ledger, now))
    late = outage(JANUARY + 20 * DAY, JANUARY + 21 * DAY, name="late")
    applied = ledger.apply_impacts(late, now, backfill=False)
    assert isinstance(applied, Posted)
    assert (applied.months, len(applied.rechecks)) == ([], 1)
    done = list(steps(ledger, now + 1))
    assert [row.state.adjust_at is not None for row in rows(done)] == [True]
    assert len(done) > 2


def windows(ledger: Ledger, count: int, tenants: tuple[str, ...] = ()) -> None:
    """Maintenance of half a minute in every minute of January, each announced in time."""
    announced = JANUARY - 20 * DAY
    for number in range(count):
        start = JANUARY + number * 60 * SECOND
        terms = ("tenants" if tenants else "platform", tenants, ("api",), start, start + 30 * SECOND, announced)
        ledger.apply(
            event("maintenance.scheduled", f"m{number}", announced, MaintenanceScheduled(*terms)), JANUARY, PLACE
        )


def test_r23_many_maintenances_are_looked_at_once_and_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(policies(), TimeLimits())
    contract(ledger, "acme")
    windows(ledger, MANY)
    for number in range(20):  # long outages, each over all of the windows
        copy = outage(JANUARY, JANUARY + 20 * DAY + number * SECOND, name=f"inc-{number}")
        ledger.apply_impacts(copy, JANUARY + 21 * DAY, backfill=False)
    list(steps(ledger, CLOSE - 1))
    weighed: list[int] = []
    for name in ("union", "subtract"):
        whole = getattr(statement, name)

        def counting(*given: Iterable[Interval], whole: Callable[..., object] = whole) -> object:
            lists = [list(each) for each in given]
            weighed.append(sum(map(len, lists)))
            return whole(*lists)

        monkeypatch.setattr(statement, name, counting)
    posted = list(steps(ledger, CLOSE + 1))
    (stated,) = [output for each in posted for output in each.outputs]
    assert stated.data["excluded_s"] == MANY * 30 * SECOND
    assert stated.data["downtime_s"] == 20 * DAY + 19 * SECOND - MANY * 30 * SECOND
    assert sum(weighed) < 7 * MANY, "each window a few times, whatever the number of outages"
    assert len(posted) > MANY // ITEMS_PER_STEP


def test_r21_a_change_of_an_incident_of_many_tenants_within_a_month_lists_none_of_them_again() -> None:
    impacts, tenants = Impacts(), tuple(f"t{number:03}" for number in range(500))
    changes: list[str] = []
    add_to, discard_from = impacts._index.add_to, impacts._index.discard_from
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimeIndex, "add_to", lambda self, key, *rest: changes.append(key) or add_to(key, *rest))
        patch.setattr(
            TimeIndex, "discard_from", lambda self, key, *rest: changes.append(key) or discard_from(key, *rest)
        )
        starts = [JANUARY + number * MINUTE for number in range(4)]
        for revision in range(1, 4):
            listed = [
                Impact("api", "complete_outage", start, end, None, "tenants", tenants)
                for start, end in pairwise(starts[: revision + 1])
            ]
            impacts.put(ImpactCopy("inc", revision, tuple(listed), (PLACE,)))
            assert [copy.revision for copy in impacts.between("t499", JANUARY, JANUARY + DAY)] == [revision]
        assert len(changes) == len(tenants)
        impacts.put(ImpactCopy("inc", 4, (listed[0]._replace(tenant_ids=tenants[1:]), listed[1]), (PLACE,)))
        assert [impacts.count(each, JANUARY, JANUARY + DAY) for each in ("t000", "t001")] == [1, 1]
        impacts.put(ImpactCopy("inc", 5, (listed[0]._replace(tenant_ids=tenants[1:]),), (PLACE,)))
        assert [impacts.count(each, JANUARY, JANUARY + DAY) for each in ("t000", "t001")] == [0, 1]
        impacts.remove("inc")
        assert impacts.tenants() == []


def test_r23_maintenances_of_others_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(policies(), TimeLimits())
    for tenant in ("acme", "beta"):
        contract(ledger, tenant)
    windows(ledger, 50, ("beta",))
    looked_at: Counter[str] = Counter()
    excluded = MaintenancePlan.excluded

    def counting(self: MaintenancePlan, tenant: str, component: str, notice: int) -> list[Interval]:
        looked_at[tenant] += 1
        return excluded(self, tenant, component, notice)

    monkeypatch.setattr(MaintenancePlan, "excluded", counting)
    list(steps(ledger, CLOSE + 1))
    assert set(looked_at) == {"beta"}


def test_r26_settled_months_of_many_maintenances_are_queued() -> None:
    ledger = Ledger(policies(), TimeLimits())
    contract(ledger, "acme")
    windows(ledger, INCIDENTS_AT_ONCE)
    now = JANUARY + 40 * DAY
    assert list(steps(ledger, now))
    applied = ledger.apply_impacts(outage(JANUARY + DAY, JANUARY + 2 * DAY), now, backfill=False)
    assert isinstance(applied, Posted)
    assert (applied.months, len(applied.rechecks)) == ([], 1)


def test_r26_the_limits_move_on_in_steps_over_many_incidents(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = crowded()
    ledger.restore_retention(0, pending=True)
    ledger.restored(CLOSE, 0)
    looked_at: Counter[str] = Counter()
    monkeypatch.setattr(ImpactCopy, "ends_by", lambda copy, instant: looked_at.update([copy.incident_id]) or False)
    most = 0
    for _ in steps(ledger, CLOSE + 1):
        most, looked_at = max(most, looked_at.total()), Counter()
    assert 0 < most <= LOOKED_AT


def test_r29_no_queued_recheck_names_an_erased_tenant() -> None:
    names = ["a", "b", "c", "d"]
    queue = RecheckQueue(lambda: names)
    queue.add(1, 0, 10, ["a", "b", "c"])
    queue.add(2, 0, 10, ["b"])
    queue.add(3, 0, 10, None)
    queue.add(4, 0, 10, ["a", "d"])
    assert queue.advance(None) == (0, Recheck(0, 1, 0, 10, ("a", "b", "c"), after="a"))
    assert queue.advance(5) == (0, Recheck(0, 1, 0, 10, ("a", "b", "c"), after="a", resume=5))
    assert queue.remove("b") == {0: Recheck(0, 1, 0, 10, ("a", "c"), after="a"), 1: None}
    names.remove("b")
    assert queue.first() == (Recheck(0, 1, 0, 10, ("a", "c"), after="a"), "c")
    assert queue.remove("e") == {}
    assert queue.advance(None) == (0, None)
    queue.advance(None)
    assert queue.advance(7)[1] == Recheck(2, 3, 0, 10, None, after="a", resume=7)
    assert queue.remove("a") == {2: Recheck(2, 3, 0, 10, None, after="", resume=7), 3: Recheck(3, 4, 0, 10, ("d",))}
    names.remove("a")
    assert queue.first() == (Recheck(2, 3, 0, 10, None, after="", resume=7), "c")


def test_r29_the_recheck_of_an_erased_tenant_leaves_no_row() -> None:
    ledger = settled(30)
    named = tuple(f"t{number:03}" for number in range(30))
    impact = outage(JANUARY + DAY, JANUARY + 2 * DAY)
    copy = impact._replace(impacts=tuple(i._replace(scope="tenants", tenant_ids=named) for i in impact.impacts))
    queued = ledger.apply_impacts(copy, SUMMER, backfill=False)
    assert isinstance(queued, Posted)
    assert [item and item.tenants for item in queued.rechecks.values()] == [named]
    decision = ledger.apply(event("tenant.erased", "t020", SUMMER, TenantErased()), SUMMER, PLACE)
    assert isinstance(decision, Posted)
    assert [item and "t020" in (item.tenants or ()) for item in decision.rechecks.values()] == [False]


@pytest.mark.parametrize("seed", range(6))
def test_known_timers_of_an_account_are_those_that_it_would_find_anew(seed: int) -> None:
    random, now = Random(seed), SUMMER
    ledger = Ledger(policies(), TimeLimits(backfill_quiet=HOUR))
    for number in range(120):
        now += random.choice([0, 0, 1, HOUR, 3 * DAY, 20 * DAY])
        for _ in steps(ledger, now):
            pass
        tenant, name = f"t{random.randrange(3)}", f"n{number}"
        match random.randrange(4):
            case 0:
                began = now - random.choice([0, 40, 100]) * DAY
                terms = TERMS._replace(valid_from=began, valid_to=random.choice([None, now + 50 * DAY]))
                ledger.apply(event("contract.set", tenant, now, terms), now, PLACE)
            case 1:
                month = CreditClaimed(format_rfc3339(now - 30 * DAY)[:7])
                ledger.apply(event("credit.claimed", tenant, now, month), now, PLACE)
            case _:
                began = now - random.choice([1, HOUR, 10 * DAY, 45 * DAY])
                ended = random.choice([None, began + HOUR, now])
                impact = Impact("api", "complete_outage", began, ended, None, "tenants", (tenant,))
                ledger.apply_impacts(ImpactCopy(name, 1, (impact,), (PLACE,)), now, backfill=False)
        for account in ledger._accounts.values():
            schedule, clock = account.schedule, ledger.timers.clock
            known = schedule.next_timers(clock)
            assert known == schedule._next_timers(clock), (number, tenant)
