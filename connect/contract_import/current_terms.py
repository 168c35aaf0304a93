"""The content of the contract topic as the ledger applies it: terms by tenant, maintenance, claims and erasures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.serde.codec import MAX_RECORD_BYTES, Decode, decode
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.contracts import Contract, ContractHistory
from streams.sla.events import (
    ContractSet,
    CreditClaimed,
    Event,
    MaintenanceCancelled,
    MaintenanceScheduled,
    Position,
    Rejection,
    TenantErased,
)
from streams.sla.facts import to_event


class ContractRecord(NamedTuple):
    """One record of the topic; `arrival` is the broker's, microseconds UTC."""

    value: bytes | None
    arrival: int
    position: Position


class ContractLog:
    """The facts that count: what the ledger rejects (undecodable, invalid, future, too late, a second use of an id) is
    left out and counted in `rejected`."""

    def __init__(self, records: Iterable[ContractRecord], time_limits: TimeLimits, decode: Decode = decode) -> None:
        self.contracts: dict[str, ContractHistory] = {}
        self.maintenance: dict[str, Event] = {}
        self.claims: dict[tuple[str, str], Event] = {}
        self.erased: set[str] = set()
        self.rejected = 0
        known: set[tuple[str, str, str]] = set()
        for record in records:
            event = _applied(record, time_limits, decode)
            if event is None:
                self.rejected += 1
                continue
            identity = (event.subject, event.source, event.id)
            if identity not in known:
                known.add(identity)
                self._add(event, record.position)

    def _add(self, event: Event, position: Position) -> None:
        match event.payload:
            case ContractSet():
                self.contracts.setdefault(event.subject, ContractHistory()).add(Contract.of(event, position))
            case MaintenanceScheduled() | MaintenanceCancelled():
                latest = self.maintenance.get(event.subject)
                if latest is None or _order(latest) < _order(event):
                    self.maintenance[event.subject] = event
            case CreditClaimed(month=month):
                self.claims.setdefault((event.subject, month), event)
            case TenantErased():
                self.erased.add(event.subject)
            case _:
                self.rejected += 1


def _order(event: Event) -> tuple[int, str, str]:
    """R2: contract facts are ordered by time, then id."""
    return event.time, event.id, event.source


def _applied(record: ContractRecord, time_limits: TimeLimits, decode: Decode) -> Event | None:
    decoded = decode(record.value, MAX_RECORD_BYTES)
    if isinstance(decoded, Rejection):
        return None
    event = to_event(*decoded)
    if isinstance(event, Rejection) or check_time(event, record.arrival, time_limits) is not None:
        return None
    return event
