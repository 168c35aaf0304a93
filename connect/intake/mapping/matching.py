"""Which rule of a mapping gives a field its value, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from connect.intake.mapping.mapping_rule import EVERY, Condition, MappingRule
from connect.intake.mapping.paths import PayloadTexts, lookup, texts_of

_MAX_QUOTED_CHARACTERS = 60
_MOST_REASONS = 10


class Attempt(NamedTuple):
    """One rule that was tried. It gives `values`, or none because a condition is `unmet` or for a `reason`; `ends`
    says that no later rule is tried."""

    rule: MappingRule
    values: list[str]
    reason: str = ""
    ends: bool = False
    unmet: Condition | None = None


def attempts(rules: Sequence[MappingRule], view: object, *, all_known: bool = False) -> Iterator[Attempt]:
    """Each rule that is tried, in order, until one ends the search. `all_known`: a table has to name every value."""
    view = texts_of(view)
    for rule in rules:
        attempt = _attempt(rule, view, all_known)
        yield attempt
        if attempt.ends:
            return


def first_match(rules: Sequence[MappingRule], view: object, *, all_known: bool = False) -> tuple[list[str], str]:
    """The values of the first rule that has any, or why none has. `all_known`: a table has to name every value."""
    why = []
    for attempt in attempts(rules, view, all_known=all_known):
        if attempt.values:
            return attempt.values, ""
        if attempt.unmet is None:
            why.append(attempt.reason)
    if len(why) > _MOST_REASONS:
        why[_MOST_REASONS:] = [f"{len(why) - _MOST_REASONS} more entries give nothing"]
    return [], " and ".join(why) or "no entry of the mapping applies"


def _attempt(rule: MappingRule, view: PayloadTexts, all_known: bool) -> Attempt:
    for condition in rule.when:
        if not condition.holds(view):
            return Attempt(rule, [], unmet=condition)
    if rule.value is not None:
        return Attempt(rule, [rule.value], ends=True)
    assert rule.path is not None
    path, given = rule.path, view.at(rule.path)
    if not given:
        return Attempt(rule, [], f"{path} is absent")
    if rule.values is None:
        if not (all_known and EVERY in given):
            return Attempt(rule, given, ends=True)
        reason = f"{path} is {EVERY!r}; only the mapping may say that every tenant is affected"
        return Attempt(rule, [], reason, ends=True)
    table, rest = rule.values, rule.values.get(EVERY)
    lacking = given
    if rest is not None or not table.keys().isdisjoint(view.folded_at(path)):
        found = [(each, table.get(each.casefold(), rest)) for each in given]
        mapped = [value for _, value in found if value is not None]
        lacking = [each for each, value in found if value is None]
        if mapped and not (all_known and lacking):
            return Attempt(rule, mapped, ends=True)
    shown = quoted(", ".join(lacking[:_MAX_QUOTED_CHARACTERS]))
    reason = f"{path} is {shown}, which line {rule.line} of the mapping does not name"
    return Attempt(rule, [], reason, ends=all_known)


def why_unmet(condition: Condition, view: object) -> str:
    """Why a condition does not hold."""
    found = lookup(view, condition.path)
    wanted = " or ".join(sorted(condition.values))
    return f"{condition.path} is {quoted(', '.join(found))}, not {wanted}" if found else f"{condition.path} is absent"


def quoted(text: str) -> str:
    """A value of a payload within a reason: short, as its letters are written in any language. What can't be shown or
    changes the order of reading is escaped."""
    return repr(text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[:_MAX_QUOTED_CHARACTERS]}…")
