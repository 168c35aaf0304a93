"""What two policies over the same history differ in: the parts put together, and credits computed from all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.replay.what_if import PLATFORM, PartialComparison, StandingBreach
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
    """A tenant-month whose credit differs, in minor units. Not `final`: the month was not closed at the end."""

    tenant: str
    month: Month
    currency: str
    old: int
    new: int
    final: bool


class CreditSum(NamedTuple):
    """Credits of all months in one currency, minor units."""

    currency: str
    old: int
    new: int


class ComparedTenant(NamedTuple):
    """What differs for a tenant, or in total (breaches of several tenants' incidents counted once there)."""

    tenant: str
    old: int
    new: int
    gained: int
    lost: int
    credits: tuple[CreditSum, ...]

    @property
    def differs(self) -> bool:
        return bool(self.gained or self.lost or any(one.old != one.new for one in self.credits))


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


Months = dict[tuple[str, Month], tuple[int, str, bool]]


def credits_of(parts: Sequence[PartialComparison], policies: Policies, time_limits: TimeLimits) -> Months:
    """Each tenant-month at the end of the history: credit in minor units, currency, and whether it is closed."""
    recomputation = Recomputation(policies, time_limits)
    for line in parts[0].contracts:
        recomputation.add(line.event, line.arrival, line.position)
    for part in parts:
        for copy in part.impacts:
            recomputation.put_impacts(recomputation.erasures.impacts(copy))
    end = parts[0].clock
    found: Months = {}
    for tenant in recomputation.tenants():
        for month in recomputation.months(tenant, end):
            recomputed = recomputation.compute_month(tenant, month, end)
            assert recomputed is not None
            result = recomputed.result
            found[tenant, month] = result.credit, result.currency, recomputed.final_at < end
    return found


def compare(parts: Sequence[PartialComparison], old: Months, new: Months) -> Comparison:
    """Put the parts and the credits of both sides together."""
    gained = sorted(breach for part in parts for breach in part.gained)
    lost = sorted(breach for part in parts for breach in part.lost)
    sums: dict[str, dict[str, list[int]]] = {}
    totals: dict[str, list[int]] = {}
    changes = []
    # The calendar months of a side are those of the contracts; only what a policy makes of them differs.
    for key in sorted(old.keys() | new.keys()):
        (before, currency, final), (after, _, _) = old[key], new[key]
        for amounts in (sums.setdefault(key[0], {}).setdefault(currency, [0, 0]), totals.setdefault(currency, [0, 0])):
            amounts[0] += before
            amounts[1] += after
        if before != after:
            changes.append(MonthChange(*key, currency, before, after, final))
    standing = (
        sum((part.standing[0] for part in parts), Counter()),
        sum((part.standing[1] for part in parts), Counter()),
    )
    more = Counter(tenant for breach in gained for tenant in breach.tenants)
    less = Counter(tenant for breach in lost for tenant in breach.tenants)
    tenants = sorted(sums.keys() | standing[0].keys() | standing[1].keys(), key=lambda name: (name == PLATFORM, name))
    rows = [
        ComparedTenant(name, standing[0][name], standing[1][name], more[name], less[name], _sums(sums.get(name, {})))
        for name in tenants
    ]
    before, after = (sum(part.total[side] for part in parts) for side in (0, 1))
    total = ComparedTenant("total", before, after, len(gained), len(lost), _sums(totals))
    rejected = sum(part.rejected for part in parts)
    return Comparison(rows, total, gained, lost, changes, parts[0].lines, rejected)


def _sums(amounts: dict[str, list[int]]) -> tuple[CreditSum, ...]:
    return tuple(CreditSum(currency, *both) for currency, both in sorted(amounts.items()))
