"""Derives component, impact, tier and tenants from a payload's fields by the rules of a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connect.intake.mapping.feedback_rules import FeedbackRule
from connect.intake.mapping.paths import FieldPath, lookup
from connect.secret_refs import SecretRef
from streams.sla.limits import MAX_TEXT_BYTES
from streams.topics import DEFAULT_PREFIX

#: In `tenants`: every tenant is affected, where the mapping says it. In a table of values: any other value. In a
#: condition: any value.
EVERY = "*"
IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
TIERS = ("1", "2", "3")
_MAX_QUOTED_CHARACTERS = 60


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
        for rules in (self.component, self.impact, self.tier, self.tenants, self.summary, self.who):
            yield from paths_of(rules)


class Classified(NamedTuple):
    """The classification of a payload: fields of an `incident.opened`."""

    scope: str
    tenant_ids: tuple[str, ...]
    component: str
    impact: str
    tier: int | None
    summary: str | None


class Unmapped(NamedTuple):
    """The mapping yields no value for a required field; the text says for which and why."""

    reason: str


class IgnoredByRule(NamedTuple):
    """The mapping says that the payload is not an incident."""

    reason: str


def classify(source: Source, view: object, default_summary: str | None = None) -> Classified | Unmapped | IgnoredByRule:
    """Classify a payload by the source's mapping; paths look into `view`."""
    if (ignored := ignored_by_rule(source, view)) is not None:
        return ignored
    found: dict[str, list[str]] = {}
    reasons = []
    for name, entries, needed in (
        ("component", source.component, True),
        ("impact", source.impact, True),
        ("tier", source.tier, False),
        ("tenants", source.tenants, True),
    ):
        # Tenants determine who receives credits, so a tenant that the table lacks is an error, never skipped.
        values, reason = first_match(entries, view, all_known=name == "tenants")
        if values:
            found[name] = values
        elif needed:
            reasons.append(f"{name}: {reason}")
    for name, known in (("impact", IMPACTS), ("tier", TIERS)):
        if name in found and found[name][0] not in known:
            reasons.append(
                f"{name}: {_quoted(found[name][0])} is none of {', '.join(known)}; give it a table of values"
            )
    if reasons:
        return Unmapped("; ".join(reasons))
    tenants = tuple(dict.fromkeys(found["tenants"]))
    everyone = EVERY in tenants
    summary = next(iter(first_match(source.summary, view)[0]), default_summary)
    return Classified(
        "platform" if everyone else "tenants",
        () if everyone else tenants,
        found["component"][0],
        found["impact"][0],
        int(found["tier"][0]) if "tier" in found else None,
        None if summary is None else truncate_text(summary),
    )


def ignored_by_rule(source: Source, view: object) -> IgnoredByRule | None:
    """The `ignore` entry that matches a payload, if any."""
    for conditions in source.ignore:
        if all(condition.holds(view) for condition in conditions):
            named = ", ".join(f"{each.path} is {_quoted(' '.join(lookup(view, each.path)))}" for each in conditions)
            return IgnoredByRule(f"the mapping ignores it: {named}")
    return None


def first_match(entries: tuple[MappingRule, ...], view: object, *, all_known: bool = False) -> tuple[list[str], str]:
    """The values of the first rule that has any, or why none has. `all_known`: a table has to name every value."""
    why = []
    for entry in entries:
        if not all(condition.holds(view) for condition in entry.when):
            continue
        if entry.value is not None:
            return [entry.value], ""
        assert entry.path is not None
        path, given = entry.path, lookup(view, entry.path)
        if not given:
            why.append(f"{path} is absent")
        elif entry.values is None:
            if not (all_known and EVERY in given):
                return given, ""
            why.append(f"{path} is {EVERY!r}; only the mapping may say that every tenant is affected")
            break
        else:
            table, rest = entry.values, entry.values.get(EVERY)
            found = [(each, table.get(each.casefold(), rest)) for each in given]
            mapped = [value for _, value in found if value is not None]
            lacking = [each for each, value in found if value is None]
            if mapped and not (all_known and lacking):
                return mapped, ""
            why.append(f"{path} is {_quoted(', '.join(lacking))}, which line {entry.line} of the mapping does not name")
            if all_known:
                break
    return [], " and ".join(why) or "no entry of the mapping applies"


def opened_fields(found: Classified, channel: str, ticket_id: str | None = None) -> dict[str, object]:
    """The data of an incident.opened."""
    return {**classification_fields(found), "channel": channel, "summary": found.summary, "ticket_id": ticket_id}


def classification_fields(found: Classified) -> dict[str, object]:
    """The fields that decide the severity."""
    return {
        "scope": found.scope,
        "tenant_ids": list(found.tenant_ids) or None,
        "component": found.component,
        "impact": found.impact,
        "tier": found.tier,
    }


def truncate_text(text: str) -> str:
    """A text shortened to the limit of an event (R28)."""
    encoded = text.encode(errors="replace")
    return encoded[:MAX_TEXT_BYTES].decode(errors="ignore") if len(encoded) > MAX_TEXT_BYTES else text


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[:_MAX_QUOTED_CHARACTERS]}…")
