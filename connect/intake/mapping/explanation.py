"""Explains a mapping entry by entry: which one gives a value, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connect.intake.mapping.body_rules import BodyRules
from connect.intake.mapping.mapping_rule import EVERY, MappingRule
from connect.intake.mapping.matching import attempts, why_unmet
from connect.intake.mapping.paths import lookup
from connect.intake.mapping.rules import Source

_LONGEST_VALUES = 200


def explain(source: Source, view: object) -> Iterator[str]:
    """A line for each entry of a source's mapping that concerns a view of a payload."""
    for index, conditions in enumerate(source.ignore):
        unmet = next((each for each in conditions if not each.holds(view)), None)
        if unmet is None:
            yield f"ignore[{index}]: matches, so it is ignored and nothing else counts"
        else:
            yield f"ignore[{index}]: does not match: {why_unmet(unmet, view)}"
    if source.body is not None:
        yield from _of_body(source.body, view)
    rules = {
        "component": source.component,
        "impact": source.impact,
        "tier": source.tier,
        "tenants": source.tenants,
        "summary": source.summary,
        "who": source.who,
        "incident": source.incident,
    }
    for name, entries in rules.items():
        yield from _of_field(name, entries, view)


def _of_body(rules: BodyRules, view: object) -> Iterator[str]:
    """The parts of the incident's id, the times, and what the message means."""
    for rule in rules.incident:
        yield from _of_field("incident", [rule], view)
    for name, times in (("time", rules.time), ("opened_at", rules.opened_at), ("resolved_at", rules.resolved_at)):
        for time in times:
            found = ["the time of receipt"] if time.path is None else lookup(view, time.path)
            given = f"gives {_shown(name, found)}" if found else f"{time.path} is absent"
            yield f"{name}, line {time.line}: {given}"
    for name, entries in rules.lists().items():
        yield from _of_field(name, entries, view)


def _of_field(name: str, rules: Sequence[MappingRule], view: object) -> Iterator[str]:
    tried = list(attempts(rules, view, all_known=name == "tenants"))
    for attempt in tried:
        where = f"{name}, line {attempt.rule.line}"
        if attempt.values:
            yield f"{where}: gives {_shown(name, attempt.values)}"
        elif attempt.unmet is not None:
            yield f"{where}: does not apply: {why_unmet(attempt.unmet, view)}"
        else:
            yield f"{where}: gives nothing: {attempt.reason}"
    for rule in rules[len(tried) :]:
        yield f"{name}, line {rule.line}: is not tried, because line {tried[-1].rule.line} decides"


def _shown(name: str, values: Sequence[str]) -> str:
    given = list(dict.fromkeys(values)) if name == "tenants" else values[:1]
    if name == "tenants" and EVERY in given:
        return "every tenant"
    text = ", ".join(given)
    return repr(text if len(text) <= _LONGEST_VALUES else f"{text[:_LONGEST_VALUES]}…")
