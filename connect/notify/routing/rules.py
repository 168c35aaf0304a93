"""Who is told of what: destinations, and routes that lead to them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connect.notify.triggers import PageTrigger
from connect.secret_refs import SecretRef
from streams.sla.instants import DAY, HOUR, SECOND

Kind = Literal["pagerduty", "slack", "webhook"]
Language = Literal["en", "ja"]
PagerSeverity = Literal["critical", "error", "warning", "info"]

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
PAGER_SEVERITIES: Mapping[str, PagerSeverity] = {"P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
#: How long a message is tried before it is parked. That of webhooks leaves room for the whole published schedule.
GIVE_UP_AFTER: Mapping[Kind, int] = {"pagerduty": 6 * HOUR, "slack": 6 * HOUR, "webhook": 4 * DAY}


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to tell, and how. `secret` is the routing key (PagerDuty) or the URL (Slack, webhook); durations in
    microseconds. `severities`: PagerDuty's severity by event type (`*`: any) and ours."""

    name: str
    kind: Kind
    secret: SecretRef
    url: str | None = None
    signing: tuple[SecretRef, ...] = ()
    language: Language = "en"
    zone: str = "UTC"
    allow_private: bool = False
    timeout: int = 10 * SECOND
    give_up_after: int = 6 * HOUR
    severities: Mapping[tuple[str, str], PagerSeverity] = field(default_factory=dict)

    @property
    def folds(self) -> bool:
        """Whether people read it: then only the latest that is known of a clock waits, and older words are dropped."""
        return self.kind != "webhook"

    def pager_severity(self, event_type: str, severity: str) -> PagerSeverity:
        for key in ((event_type, severity), ("*", severity)):
            if key in self.severities:
                return self.severities[key]
        return PAGER_SEVERITIES.get(severity, "error")


@dataclass(frozen=True, slots=True)
class Match:
    """Holds where every condition that is given does; None is any. Tenants: one of those concerned, or everyone."""

    severity: frozenset[str] | None = None
    metric: frozenset[str] | None = None
    tenant: frozenset[str] | None = None
    component: frozenset[str] | None = None
    scope: frozenset[str] | None = None
    event: frozenset[str] | None = None

    def holds(self, notice: PageTrigger) -> bool:
        data = notice.data
        found = (
            (self.severity, data["severity"]),
            (self.metric, notice.clock.partition("/")[0]),
            (self.component, data["component"]),
            (self.scope, data["scope"]),
            (self.event, notice.type),
        )
        if any(wanted is not None and value not in wanted for wanted, value in found):
            return False
        return self.tenant is None or data["scope"] == "platform" or not self.tenant.isdisjoint(data["tenant_ids"])


@dataclass(frozen=True, slots=True)
class Route:
    """Where alerts go that match; the first that matches ends the search unless it says `go_on`. `language` is that of
    the texts; None: the destination's own."""

    match: Match
    to: tuple[str, ...]
    go_on: bool = False
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """A whole routing file."""

    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]

    def leads_to(self, notice: PageTrigger) -> Mapping[str, Language | None]:
        """The destinations that a triggering alert goes to, each with the language of the first route that leads there.
        What ends a page goes where the page is instead: severity, tenants and component may be others by then."""
        found: dict[str, Language | None] = {}
        for route in self.routes:
            if route.match.holds(notice):
                for name in route.to:
                    found.setdefault(name, route.language)
                if not route.go_on:
                    break
        return found
