"""A tenant is erased (R29): its account, impacts and maintenance windows go by its pseudonym from then on."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.account import Account, Kept, Stated
from streams.sla.erasure import Erasures
from streams.sla.events import Event, Position
from streams.sla.impacts import Impacts
from streams.sla.instants import Month
from streams.sla.maintenance import Maintenance
from streams.sla.statement import ImpactCopy


class Renamed(NamedTuple):
    """What is kept under another name: every row that named the tenant."""

    tenant: str
    name: str
    facts: list[Kept]
    months: list[tuple[Month, Stated]]
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
    facts: list[Kept] = []
    months: list[tuple[Month, Stated]] = []
    account = accounts.pop(tenant, None)
    if account is not None:
        assert name not in accounts, f"{name} is a pseudonym, yet somebody goes by it"
        account.rename(name, erasures)
        accounts[name] = account
        facts, months = list(account.kept.values()), list(account.months.items())
    return Renamed(tenant, name, facts, months, maintenance.rename(erasures), impacts.rename(tenant, name))
