"""A policy as customers read it, in English or Japanese: plain rows and sentences, no markup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streams.config_files.scalars import exact_decimal
from streams.i18n.catalogues import Language
from streams.policy.phrases import IMPACTS, PolicyPhrases, policy_phrases
from streams.sla.instants import format_rfc3339
from streams.sla.policy import Policy, Rule, Target, Text, UpdateTarget
from streams.sla.severity import SEVERITIES


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headers, all of the same length."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A rendered policy: its heading, the severities, the components, and the promises as sentences."""

    title: str
    reference: str
    severities: Table
    components: Table
    promises: tuple[str, ...]


def policy_text(policy: Policy, language: Language) -> PolicyText:
    """The policy in one language."""
    phrases = policy_phrases(language)
    since = format_rfc3339(policy.effective_from) if policy.effective_from is not None else None
    reference = f"{policy.name} {policy.version}" + (f" ({phrases.since.format(instant=since)})" if since else "")
    severities = Table(
        phrases.severities,
        tuple(phrases.severity_headers.values()),
        tuple((name, *_severity_cells(policy, name, phrases, language)) for name in SEVERITIES),
    )
    components = Table(
        phrases.components,
        tuple(phrases.component_headers.values()),
        tuple(
            (_of(part.title, language), name, _yes_no(phrases, yes=part.covered), _yes_no(phrases, yes=part.guaranteed))
            for name, part in policy.components.items()
        ),
    )
    promises = (*_support(policy, phrases), *_guarantee(policy, phrases, language), *_credit(policy, phrases))
    return PolicyText(_of(policy.title, language), reference, severities, components, promises)


def rule_condition(policy: Policy, rule: Rule, language: Language) -> str:
    """When a rule applies, in one language: `complete outage, critical performance problem (tier 1)`."""
    return _case(policy, rule, policy_phrases(language), language)


def severity_targets(policy: Policy, severity: str, language: Language) -> tuple[str, str]:
    """What the policy promises for a severity: the first response, and the updates."""
    _, response, updates, _ = _severity_cells(policy, severity, policy_phrases(language), language)
    return response, updates


def _yes_no(phrases: PolicyPhrases, *, yes: bool) -> str:
    return phrases.yes_no["yes" if yes else "no"]


def _of(text: Text, language: Language) -> str:
    return text.ja if language == "ja" else text.en


def _severity_cells(policy: Policy, name: str, phrases: PolicyPhrases, language: Language) -> tuple[str, str, str, str]:
    targets = policy.severities[name]
    cases = [_case(policy, rule, phrases, language) for rule in policy.rules if rule.severity == name]
    if policy.default_severity == name:
        cases.append(phrases.anything_else)
    response = _target(targets.response, phrases) if targets.response else phrases.no_target
    if targets.resolution:
        response += phrases.and_resolved.format(time=_target(targets.resolution, phrases))
    channels = phrases.listed(phrases.channels[channel] for channel in targets.channels) or phrases.any_channel
    return phrases.or_else.join(cases) or phrases.by_hand, response, _updates(targets.updates, phrases), channels


def _case(policy: Policy, rule: Rule, phrases: PolicyPhrases, language: Language) -> str:
    """What a rule matches: its impacts, and in brackets what else it asks for."""
    impacts = IMPACTS if rule.impact is None else [impact for impact in IMPACTS if impact in rule.impact]
    what = phrases.any_impact if rule.impact is None else phrases.listed(phrases.impacts[impact] for impact in impacts)
    limits = []
    if rule.tier is not None:
        tiers = [str(tier) for tier in sorted(tier for tier in rule.tier if tier is not None)]
        limits.append(
            phrases.tier.format(tiers=phrases.listed([*tiers, *([phrases.unknown_tier] if None in rule.tier else [])]))
        )
    if rule.component is not None:
        known = [part.title for name, part in policy.components.items() if name in rule.component]
        limits.append(phrases.listed(_of(title, language) for title in known))
    if rule.scope is not None and len(rule.scope) == 1:
        limits.append(phrases.scopes[next(iter(rule.scope))])
    return phrases.limited.format(what=what, limits=phrases.listed(limits)) if limits else what


def _target(target: Target, phrases: PolicyPhrases) -> str:
    if target.business_days is not None:
        return phrases.business_days.format(target.business_days)
    assert target.within is not None
    return phrases.clocks[target.clock].format(time=phrases.duration(target.within))


def _updates(updates: UpdateTarget | None, phrases: PolicyPhrases) -> str:
    if updates is None:
        return phrases.no_target
    if updates.on_request:
        return phrases.on_request.format(time=_target(updates.target, phrases))
    assert updates.target.within is not None
    return phrases.every[updates.target.clock].format(time=phrases.duration_after_every(updates.target.within))


def _support(policy: Policy, phrases: PolicyPhrases) -> Iterable[str]:
    spans: dict[tuple[int, int], list[int]] = {}
    for day, span in enumerate(policy.calendar.hours):
        if span is not None:
            spans.setdefault(span, []).append(day)
    hours = phrases.listed(
        f"{phrases.listed_days(days)} {_time(span[0])}-{_time(span[1])}" for span, days in spans.items()
    )
    closed = (
        phrases.holidays.format(country=policy.calendar.holidays) if policy.calendar.holidays else phrases.no_holidays
    )
    yield phrases.calendar.format(hours=hours, zone=policy.calendar.zone, holidays=closed)
    if any("phone" in targets.channels for targets in policy.severities.values()):
        yield phrases.members_only
    if not all(part.covered for part in policy.components.values()):
        yield phrases.consulting


def _time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _guarantee(policy: Policy, phrases: PolicyPhrases, language: Language) -> Iterable[str]:
    parts = [_of(part.title, language) for part in policy.components.values() if part.guaranteed]
    if not parts:
        yield phrases.no_guarantee
        return
    impacts = phrases.listed(phrases.impacts[impact] for impact in IMPACTS if impact in policy.downtime_impacts)
    yield phrases.guarantee.format(percent=exact_decimal(policy.guarantee), parts=phrases.listed(parts))
    yield phrases.downtime.format(impacts=impacts)
    if policy.maintenance_notice:
        yield phrases.maintenance_notice.format(time=phrases.duration(policy.maintenance_notice))
    else:
        yield phrases.maintenance


def _credit(policy: Policy, phrases: PolicyPhrases) -> Iterable[str]:
    credit = policy.credit
    if not (credit.percent_per_point and credit.cap_percent):
        yield phrases.no_credit
        return
    yield phrases.credit[credit.step].format(
        below=exact_decimal(credit.below_percent),
        share=exact_decimal(credit.percent_per_point),
        cap=exact_decimal(credit.cap_percent),
    )
    yield phrases.claim[credit.claim].format(time=phrases.duration(credit.claim_within))
    yield phrases.final.format(time=phrases.duration(policy.statements.grace))
