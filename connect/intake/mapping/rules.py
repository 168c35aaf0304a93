"""From a payload's labels and fields to component, impact, tier, tenants: the mapping as values, and how it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from connect.secret_refs import SecretRef
from streams.sla.limits import MAX_TEXT_BYTES

Format = Literal["alertmanager", "zendesk", "jira", "api"]

#: What a `tenants` entry gives when everyone is concerned; in a table of values, what stands for all other values.
EVERY = "*"
IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
TIERS = ("1", "2", "3")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where one of the values at `path` is one of `values` (folded); `*` holds for any value."""

    path: str
    values: frozenset[str]

    def holds(self, view: object) -> bool:
        """Whether the view of a payload fits."""
        found = lookup(view, self.path)
        return any(value.casefold() in self.values for value in found) or (bool(found) and EVERY in self.values)


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to a field's value, taken when all of `when` hold: `value` itself, or what lies at `path`, through the
    table `values` (folded) if there is one. `line` is where the file says so."""

    line: int
    when: tuple[Condition, ...] = ()
    path: str | None = None
    values: Mapping[str, str] | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class States:
    """What a ticket system's own status names mean (folded); any other is open."""

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
    """One sender: who it is, what proves it, how much it may send, and what its fields mean."""

    name: str
    format: Format
    secrets: tuple[SecretRef, ...]
    source: str
    per_second: float = 50.0
    burst: int = 100
    allow: tuple[str, ...] = ("incident.*",)
    replay_window: int = 5 * 60 * 1_000_000
    ignore: tuple[tuple[Condition, ...], ...] = ()
    component: tuple[Entry, ...] = ()
    impact: tuple[Entry, ...] = ()
    tier: tuple[Entry, ...] = ()
    tenants: tuple[Entry, ...] = ()
    summary: tuple[Entry, ...] = ()
    states: States = field(default_factory=States)
    others: frozenset[str] = frozenset()
    """The CloudEvents sources of the other senders: nobody speaks for them."""

    def allows(self, event_type: str) -> bool:
        """Whether this sender may publish such an event."""
        return any(
            event_type == each or (each.endswith("*") and event_type.startswith(each[:-1])) for each in self.allow
        )


class Classified(NamedTuple):
    """What the mapping makes of a payload; the fields of an opening."""

    scope: str
    tenant_ids: tuple[str, ...]
    component: str
    impact: str
    tier: int | None
    summary: str | None


class Unmapped(NamedTuple):
    """The mapping has no answer; the text says for which field and why."""

    reason: str


class IgnoredByRule(NamedTuple):
    """The mapping says that this is no incident."""

    reason: str


def lookup(view: object, path: str) -> list[str]:
    """The texts at a dotted path. A list on the way stands for each of its items; null and objects are no texts."""
    here: list[object] = [view]
    for part in path.split("."):
        found: list[object] = []
        for each in _items(here):
            if isinstance(each, dict) and part in each:
                found.append(each[part])
        here = found
    return [_text(each) for each in _items(here) if not isinstance(each, dict) and each is not None and each != ""]


def _items(values: Sequence[object]) -> list[object]:
    flat: list[object] = []
    for value in values:
        if isinstance(value, list):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def classify(source: Source, view: object, default_summary: str | None = None) -> Classified | Unmapped | IgnoredByRule:
    """What a payload means by this source's mapping; `view` is what paths look into."""
    if (aside := left_aside(source, view)) is not None:
        return aside
    found: dict[str, list[str]] = {}
    reasons = []
    for name, entries, needed in (
        ("component", source.component, True),
        ("impact", source.impact, True),
        ("tier", source.tier, False),
        ("tenants", source.tenants, True),
    ):
        # Whom an outage concerns decides who is paid: a tenant that the table lacks is never left out, nor everyone.
        values, reason = _pick(entries, view, whole=name == "tenants")
        if values:
            found[name] = values
        elif needed:
            reasons.append(f"{name}: {reason}")
    for name, known in (("impact", IMPACTS), ("tier", TIERS)):
        if name in found and found[name][0] not in known:
            reasons.append(f"{name}: {_shown(found[name][0])} is none of {', '.join(known)}; give it a table of values")
    if reasons:
        return Unmapped("; ".join(reasons))
    tenants = tuple(dict.fromkeys(found["tenants"]))
    everyone = EVERY in tenants
    summary = next(iter(_pick(source.summary, view)[0]), default_summary)
    return Classified(
        "platform" if everyone else "tenants",
        () if everyone else tenants,
        found["component"][0],
        found["impact"][0],
        int(found["tier"][0]) if "tier" in found else None,
        None if summary is None else cut(summary),
    )


def left_aside(source: Source, view: object) -> IgnoredByRule | None:
    """Whether `ignore` names such payloads."""
    for conditions in source.ignore:
        if all(condition.holds(view) for condition in conditions):
            named = ", ".join(f"{each.path} is {_shown(' '.join(lookup(view, each.path)))}" for each in conditions)
            return IgnoredByRule(f"the mapping ignores it: {named}")
    return None


def _pick(entries: tuple[Entry, ...], view: object, *, whole: bool = False) -> tuple[list[str], str]:
    """The values of the first entry that has any, or why none has. With `whole`, a table has to know every value."""
    why = []
    for entry in entries:
        if not all(condition.holds(view) for condition in entry.when):
            continue
        if entry.value is not None:
            return [entry.value], ""
        path = entry.path or ""
        given = lookup(view, path)
        if not given:
            why.append(f"{path} is absent")
        elif entry.values is None:
            return given, ""
        else:
            table, rest = entry.values, entry.values.get(EVERY)
            found = [(each, table.get(each.casefold(), rest)) for each in given]
            mapped = [value for _, value in found if value is not None]
            lacking = [each for each, value in found if value is None]
            if mapped and not (whole and lacking):
                return mapped, ""
            why.append(f"{path} is {_shown(', '.join(lacking))}, which line {entry.line} of the mapping does not name")
            if whole:
                break
    return [], " and ".join(why) or "no entry of the mapping applies"


def opening(found: Classified, channel: str, ticket_id: str | None = None) -> dict[str, object]:
    """The data of an incident.opened."""
    return {**classification(found), "channel": channel, "summary": found.summary, "ticket_id": ticket_id}


def classification(found: Classified) -> dict[str, object]:
    """The fields that decide the severity."""
    return {
        "scope": found.scope,
        "tenant_ids": list(found.tenant_ids) or None,
        "component": found.component,
        "impact": found.impact,
        "tier": found.tier,
    }


def cut(text: str) -> str:
    """A text of others, shortened to what an event may hold (R28)."""
    whole = text.encode(errors="replace")
    return whole[:MAX_TEXT_BYTES].decode(errors="ignore") if len(whole) > MAX_TEXT_BYTES else text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
