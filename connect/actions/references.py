"""Names in events that nothing declares: components, plans, tenants, currencies. Accepted, but rarely meant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches

from connect.actions.form import shown
from connect.actions.outcome import ActionWarning
from streams.money import is_currency
from streams.sla.events import ContractSet, CreditClaimed, Event, MaintenanceScheduled, Opened, Reclassified
from streams.sla.policy import Policies

_MOST_LISTED = 20


class References:
    """The names that events use, each with where it was used first. `display` makes a name fit to be shown."""

    def __init__(self, display: Callable[[object], str] = shown) -> None:
        self._display = display
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

    @property
    def needs_policies(self) -> bool:
        """Whether there are names that policies declare."""
        return bool(self._components or self._plans)

    @property
    def tenants(self) -> Collection[str]:
        """The tenants whose contracts are not among the events."""
        return self._tenants.keys() - self._with_contract

    def of_policies(self, policies: Policies) -> Iterator[ActionWarning]:
        """A warning for each component and plan that no policy declares."""
        versions = [one for found in policies.by_name.values() for one in found]
        declared = {component for one in versions for component in one.components}
        yield from self._unknown("component", self._components, declared, declared)
        yield from self._unknown("plan", self._plans, policies.by_name.keys(), policies.by_name.keys())

    def of_currencies(self) -> Iterator[ActionWarning]:
        """A warning for each currency that is none, or is no money today."""
        for currency, where in self._currencies.items():
            if not is_currency(currency):
                yield ActionWarning("currency_unknown", {"name": self._named(currency, where)})

    def of_tenants(self, known: Collection[str], *, hints: bool = False) -> Iterator[ActionWarning]:
        """A warning for each tenant without a contract; `known` are those that have one. With `hints` it names one that
        is spelled nearly alike: not for people who may not know of all tenants."""
        unresolved = self.tenants
        named = {tenant: where for tenant, where in self._tenants.items() if tenant in unresolved}
        yield from self._unknown("tenant", named, known, {*known, *self._with_contract} if hints else ())

    def _unknown(
        self, kind: str, used: dict[str, str], known: Collection[str], near: Collection[str]
    ) -> Iterator[ActionWarning]:
        unknown = [name for name in used if name not in known]
        for name in unknown[:_MOST_LISTED]:
            values = {"name": self._named(name, used[name])}
            close = get_close_matches(name, sorted(near), 1)
            if close:
                yield ActionWarning(f"{kind}_misspelled", {**values, "near": self._display(close[0])})
            else:
                yield ActionWarning(f"{kind}_unknown", values)
        if len(unknown) > _MOST_LISTED:
            yield ActionWarning(f"more_{kind}s", {"count": f"{len(unknown) - _MOST_LISTED:,}"})

    def _named(self, name: str, where: str) -> str:
        return f"{self._display(name)} ({where})" if where else self._display(name)

    def _add_tenants(self, tenants: Collection[str], where: str) -> None:
        for tenant in tenants:
            self._tenants.setdefault(tenant, where)
