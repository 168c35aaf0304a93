"""A policy as customers read it, in English or Japanese: plain rows and sentences, no markup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streams.config_files.scalars import exact_decimal
from streams.policy.phrases import WORDS, Language, Words, duration_words
from streams.sla.instants import format_rfc3339
from streams.sla.policy import SEVERITIES, Policy, Rule, Target, Text, UpdateTarget

__all__ = ["Language", "PolicyText", "Table", "policy_text"]

IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")


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
    words = WORDS[language]
    since = format_rfc3339(policy.effective_from) if policy.effective_from is not None else None
    reference = f"{policy.name} {policy.version}" + (f" ({words.since.format(since)})" if since else "")
    severities = Table(
        words.severities,
        words.severity_headers,
        tuple((name, *_severity_cells(policy, name, words)) for name in SEVERITIES),
    )
    components = Table(
        words.components,
        words.component_headers,
        tuple(
            (_of(part.title, language), name, words.yes_no[part.covered], words.yes_no[part.guaranteed])
            for name, part in policy.components.items()
        ),
    )
    promises = (*_support(policy, words), *_guarantee(policy, words, language), *_credit(policy, words))
    return PolicyText(_of(policy.title, language), reference, severities, components, promises)


def _of(text: Text, language: Language) -> str:
    return text.ja if language == "ja" else text.en


def _severity_cells(policy: Policy, name: str, words: Words) -> tuple[str, str, str, str]:
    targets = policy.severities[name]
    cases = [_case(policy, rule, words) for rule in policy.rules if rule.severity == name]
    if policy.default_severity == name:
        cases.append(words.anything_else)
    response = _target(targets.response, words) if targets.response else words.no_target
    if targets.resolution:
        response += words.and_resolved.format(_target(targets.resolution, words))
    channels = words.listed(words.channels[channel] for channel in targets.channels) or words.any_channel
    return words.or_else.join(cases) or words.by_hand, response, _updates(targets.updates, words), channels


def _case(policy: Policy, rule: Rule, words: Words) -> str:
    """What a rule matches: its impacts, and in brackets what else it asks for."""
    impacts = IMPACTS if rule.impact is None else [impact for impact in IMPACTS if impact in rule.impact]
    what = words.any_impact if rule.impact is None else words.listed(words.impacts[impact] for impact in impacts)
    limits = []
    if rule.tier is not None:
        tiers = [str(tier) for tier in sorted(tier for tier in rule.tier if tier is not None)]
        limits.append(words.tier.format(words.listed([*tiers, *([words.unknown_tier] if None in rule.tier else [])])))
    if rule.component is not None:
        known = [part.title for name, part in policy.components.items() if name in rule.component]
        limits.append(words.listed(_of(title, words.language) for title in known))
    if rule.scope is not None and len(rule.scope) == 1:
        limits.append(words.scopes[next(iter(rule.scope))])
    return words.limited.format(what, words.listed(limits)) if limits else what


def _target(target: Target, words: Words) -> str:
    if target.business_days is not None:
        return words.business_days(target.business_days)
    assert target.within is not None
    return words.clocks[target.clock].format(duration_words(target.within, words.language))


def _updates(updates: UpdateTarget | None, words: Words) -> str:
    if updates is None:
        return words.no_target
    if updates.on_request:
        return words.on_request.format(_target(updates.target, words))
    assert updates.target.within is not None
    every = duration_words(updates.target.within, words.language, per=True)
    return words.every[updates.target.clock].format(every)


def _support(policy: Policy, words: Words) -> Iterable[str]:
    spans: dict[tuple[int, int], list[int]] = {}
    for day, span in enumerate(policy.calendar.hours):
        if span is not None:
            spans.setdefault(span, []).append(day)
    hours = words.listed(f"{words.listed_days(days)} {_time(span[0])}-{_time(span[1])}" for span, days in spans.items())
    closed = words.holidays.format(policy.calendar.holidays) if policy.calendar.holidays else words.no_holidays
    yield words.calendar.format(hours=hours, zone=policy.calendar.zone, holidays=closed)
    if any("phone" in targets.channels for targets in policy.severities.values()):
        yield words.members_only
    if not all(part.covered for part in policy.components.values()):
        yield words.consulting


def _time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _guarantee(policy: Policy, words: Words, language: Language) -> Iterable[str]:
    parts = [_of(part.title, language) for part in policy.components.values() if part.guaranteed]
    if not parts:
        yield words.no_guarantee
        return
    impacts = words.listed(words.impacts[impact] for impact in IMPACTS if impact in policy.downtime_impacts)
    yield words.guarantee.format(percent=exact_decimal(policy.guarantee), parts=words.listed(parts))
    yield words.downtime.format(impacts)
    notice = duration_words(policy.maintenance_notice, language) if policy.maintenance_notice else None
    yield words.maintenance_notice.format(notice) if notice else words.maintenance


def _credit(policy: Policy, words: Words) -> Iterable[str]:
    credit = policy.credit
    if not (credit.percent_per_point and credit.cap_percent):
        yield words.no_credit
        return
    yield words.credit[credit.step].format(
        below=exact_decimal(credit.below_percent),
        share=exact_decimal(credit.percent_per_point),
        cap=exact_decimal(credit.cap_percent),
    )
    within = duration_words(credit.claim_within, words.language)
    yield words.claim[credit.claim].format(within)
    yield words.final.format(duration_words(policy.statements.grace, words.language))
