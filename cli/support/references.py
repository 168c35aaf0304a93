"""Names in input that nothing declares: components, plans and tenants. They are accepted, but rarely meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cli.support.console import safe
from streams.sla.events import ContractSet, CreditClaimed, Event, MaintenanceScheduled, Opened, Reclassified

if TYPE_CHECKING:
    from streams.settings import Settings

_MOST_LISTED = 20


class References:
    """The names that events use, each with where it was used first."""

    def __init__(self) -> None:
        self._components: dict[str, str] = {}
        self._plans: dict[str, str] = {}
        self._tenants: dict[str, str] = {}
        self._currencies: dict[str, str] = {}
        self._with_contract: set[str] = set()

    def add(self, event: Event, where: str = "") -> None:
        """Note the names of one event; `where` says which, such as "line 3"."""
        match event.payload:
            case Opened() | Reclassified() as opened:
                if opened.component is not None:
                    self._components.setdefault(opened.component, where)
                if opened.scope != "platform":
                    self._add_tenants(opened.tenant_ids or (), where)
            case MaintenanceScheduled() as window:
                for component in window.components:
                    self._components.setdefault(component, where)
                self._add_tenants(window.tenant_ids or (), where)
            case ContractSet() as terms:
                self._plans.setdefault(terms.plan, where)
                self._currencies.setdefault(terms.monthly_charge.currency, where)
                self._with_contract.add(event.subject)
            case CreditClaimed():
                self._add_tenants([event.subject], where)

    def warnings(self, settings: Settings, *, tenants: bool = True, topic: bool = True) -> Iterator[str]:
        """A sentence for each name that no policy here declares, or that no contract names. Tenants need a read of the
        contract topic; without `topic`, the contracts among the events are all there are. Raises BrokerProblem."""
        from connect.kafka_io.contract_topic import log_of
        from streams.errors import SlaError
        from streams.money import is_currency

        try:
            policies = settings.load_policies() if self._components or self._plans else None
        except SlaError as error:
            yield f"components and plans were not checked: {error}"
            policies = None
        if policies is not None:
            versions = [one for found in policies.by_name.values() for one in found]
            declared = {component for one in versions for component in one.components}
            yield from _unknown("component", self._components, declared, "declared by no policy here")
            yield from _unknown("plan", self._plans, policies.by_name.keys(), "no policy here")
        for currency, where in self._currencies.items():
            if not is_currency(currency):
                yield f"currency {currency}{f' ({where})' if where else ''} is unknown; it stays that of its tenant"
        if tenants and (unresolved := self._tenants.keys() - self._with_contract):
            known = (log_of(settings).contracts.keys() if topic else set()) | self._with_contract
            named = {tenant: self._tenants[tenant] for tenant in self._tenants if tenant in unresolved}
            yield from _unknown("tenant", named, known, "without a contract")

    def _add_tenants(self, tenants: Collection[str], where: str) -> None:
        for tenant in tenants:
            self._tenants.setdefault(tenant, where)


def _unknown(kind: str, used: dict[str, str], known: Collection[str], problem: str) -> Iterator[str]:
    unknown = [name for name in used if name not in known]
    for name in unknown[:_MOST_LISTED]:
        where = f" ({used[name]})" if used[name] else ""
        close = get_close_matches(name, sorted(known), 1)
        hint = f"; did you mean {safe(close[0])}?" if close else ""
        yield f"{kind} {safe(name)}{where} is {problem}{hint}"
    if len(unknown) > _MOST_LISTED:
        yield f"{len(unknown) - _MOST_LISTED:,} more {kind}s are {problem}"
