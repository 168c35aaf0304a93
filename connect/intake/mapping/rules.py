"""The rules of a mapping file for one source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from connect.intake.mapping.authentication import Authentication
from connect.intake.mapping.body_rules import BodyRules
from connect.intake.mapping.feedback_rules import FeedbackRule
from connect.intake.mapping.mapping_rule import Condition, MappingRule, paths_of
from connect.intake.mapping.monitors import MonitorRules
from connect.intake.mapping.paths import FieldPath
from connect.secret_refs import SecretRef
from streams.topics import DEFAULT_PREFIX

IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
TIERS = ("1", "2", "3")


@dataclass(frozen=True, slots=True)
class States:
    """The meaning of a ticket system's status names (folded); any other name means open."""

    resolved: frozenset[str] = frozenset()
    waiting_customer: frozenset[str] = frozenset()
    waiting_third_party: frozenset[str] = frozenset()

    def of(self, status: str | None) -> str:
        """`open`, `resolved`, `customer` or `third_party`."""
        folded = (status or "").casefold()
        if folded in self.resolved:
            return "resolved"
        if folded in self.waiting_customer:
            return "customer"
        return "third_party" if folded in self.waiting_third_party else "open"


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: its identity, secrets, rate, permissions and mapping."""

    name: str
    format: str
    """Name of a format in `formats/registry.py`."""
    secrets: tuple[SecretRef, ...]
    source: str
    per_second: float = 50.0
    burst: int = 100
    allow: tuple[str, ...] = ("incident.*",)
    allow_sources: tuple[str, ...] = ()
    """CloudEvents sources beside its own that its events may have; a final `*` stands for any ending."""
    only_tenants: tuple[str, ...] = ()
    """The tenants that its events may affect; empty: all."""
    replay_window: int = 5 * 60 * 1_000_000
    ignore: tuple[tuple[Condition, ...], ...] = ()
    component: tuple[MappingRule, ...] = ()
    impact: tuple[MappingRule, ...] = ()
    tier: tuple[MappingRule, ...] = ()
    tenants: tuple[MappingRule, ...] = ()
    summary: tuple[MappingRule, ...] = ()
    states: States = field(default_factory=States)
    events: Mapping[str, FeedbackRule] = field(default_factory=dict)
    """What each event of a tool becomes; those that it lacks become nothing."""
    who: tuple[MappingRule, ...] = ()
    """Where the id of the person is who acts in a tool."""
    incident: tuple[MappingRule, ...] = ()
    """Which incident that exists already a payload is about; without a value it is an incident of its own."""
    component_incidents: bool = False
    """Whether the status of a page's component opens an incident."""
    opening_with_updates: bool = False
    """Whether an update of a ticket publishes its opening too."""
    deployment: str = DEFAULT_PREFIX
    """The deployment whose pages and posts it acts on."""
    id_prefixes: tuple[str, ...] = ()
    """With `only_tenants`: what the ids of the incidents begin with that it reaches; empty: its name and `-`."""
    identities: frozenset[str] = frozenset()
    """The CloudEvents sources of all senders of the file; this one may use only its own."""

    authentication: Authentication | None = None
    """How the sender authenticates; None: as its format says."""
    body: BodyRules | None = None
    """Where things are in the body (format json)."""
    monitors: MonitorRules = field(default_factory=MonitorRules)
    """The monitors whose heartbeats it sends."""
    headers: frozenset[str] = frozenset()
    """The HTTP headers that the mapping reads, in lower case (format json)."""
    warnings: tuple[str, ...] = ()
    """What the mapping file says in a way that is easily misread, each with its line."""

    def paths(self) -> Iterator[FieldPath]:
        """Every path that the mapping reads."""
        for conditions in self.ignore:
            yield from (condition.path for condition in conditions)
        for rules in (self.component, self.impact, self.tier, self.tenants, self.summary, self.who, self.incident):
            yield from paths_of(rules)
        if self.body is not None:
            yield from self.body.paths()
