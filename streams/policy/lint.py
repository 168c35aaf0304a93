"""Warnings about valid policies that look like mistakes: rules that never decide, impacts that no rule names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction

from streams.policy.document import PolicyDocument, RuleKeys
from streams.policy.phrases import IMPACTS

#: Stands for every component that no rule names.
OTHER = "*"
TIERS = (1, 2, 3, "unknown")
Case = Mapping[str, object]


def warnings_of(document: PolicyDocument) -> list[tuple[str, str]]:
    """Pairs of key path and sentence. Tries every kind of incident against the rules in order (R20)."""
    names = {name for rule in document.rules for name in rule.when.component or ()}
    components = [*sorted(names), OTHER]
    cases: list[Case] = [
        dict(zip(("impact", "tier", "component", "scope"), case, strict=True))
        for case in itertools.product(IMPACTS, TIERS, components, ("tenants", "platform"))
    ]
    found: list[tuple[str, str]] = []
    open_cases = cases
    for index, rule in enumerate(document.rules):
        if not any(_matches(rule, case) for case in open_cases):
            mine = [case for case in cases if _matches(rule, case)]
            before = [other.name for other in document.rules[:index] if any(_matches(other, case) for case in mine)]
            found.append((f"rules[{index}]", f"{rule.name!r} never decides; before it come {', '.join(before)}"))
        open_cases = [case for case in open_cases if not _matches(rule, case)]
    total, left = _count(cases), _count(open_cases)
    for impact in IMPACTS:
        tiers = [str(tier) for tier in TIERS if left.get((impact, tier)) == total[impact, tier]]
        if tiers:
            who = "" if len(tiers) == len(TIERS) else f" of tier {', '.join(tiers)}"
            what = f"no rule names {impact}{who}, so default_severity {document.default_severity} decides"
            found.append(("rules", what))
    if Fraction(document.credit.below_percent) > Fraction(document.guarantee.percent):
        found.append(("credit.below_percent", "credit begins above the guarantee, so months that met it earn credit"))
    return found


def _matches(rule: RuleKeys, case: Case) -> bool:
    when = rule.when
    asked = {"impact": when.impact, "tier": when.tier, "component": when.component, "scope": when.scope}
    return all(values is None or case[key] in values for key, values in asked.items())


def _count(cases: list[Case]) -> dict[tuple[object, object], int]:
    counts: dict[tuple[object, object], int] = {}
    for case in cases:
        key = (case["impact"], case["tier"])
        counts[key] = counts.get(key, 0) + 1
    return counts
