"""Why an incident has its severity: the rule, its condition in words, the values that met it, who set it by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from board.pages.incident_texts import IncidentPhrases
from board.queries.incident_state import flags_of
from board.queries.incidents import IncidentRow
from board.queries.timeline import TimelineRow
from streams.i18n.catalogues import Language
from streams.policy.phrases import policy_phrases
from streams.policy.render import rule_condition, severity_targets
from streams.sla.policy import Policies, Policy, Rule


@dataclass(frozen=True, slots=True)
class ReasonValue:
    """One value of the incident. `decided`: the rule asks for it."""

    name: str
    value: str
    decided: bool


@dataclass(frozen=True, slots=True)
class SeverityReason:
    """Why an incident has its severity, in sentences of one language.

    `condition` is that of the rule, None where no rule decided or the policy version is not known here. `set_by` is the
    event that set the severity by hand, None otherwise. `promise` is the first response and the updates that the policy
    promises, None where it is not known or the component is not covered.
    """

    how: str
    condition: str | None
    values: Sequence[ReasonValue]
    set_by: TimelineRow | None
    promise: tuple[str, str] | None
    flags: Sequence[str]


def severity_reason(
    row: IncidentRow,
    policies: Policies,
    timeline: Iterable[TimelineRow],
    phrases: IncidentPhrases,
    language: Language,
) -> SeverityReason:
    """The reason of an incident's present severity."""
    policy = policies.exact(row.policy, row.policy_version)
    rule = None if policy is None else next((each for each in policy.rules if each.name == row.rule), None)
    by_hand = bool(row.state.get("severity_by_hand")) or row.rule == "severity_set"
    set_by = None
    condition = None
    if by_hand:
        how = phrases.by_hand
        rule = None
        set_by = next((each for each in reversed(list(timeline)) if each.type == "incident.severity_set"), None)
    elif rule is not None and policy is not None:
        how = phrases.by_rule.format(rule=row.rule)
        condition = rule_condition(policy, rule, language)
    elif row.rule == "default":
        how = phrases.by_no_contract if "no_contract" in flags_of(row.state) and row.covered else phrases.by_default
    elif policy is None:
        how = phrases.policy_absent.format(rule=row.rule)
    else:
        how = phrases.rule_absent.format(rule=row.rule)
    return SeverityReason(
        how=how,
        condition=condition,
        values=_values(row, policy, rule, phrases, language),
        set_by=set_by,
        promise=_promise(row, policy, language),
        flags=[phrases.flags.get(flag, phrases.flag_unknown.format(flag=flag)) for flag in flags_of(row.state)],
    )


def _promise(row: IncidentRow, policy: Policy | None, language: Language) -> tuple[str, str] | None:
    if policy is None or not row.covered or row.severity not in policy.severities:
        return None
    return severity_targets(policy, row.severity, language)


def _values(
    row: IncidentRow, policy: Policy | None, rule: Rule | None, phrases: IncidentPhrases, language: Language
) -> list[ReasonValue]:
    words = policy_phrases(language)
    tier = row.state.get("tier")
    values = {
        "impact": words.impacts.get(row.impact, row.impact),
        "tier": phrases.no_tier if tier is None else str(tier),
        "component": component_title(policy, row.component, language),
        "scope": words.scopes.get(row.scope, row.scope),
        "channel": words.channels.get(str(row.state.get("channel")), str(row.state.get("channel", "–"))),
    }
    return [
        ReasonValue(phrases.value_names[name], value, rule is not None and getattr(rule, name, None) is not None)
        for name, value in values.items()
    ]


def component_title(policy: Policy | None, component: str, language: Language) -> str:
    """What customers call a component; its id where the policy does not name it."""
    known = None if policy is None else policy.components.get(component)
    if known is None:
        return component
    return known.title.ja if language == "ja" else known.title.en
