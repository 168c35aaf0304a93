"""A tenant is erased (R29): its account, impacts and maintenance windows go by its pseudonym from then on."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.credits.account import Account, StatementState, StoredFact
from streams.sla.credits.impact_index import Impacts
from streams.sla.credits.maintenance import Maintenance
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Position
from streams.sla.impact import ImpactCopy
from streams.sla.instants import Month


class Renamed(NamedTuple):
    """What is kept under another name: every row that named the tenant."""

    tenant: str
    name: str
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
) -> Renamed:
    """Add a tenant to the erased, and change whatever names it. `home` is the partition of its account."""
    name = erasures.pseudonym(tenant)
    erasures.add(name, home)
    facts: list[StoredFact] = []
    months: list[tuple[Month, StatementState]] = []
    account = accounts.pop(tenant, None)
    if account is not None:
        assert name not in accounts, f"{name} is a pseudonym, yet somebody goes by it"
        account.rename(name, erasures)
        accounts[name] = account
        facts, months = list(account.kept.values()), list(account.months.items())
    return Renamed(tenant, name, facts, months, maintenance.rename(erasures), impacts.rename(tenant, name))
