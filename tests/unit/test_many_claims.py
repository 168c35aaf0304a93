"""R26: thousands of claims of one tenant's month are rejected, and its facts evicted, a few in each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from story import micros, policies, shipped, with_credit

from streams.sla.arrival import TimeLimits
from streams.sla.credits import month_close, retention
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.posted import Posted
from streams.sla.decisions import Rejected
from streams.sla.events import ContractSet, CreditClaimed, Event, Money, Payload, Position, TenantErased
from streams.sla.instants import DAY

PLACE = Position("t", 0, 0)
START = micros("2026-01-01T00:00:00Z")
FINAL = micros("2026-02-04T00:00:00Z")
SHORT = policies(replace(with_credit(shipped(), claim_within=DAY), name="short", digest="short"))
TERMS = ContractSet(START, None, "short", Money(100_000, "EUR"), None, None, True)


def event(name: str, kind: str, time: int, payload: Payload) -> Event:
    return Event(name, "/t", kind, "acme", time, payload, False, None, None, name.encode())


def claims(ledger: Ledger, month: str, times: list[int]) -> list[str]:
    """Claims that are applied before the final statement of their month, as it waits for a watermark; their ids."""
    names = []
    for number, time in enumerate(times):
        names.append(f"{month} {number}")
        claim = event(names[-1], "credit.claimed", time, CreditClaimed(month))
        assert isinstance(ledger.apply(claim, time, PLACE), Posted)
    return names


def fired(ledger: Ledger, before: int) -> Iterator[Posted]:
    while (posted := ledger.fire(before)) is not None:
        yield posted


def told(posted: Posted) -> list[str | None]:
    return [claim.rejection.event_id for claim in posted.rejected]


@pytest.mark.parametrize("restart", [False, True])
def test_r26_many_late_claims_are_rejected_a_few_in_each_step(restart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(month_close, "CLAIMS_PER_STEP", 3)
    ledger = Ledger(SHORT, TimeLimits(), partitions=1)
    ledger.apply(event("terms", "contract.set", START, TERMS), START, PLACE)
    late = claims(ledger, "2026-01", [FINAL + 2 * DAY] * 10)
    in_time = claims(ledger, "2026-02", [FINAL])
    ledger.timers.apply_watermark(0, FINAL)
    steps = [posted for posted in fired(ledger, FINAL + 3 * DAY) if posted.rejected or posted.outputs]
    assert [len(posted.rejected) for posted in steps] == [3, 3, 3, 1]
    assert [len(posted.outputs) for posted in steps] == [0, 0, 0, 1], "the statement comes with the last of them"
    if restart:  # after the second step
        again, done = Ledger(SHORT, TimeLimits()), {name for posted in steps[:2] for name in told(posted)}
        again.restore_fact(event("terms", "contract.set", START, TERMS), START, PLACE)
        for name in set(late) - done:
            claim = event(name, "credit.claimed", FINAL + 2 * DAY, CreditClaimed("2026-01"))
            again.restore_fact(claim, claim.time, PLACE)
        again.restored(FINAL + 2 * DAY, 0)
        rest = [posted for posted in fired(again, FINAL + 3 * DAY) if posted.rejected or posted.outputs]
        assert [len(posted.rejected) for posted in rest] == [3, 1]
        assert [one.data["digest"] for one in rest[-1].outputs] == [one.data["digest"] for one in steps[-1].outputs]
        steps = [*steps[:2], *rest]
    assert sorted(str(name) for posted in steps for name in told(posted)) == sorted(late)
    assert not {str(name) for posted in steps for name in told(posted)} & set(in_time)


@pytest.mark.parametrize("taken", [False, True], ids=["erased", "refused"])
def test_r26_r29_late_claims_are_rejected_although_an_erasure_comes_between(
    taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement begins anew under the pseudonym, and so do its claims."""
    monkeypatch.setattr(month_close, "CLAIMS_PER_STEP", 3)
    ledger = Ledger(SHORT, TimeLimits(), partitions=1)
    ledger.apply(event("terms", "contract.set", START, TERMS), START, PLACE)
    if taken:
        other = event("other", "contract.set", START, TERMS)._replace(subject=ledger.erasures.pseudonym("acme"))
        ledger.apply(other, START, PLACE)
    late = claims(ledger, "2026-01", [FINAL + 2 * DAY] * 10)
    ledger.timers.apply_watermark(0, FINAL)
    steps = []
    for posted in fired(ledger, FINAL + 3 * DAY):
        steps.append(posted)
        if posted.rejected:
            break
    now = FINAL + 2 * DAY
    applied = ledger.apply(event("erased", "tenant.erased", now, TenantErased()), now, PLACE)
    assert isinstance(applied, Rejected if taken else Posted)
    steps += [applied] if isinstance(applied, Posted) else [ledger.timers.posted()]
    steps += fired(ledger, FINAL + 3 * DAY)
    assert sorted(str(name) for posted in steps for name in told(posted)) == sorted(late)


def test_r26_what_is_evicted_of_one_tenant_is_a_few_facts_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FACTS", 3)
    ledger = Ledger(SHORT, TimeLimits(retain_months=6))
    ledger.apply(event("terms", "contract.set", START, TERMS), START, PLACE)
    unstated = claims(ledger, "2025-11", [START] * 7)  # the contract begins later
    answered = claims(ledger, "2026-01", [START] * 8)
    steps = [*fired(ledger, micros("2027-03-02T00:00:00Z"))]
    assert sorted(str(name) for posted in steps for name in told(posted)) == sorted(unstated)
    evicted = [one for posted in steps if posted.evicted is not None for one in posted.evicted.facts]
    assert sorted(name for _, _, name in evicted) == sorted(answered)
    assert max(len(posted.rejected) for posted in steps) == 3
    assert max(len(posted.evicted.facts) for posted in steps if posted.evicted is not None) == 3
    assert not ledger.timers.retention.pending
