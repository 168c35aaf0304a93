"""Which alert goes to which destination: routes and their conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connect.notify.destinations.kind import Destination
from connect.notify.triggers import PageTrigger
from streams.i18n.catalogues import Language


@dataclass(frozen=True, slots=True)
class Match:
    """Matches where every given condition holds; None is any. `tenant`: one of those concerned, or the alert
    concerns the whole platform."""

    severity: frozenset[str] | None = None
    metric: frozenset[str] | None = None
    tenant: frozenset[str] | None = None
    component: frozenset[str] | None = None
    scope: frozenset[str] | None = None
    event: frozenset[str] | None = None

    def holds(self, trigger: PageTrigger) -> bool:
        data = trigger.data
        found = (
            (self.severity, data["severity"]),
            (self.metric, trigger.clock.partition("/")[0]),
            (self.component, data["component"]),
            (self.scope, data["scope"]),
            (self.event, trigger.type),
        )
        if any(wanted is not None and value not in wanted for wanted, value in found):
            return False
        return self.tenant is None or data["scope"] == "platform" or not self.tenant.isdisjoint(data["tenant_ids"])


@dataclass(frozen=True, slots=True)
class Route:
    """Where matching alerts go. The first route that matches ends the search unless it `continues`. `language` is of
    the texts; None: the destination's own."""

    match: Match
    to: tuple[str, ...]
    continues: bool = False
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """A whole routing file."""

    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]

    def destinations_for(self, trigger: PageTrigger) -> Mapping[str, Language | None]:
        """The destinations that a triggering alert goes to, each with the language of the first route that leads there.
        What ends a page goes where the page is instead: severity, tenants and component may have changed by then."""
        found: dict[str, Language | None] = {}
        for route in self.routes:
            if route.match.holds(trigger):
                for name in route.to:
                    found.setdefault(name, route.language)
                if not route.continues:
                    break
        return found
