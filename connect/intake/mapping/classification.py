"""Derives component, impact, tier and tenants from a payload's fields by the rules of a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connect.intake.mapping.mapping_rule import EVERY
from connect.intake.mapping.matching import first_match, quoted
from connect.intake.mapping.paths import lookup, texts_of
from connect.intake.mapping.rules import IMPACTS, TIERS, Source
from connect.intake.outcome import IgnoredItem
from streams.sla.limits import MAX_TEXT_BYTES

#: Told where nothing says whether the incident had a tier before, so nobody has to look at it.
WITHOUT_TIER = "the mapping gives no tier now, and no event takes one back: its incident keeps the one that it may have"


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
    view = texts_of(view)
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
            reasons.append(f"{name}: {quoted(found[name][0])} is none of {', '.join(known)}; give it a table of values")
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
    view = texts_of(view)
    for conditions in source.ignore:
        if all(condition.holds(view) for condition in conditions):
            named = ", ".join(f"{each.path} is {quoted(' '.join(lookup(view, each.path)))}" for each in conditions)
            return IgnoredByRule(f"the mapping ignores it: {named}")
    return None


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


def without_tier(source: Source, found: Classified, item: str = "") -> Iterator[IgnoredItem]:
    """That an incident has no tier by a mapping that gives some, where its sender does not say what was before."""
    if source.tier and found.tier is None:
        yield IgnoredItem(item, WITHOUT_TIER)


def truncate_text(text: str) -> str:
    """A text shortened to the limit of an event (R28)."""
    encoded = text.encode(errors="replace")
    return encoded[:MAX_TEXT_BYTES].decode(errors="ignore") if len(encoded) > MAX_TEXT_BYTES else text
