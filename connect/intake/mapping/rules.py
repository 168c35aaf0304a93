"""The rules of a mapping file for one source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from connect.intake.mapping.feedback_rules import FeedbackRule
from connect.intake.mapping.paths import FieldPath, lookup
from connect.secret_refs import SecretRef
from streams.topics import DEFAULT_PREFIX

#: In `tenants`: every tenant is affected, where the mapping says it. In a table of values: any other value. In a
#: condition: any value.
EVERY = "*"
IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
TIERS = ("1", "2", "3")


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when one of the values at `path` is one of `values` (folded); `*` matches any value."""

    path: FieldPath
    values: frozenset[str]

    def holds(self, view: object) -> bool:
        """Whether a payload matches."""
        found = lookup(view, self.path)
        return any(value.casefold() in self.values for value in found) or (bool(found) and EVERY in self.values)


@dataclass(frozen=True, slots=True)
class MappingRule:
    """One rule for a field's value. It applies when all of `when` hold. It gives `value`, or the value at `path`, which
    the table `values` (folded) translates if there is one. `line` is its line in the mapping file."""

    line: int
    when: tuple[Condition, ...] = ()
    path: FieldPath | None = None
    values: Mapping[str, str] | None = None
    value: str | None = None


def paths_of(rules: Iterable[MappingRule]) -> Iterator[FieldPath]:
    """Every path that rules read."""
    for rule in rules:
        yield from (condition.path for condition in rule.when)
        if rule.path is not None:
            yield rule.path


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
    deployment: str = DEFAULT_PREFIX
    """The deployment whose pages and posts it acts on."""
    id_prefixes: tuple[str, ...] = ()
    """With `only_tenants`: what the ids of the incidents begin with that it reaches; empty: its name and `-`."""
    identities: frozenset[str] = frozenset()
    """The CloudEvents sources of all senders of the file; this one may use only its own."""

    warnings: tuple[str, ...] = ()
    """What the mapping file says in a way that is easily misread, each with its line."""

    def paths(self) -> Iterator[FieldPath]:
        """Every path that the mapping reads."""
        for conditions in self.ignore:
            yield from (condition.path for condition in conditions)
        for rules in (self.component, self.impact, self.tier, self.tenants, self.summary, self.who, self.incident):
            yield from paths_of(rules)
