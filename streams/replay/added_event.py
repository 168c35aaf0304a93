"""What one more input event changes: a history with and without it, by the rules that the workers apply.

Incidents are independent of each other given the contracts, so the event can change only its own incident. The history
is applied once; the incident of the event is applied a second time, with the event. The other incidents matter for the
months alone, because downtime is a union (R22).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.replay.history import InputLine, RejectedLine, Replay, Step, TimeAdvance, apply_to_incidents
from streams.replay.simulate import INCIDENTS_SOURCE
from streams.replay.what_if import ReplayedIncidents, StandingBreach
from streams.serde.cloudevents_json import format_line, to_json
from streams.serde.codec import output_record
from streams.sla.arrival import TimeLimits
from streams.sla.credits import formula
from streams.sla.credits.recompute import Recomputation, RecomputedMonth
from streams.sla.decisions import Rejected
from streams.sla.events import INCIDENT_RANK, Rejection
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import Month
from streams.sla.policy import Policies


class MonthFigures(NamedTuple):
    """What a statement says of a month. `downtime` in microseconds, `availability_percent` as statements write it,
    `credit` in minor units."""

    downtime: int
    availability_percent: str
    guarantee_met: bool
    credit: int


class MonthEffect(NamedTuple):
    """A tenant-month that differs. `final`: its final statement is due already, so an adjustment follows,
    `adjust_after` microseconds after the event's arrival (R26). `claim` says whether its credit is issued by itself
    (automatic) or must be claimed (required), until the instant `claimable_until`."""

    tenant: str
    month: Month
    currency: str
    final: bool
    before: MonthFigures
    after: MonthFigures
    adjust_after: int
    claim: str
    claimable_until: int


@dataclass(frozen=True, slots=True)
class AddedEventEffect:
    """The differences. `rejection` says why the workers would reject the event; then there are none. Breaches stand or
    stood at the instant of comparison; `before` and `after` are the data of `incident.state` in the JSON form, None
    where the incident is not opened or evicted. `months` are in order of tenant and month."""

    rejection: Rejection | None
    gone: tuple[StandingBreach, ...]
    new: tuple[StandingBreach, ...]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    months: tuple[MonthEffect, ...]


class AddedEvent:
    """A history, and an event of an incident that arrives after it, at `at` (microseconds).

    The result is the difference of two simulations until `at`. Months are as of `at`, with open outages running to
    it: the next statement of a month that has begun says the same, unless something else arrives before.
    """

    def __init__(self, policies: Policies, time_limits: TimeLimits, event: Mapping[str, object], at: int) -> None:
        self._without = ReplayedIncidents(policies, time_limits)
        self._with = ReplayedIncidents(policies, time_limits)
        self._months = Recomputation(policies, time_limits)
        self._replay = Replay(time_limits)
        self._event, self._incident, self._at = event, str(event["subject"]), at
        self._number = 0

    def read(self, number: int, line: str) -> None:
        """Apply one line, numbered from 1. Raises UnknownFieldError."""
        self._number = number
        for step in self._replay.steps(number, line):
            self._apply(step)

    def end(self) -> AddedEventEffect:
        """Apply the event, and everything that is due by then."""
        rejection = self._add()
        self._apply(self._replay.end(self._at))
        before, after = self._without.by_clock(), self._with.by_clock()
        mine = {key: breach for key, breach in before.items() if key[0] == self._incident}
        return AddedEventEffect(
            rejection,
            tuple(sorted(breach for key, breach in mine.items() if key not in after)),
            tuple(sorted(breach for key, breach in after.items() if key not in mine)),
            self._state(self._without),
            self._state(self._with),
            tuple(self._month_effects()),
        )

    def _apply(self, step: Step) -> None:
        match step:
            case RejectedLine():
                return
            case InputLine(event=event) if event.type in INCIDENT_RANK:
                sides = [self._without, self._with] if event.subject == self._incident else [self._without]
            case InputLine(event=event) if not self._months.add(event, step.arrival, step.position):
                return
            case _:
                sides = [self._without, self._with]
        for side in sides:
            for decision in apply_to_incidents(side.store, step):
                side.take(decision)

    def _add(self) -> Rejection | None:
        line = format_line(dict(self._event))
        for step in self._replay.steps(self._number + 1, line):
            match step:
                case TimeAdvance():
                    self._apply(step)
                case RejectedLine(rejection=rejection):
                    return rejection
                case _:
                    for decision in apply_to_incidents(self._with.store, step):
                        self._with.take(decision)
                        if isinstance(decision, Rejected):
                            return decision.rejection
        return None

    def _state(self, side: ReplayedIncidents) -> Mapping[str, Any] | None:
        output = side.store.present_state(self._incident)
        if output is None:
            return None
        data = to_json(output.type, output_record(output, INCIDENTS_SOURCE))["data"]
        assert isinstance(data, dict)
        return data

    def _month_effects(self) -> Iterator[MonthEffect]:
        """The months that the incident touches, computed with its old impacts and with its new ones."""
        old, new = (side.impacts.get(self._incident) for side in (self._without, self._with))
        if old == new:
            return
        for copy in self._without.impacts.values():
            self._put(copy)
        touched = [impact for copy in (old, new) if copy is not None for impact in self._named(copy).impacts]
        keys = list(self._touched_months(touched))
        before = [self._compute(*key) for key in keys]
        self._put(new or ImpactCopy(self._incident, 0, (), ()))
        for key, was in zip(keys, before, strict=True):
            now = self._compute(*key)
            if (
                was is None
                or now is None
                or (was.result.settled, was.result.basis)
                == (
                    now.result.settled,
                    now.result.basis,
                )
            ):
                continue
            policy = now.result.policy
            yield MonthEffect(
                *key,
                now.result.currency,
                now.final_at < self._at,
                _terms(was),
                _terms(now),
                policy.statements.adjust_after,
                policy.credit.claim,
                now.claimable_until,
            )

    def _touched_months(self, impacts: list[Impact]) -> Iterator[tuple[str, Month]]:
        for tenant in self._months.tenants():
            spans = [
                (impact.start, self._at if impact.end is None else impact.end)
                for impact in impacts
                if impact.scope == "platform" or tenant in impact.tenant_ids
            ]
            if not spans:
                continue
            for month in self._months.months(tenant, self._at):
                period = self._months.period(tenant, month, settled=True)
                if period is not None and any(start < period.end and end > period.start for start, end in spans):
                    yield tenant, month

    def _compute(self, tenant: str, month: Month) -> RecomputedMonth | None:
        return self._months.compute_month(tenant, month, self._at)

    def _named(self, copy: ImpactCopy) -> ImpactCopy:
        """Under the pseudonyms of erased tenants (R29)."""
        return self._months.erasures.impacts(copy)

    def _put(self, copy: ImpactCopy) -> None:
        self._months.put_impacts(self._named(copy))


def _terms(month: RecomputedMonth) -> MonthFigures:
    result = month.result
    percent = formula.decimals(result.available * 100)
    return MonthFigures(result.downtime, percent, result.guarantee_met, result.credit)
