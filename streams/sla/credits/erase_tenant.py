"""Erases a tenant (R29): its account, impacts and maintenance windows are renamed to its pseudonym."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.credits.account import Account, StatementState, StoredFact
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Position
from streams.sla.impact import ImpactCopy
from streams.sla.instants import Month


class ErasedTenant(NamedTuple):
    """All state that named an erased tenant, now under its pseudonym: every row must be rewritten."""

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
    changed_windows = maintenance.erase_tenant(erasures)
    return ErasedTenant(tenant, pseudonym, facts, months, changed_windows, impacts.erase_tenant(tenant, pseudonym))
