"""Erases a tenant (R29): its account, impacts and maintenance windows are renamed to its pseudonym."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from streams.sla.credits.account import Account, StatementState, StoredFact
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Position
from streams.sla.impact import ImpactCopy
from streams.sla.instants import SECOND, Month

SLICE = 32
"""Impact lists whose rows are rewritten before other work comes between."""
SLICE_INTERVAL = SECOND // 50
"""How far the instant of the next slice moves on with each. A slice takes less time than that."""


class ImpactRewrites:
    """Impact lists that have the pseudonym of an erased tenant while their rows still have its name. A restart finds
    them again by the rows. Instants in microseconds."""

    __slots__ = ("_due", "_impacts", "_waiting")

    def __init__(self, impacts: Impacts) -> None:
        self._impacts = impacts
        self._waiting: dict[str, int] = {}
        """Incident → arrival of the erasure."""
        self._due = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, copies: Iterable[ImpactCopy], arrival: int) -> None:
        """An erasure that arrived then has changed these lists."""
        if not self._waiting:
            self._due = arrival
        self._waiting.update((copy.incident_id, arrival) for copy in copies)

    def discard(self, incident_id: str) -> None:
        """The list has a new row."""
        self._waiting.pop(incident_id, None)

    def first_due(self) -> tuple[int, str] | None:
        """When the next slice is due, and its first incident; None when no row is left."""
        return (self._due, next(iter(self._waiting))) if self._waiting else None

    def take(self) -> list[tuple[ImpactCopy, int]]:
        """The lists of the next slice, with the arrival of their erasure. Some may have been evicted meanwhile."""
        self._due += SLICE_INTERVAL
        slice_ = [(name, self._waiting.pop(name)) for name in list(islice(self._waiting, SLICE))]
        return [(copy, arrival) for name, arrival in slice_ if (copy := self._impacts.get(name)) is not None]


class ErasedTenant(NamedTuple):
    """All state that named an erased tenant, now under its pseudonym: every row must be rewritten, at once but for
    `impacts` that are queued."""

    tenant: str
    pseudonym: str
    facts: list[StoredFact]
    months: list[tuple[Month, StatementState]]
    maintenance: list[tuple[Event, int, Position]]
    impacts: list[ImpactCopy]


def erase(
    tenant: str,
    home: int,
    erasures: Erasures,
    accounts: dict[str, Account],
    impacts: Impacts,
    maintenance: Maintenance,
) -> ErasedTenant:
    """Add a tenant to the erased ones and replace its name everywhere. `home` is the partition of its account."""
    pseudonym = erasures.pseudonym(tenant)
    erasures.add(pseudonym, home)
    facts: list[StoredFact] = []
    months: list[tuple[Month, StatementState]] = []
    account = accounts.pop(tenant, None)
    if account is not None:
        assert pseudonym not in accounts, f"{pseudonym} is a pseudonym, yet another tenant has it as its id"
        account.erase_tenant(pseudonym, erasures)
        accounts[pseudonym] = account
        facts, months = list(account.facts.values()), list(account.months.items())
    changed_windows = maintenance.erase_tenant(tenant, erasures)
    return ErasedTenant(tenant, pseudonym, facts, months, changed_windows, impacts.erase_tenant(tenant, pseudonym))
