"""Recorded history line by line (R30, R32): when each line arrives, and when time passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streams.sla.arrival import TimeLimits
from streams.sla.contracts import Contract
from streams.sla.events import ContractSet, Event, Position, TenantErased
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Applied, Rewritten, TimerDecision
from streams.sla.incidents.timeline import Cause
from streams.sla.instants import LATEST

INCIDENT_TOPIC, CONTRACT_TOPIC = "sla.incident-events", "sla.contract-events"


class TimeAdvance(NamedTuple):
    """Everything due strictly before an instant acts; held timers of loaded history only when it is `quiet`."""

    before: int
    quiet: bool


class ReplayClock:
    """The clock of a history: the latest arrival. Lines that arrive after `until` are not read; history being loaded
    passes no time (R32)."""

    def __init__(self, time_limits: TimeLimits, *, backfill: bool = False, until: int | None = None) -> None:
        self._quiet_for = time_limits.backfill_quiet
        self._backfill = backfill
        self._until = LATEST if until is None else until
        self.arrival = 0
        self.clock = 0
        self.quiet_at = 0

    def reads(self, time: int, received: int | None) -> bool:
        """The next line arrives: at its `received`, else no earlier than the one before. Whether it is read."""
        told = received if received is not None else max(self.arrival, time)
        self.arrival = told if 0 <= told <= LATEST else self.arrival
        return self.arrival <= self._until

    def passed(self, *, backfill: bool) -> TimeAdvance | None:
        """What acts before the line that is read is applied; None when it is history being loaded."""
        self.clock = max(self.clock, self.arrival)
        if self.loaded(backfill=backfill):
            self.quiet_at = max(self.quiet_at, self.clock + self._quiet_for)
            return None
        return TimeAdvance(self.clock, self.clock > self.quiet_at)

    def loaded(self, *, backfill: bool) -> bool:
        """Whether a line counts as history being loaded."""
        return self._backfill or backfill

    def end(self, until: int | None) -> TimeAdvance:
        """No more lines: what is due by `until` acts, or else what was due before the last arrival."""
        return TimeAdvance(self.clock if until is None else until + 1, True)


def fire_timers(book: IncidentStore, passed: TimeAdvance) -> Iterator[TimerDecision]:
    """What incidents' timers lead to as time passes."""
    while (decision := book.fire(passed.before, backfill_idle=passed.quiet)) is not None:
        yield decision


def apply_contract_fact(
    book: IncidentStore, event: Event, arrival: int, position: Position
) -> Sequence[Applied | Rewritten]:
    """What an accepted contract fact or erasure changes of incidents (R20, R29), where one book has all of them."""
    named = book.erasures.event(event)
    if isinstance(named.payload, ContractSet):
        return book.apply_contract(named.subject, Contract.of(named, position), arrival)
    if isinstance(named.payload, TenantErased) and named.subject not in book.erasures:
        return book.erase(named.subject, 0, Cause(event.type, event.time, event.source, event.id), arrival).decisions
    return []
