"""What two policies over the same history differ in: the parts put together, and credits computed from all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

from streams.replay.what_if import PLATFORM, PartialComparison, StandingBreach
from streams.replay.what_if_statements import latest_statements
from streams.sla.arrival import TimeLimits
from streams.sla.credits.recompute import Recomputation
from streams.sla.instants import Month
from streams.sla.policy import Policies, Policy


class Replacing(Policies):
    """A deployment in which one policy stands for others: an event that applies a version of a replaced policy (R18)
    applies what stands there instead."""

    def exact(self, name: str, version: str) -> Policy | None:
        return super().exact(name, version) or (self.by_name[name][-1] if name in self.by_name else None)


def replacing(deployment: Sequence[Policy], versions: Sequence[Policy], names: set[str]) -> Policies:
    """The deployment with these versions in the place of every policy that has one of these names, as its default."""
    mine = versions[0].name
    others = Policies.of([*(one for one in deployment if one.name not in names | {mine}), *versions], mine)
    return Replacing(mine, {**others.by_name, **dict.fromkeys(names, others.by_name[mine])})


class MonthChange(NamedTuple):
    """A tenant-month whose credit (in minor units) or guarantee differs. Not `final`: the month was not closed at the
    end."""

    tenant: str
    month: Month
    currency: str
    old: int
    new: int
    final: bool
    guarantee_met_old: bool
    guarantee_met_new: bool


class CreditSum(NamedTuple):
    """Credits of all months in one currency, minor units."""

    currency: str
    old: int
    new: int


class ComparedTenant(NamedTuple):
    """What differs for a tenant, or in total (breaches of several tenants' incidents counted once there). `missed_…`
    are the months in which the guarantee is missed, `guarantees` those in which that differs."""

    tenant: str
    old: int
    new: int
    gained: int
    lost: int
    credits: tuple[CreditSum, ...]
    missed_old: int = 0
    missed_new: int = 0
    guarantees: int = 0

    @property
    def differs(self) -> bool:
        changed = self.gained or self.lost or self.guarantees
        return bool(changed or any(one.old != one.new for one in self.credits))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that differs, in order of tenant, incident and month. `rows` has every tenant."""

    rows: list[ComparedTenant]
    total: ComparedTenant
    gained: list[StandingBreach]
    lost: list[StandingBreach]
    months: list[MonthChange]
    lines: int
    rejected: int


class MonthCredit(NamedTuple):
    """What one side has of a tenant-month: its credit in minor units, and whether it is closed (`final`)."""

    credit: int
    currency: str
    final: bool
    guarantee_met: bool


Months = dict[tuple[str, Month], MonthCredit]


def credits_of(parts: Sequence[PartialComparison], policies: Policies, time_limits: TimeLimits) -> Months:
    """Each tenant-month at the end of the history: a closed one as its latest statement has it, an open one as of
    then."""
    recomputation = Recomputation(policies, time_limits)
    contracts, advance = parts[0].contracts, parts[0].end
    for _, line in contracts:
        recomputation.add(line.event, line.arrival, line.position)
    impacts = list(merge(*(part.impacts for part in parts), key=lambda change: change.moment.number))
    for copy in {change.copy.incident_id: change.copy for change in impacts}.values():
        recomputation.put_impacts(recomputation.erasures.impacts(copy))
    end = advance.before
    stated = latest_statements(contracts, impacts, policies, time_limits, advance)
    found: Months = {}
    for tenant in recomputation.tenants():
        # One that a later contract fact has left without time under contract may still have its statement.
        for month in sorted({*recomputation.months(tenant, end), *(month for name, month in stated if name == tenant)}):
            recomputed = recomputation.compute_month(tenant, month, end)
            assert recomputed is not None
            result = recomputed.result
            final, latest = recomputed.final_at < end, stated.get((tenant, month))
            credit, met = result.credit, result.guarantee_met
            if latest is not None:
                final, credit, met = True, latest.credit, latest.guarantee_met
            found[tenant, month] = MonthCredit(credit, result.currency, final, met)
    return found


def _nothing(other: MonthCredit) -> MonthCredit:
    """What the side has that has no such month."""
    return other._replace(credit=0, guarantee_met=True)


def compare(parts: Sequence[PartialComparison], old: Months, new: Months) -> Comparison:
    """Put the parts and the credits of both sides together."""
    gained = sorted(breach for part in parts for breach in part.gained)
    lost = sorted(breach for part in parts for breach in part.lost)
    sums: dict[str, dict[str, list[int]]] = {}
    totals: dict[str, list[int]] = {}
    changes = []
    guarantees: dict[str, list[int]] = {}
    all_guarantees = [0, 0, 0]
    # The calendar months of a side are those of the contracts; only what a policy makes of them differs.
    for key in sorted(old.keys() | new.keys()):
        was, now = (side.get(key) or _nothing(other[key]) for side, other in ((old, new), (new, old)))
        currency, differs = was.currency, was.guarantee_met != now.guarantee_met
        for amounts in (sums.setdefault(key[0], {}).setdefault(currency, [0, 0]), totals.setdefault(currency, [0, 0])):
            amounts[0] += was.credit
            amounts[1] += now.credit
        for counts in (guarantees.setdefault(key[0], [0, 0, 0]), all_guarantees):
            counts[0] += not was.guarantee_met
            counts[1] += not now.guarantee_met
            counts[2] += differs
        if differs or was.credit != now.credit:
            both = was.guarantee_met, now.guarantee_met
            changes.append(MonthChange(*key, currency, was.credit, now.credit, was.final, *both))
    standing = (
        sum((part.standing[0] for part in parts), Counter()),
        sum((part.standing[1] for part in parts), Counter()),
    )
    more = Counter(tenant for breach in gained for tenant in breach.tenants)
    less = Counter(tenant for breach in lost for tenant in breach.tenants)
    tenants = sorted(sums.keys() | standing[0].keys() | standing[1].keys(), key=lambda name: (name == PLATFORM, name))
    rows = [
        ComparedTenant(
            *(name, standing[0][name], standing[1][name], more[name], less[name]),
            _sums(sums.get(name, {})),
            *guarantees.get(name, ()),
        )
        for name in tenants
    ]
    before, after = (sum(part.total[side] for part in parts) for side in (0, 1))
    total = ComparedTenant("total", before, after, len(gained), len(lost), _sums(totals), *all_guarantees)
    rejected = sum(part.rejected for part in parts)
    return Comparison(rows, total, gained, lost, changes, parts[0].lines, rejected)


def _sums(amounts: dict[str, list[int]]) -> tuple[CreditSum, ...]:
    return tuple(CreditSum(currency, *both) for currency, both in sorted(amounts.items()))
