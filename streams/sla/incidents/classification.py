"""Classification (R20): the severity, coverage and policy of an incident, from its facts and its tenants' contracts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streams.sla.calendar import deadline
from streams.sla.contracts import Contract
from streams.sla.policy import Policies, Policy

#: Flag of an incident whose component its policy does not name: it is not covered, maybe by a misspelling (R20).
UNKNOWN_COMPONENT = "unknown_component"
#: Flag of an incident that has had as many update windows as it may have: no more are opened (R28).
UPDATE_LIMIT = "update_limit"
#: Flags that are published as soon as they come or go, whatever else stays.
STANDING_FLAGS = (UNKNOWN_COMPONENT, UPDATE_LIMIT)


class ContractLookup(Protocol):
    """Looks up the contracts that are known."""

    def at(self, tenant: str, instant: int) -> Contract | None:
        """The contract of a tenant in force at an instant."""
        ...


class Subject(NamedTuple):
    """The input of classification, at one instant."""

    scope: str
    tenant_ids: tuple[str, ...]
    component: str
    impact: str
    tier: int | None


class Pinned(NamedTuple):
    """What the opening fixed: the policy, the tenants' tier, and flags about them (R18, R20)."""

    policy: Policy
    tenant_tier: int | None
    no_contract: bool
    flags: tuple[str, ...]


class Classification(NamedTuple):
    severity: str
    covered: bool
    rule: str
    counts_as_downtime: bool
    flags: tuple[str, ...]


def classify(
    policy: Policy,
    subject: Subject,
    pinned_tier: int | None,
    no_contract: bool,
    by_hand: str | None,
    counts: bool | None,
) -> Classification:
    """R20: not covered wins, then no contract, then the first matching rule, then the default. `by_hand` is a severity
    set by a person (R13), `counts` an amended counts_as_downtime (R21)."""
    covered = policy.covers(subject.component)
    guaranteed = policy.guarantees(subject.component)
    counted = guaranteed and (subject.impact in policy.downtime_impacts if counts is None else counts)
    flags: tuple[str, ...] = () if subject.component in policy.components else (UNKNOWN_COMPONENT,)
    if by_hand is not None:
        return Classification(by_hand, covered, "severity_set", counted, flags)
    if no_contract and covered:
        return Classification(policy.default_severity, covered, "default", counted, flags)
    tier = subject.tier if subject.tier is not None else pinned_tier
    for rule in policy.rules:
        if (
            (rule.impact is None or subject.impact in rule.impact)
            and (rule.tier is None or tier in rule.tier)
            and (rule.component is None or subject.component in rule.component)
            and (rule.scope is None or subject.scope in rule.scope)
        ):
            return Classification(rule.severity, covered, rule.name, counted, flags)
    return Classification(policy.default_severity, covered, "default", counted, ("default", *flags))


def pin(policies: Policies, subject: Subject, opened_at: int, channel: str, known: ContractLookup) -> Pinned:
    """What the opening fixes: of the tenants' plans the one with the earliest response deadline, ties by name; a
    platform-wide incident and an unknown plan follow the deployment's default (R20)."""
    if subject.scope == "platform":
        return Pinned(policies.at(None, opened_at), None, no_contract=False, flags=())
    contracts = [c for t in subject.tenant_ids if (c := known.at(t, opened_at)) is not None]
    flags: list[str] = []
    if not contracts:
        flags.append("no_contract")
    if channel == "phone" and not any(c.emergency_member for c in contracts):
        flags.append("channel_not_entitled")
    if any(not policies.knows(c.plan) for c in contracts):
        flags.append("unknown_plan")
    tier = min((c.tier for c in contracts if c.tier is not None), default=None)
    plans = {c.plan if policies.knows(c.plan) else policies.default for c in contracts}
    if len(plans) <= 1:
        policy = policies.at(plans.pop() if plans else None, opened_at)
    else:
        policy = _strictest([policies.at(name, opened_at) for name in sorted(plans)], subject, tier, opened_at)
    return Pinned(policy, tier, not contracts, tuple(flags))


def _strictest(candidates: Sequence[Policy], subject: Subject, tier: int | None, opened_at: int) -> Policy:
    def response_deadline(policy: Policy) -> tuple[bool, int, str]:
        decided = classify(policy, subject, tier, no_contract=False, by_hand=None, counts=None)
        target = policy.severities[decided.severity].response if decided.covered else None
        due = deadline(target, policy.calendar, opened_at) if target is not None else None
        return (due is None, due or 0, policy.name)

    return min(candidates, key=response_deadline)
