"""Severity for the slow model: the policy of an incident, and what its rules make of the facts (R18, R20)."""

from __future__ import annotations

from typing import Any, NamedTuple

from slow_contracts import Contracts, version_at
from slow_time import deadline

from streams.sla.policy import Policies, Policy, SeverityTargets

Line = dict[str, Any]
NOTHING = SeverityTargets(None, None, None, (), frozenset(), ())
NEVER = 10**12


class Judged(NamedTuple):
    """A classification; a change of one of the first three is a change of what is promised (R13)."""

    severity: str
    covered: bool
    policy: Policy
    rule: str

    @property
    def targets(self) -> SeverityTargets:
        """What is promised; nothing for what is not covered."""
        return self.policy.severities[self.severity] if self.covered else NOTHING


class Ruling:
    """How an incident is judged; contracts and version are those at its opening, for good."""

    def __init__(self, contracts: Contracts, policies: Policies, opening: Line) -> None:
        self._contracts = contracts
        self.policies = policies
        self._opening = opening
        self._at = opening["at"]
        self.policy = self.strictest()

    def strictest(self) -> Policy:
        """Of the tenants' plans the one whose response is due first, ties by name; without any, the default."""
        state = self._opening["data"]
        names = {self.plan(terms["plan"]) for terms in self._terms(state)} or {self.policies.default}
        choices = [version_at(self.policies, name, self._at) for name in sorted(names)]
        return min(choices, key=lambda policy: (self._due(policy, state), policy.name))

    def plan(self, name: str) -> str:
        return name if name in self.policies.by_name else self.policies.default

    def judge(self, policy: Policy, state: Line, by_hand: str | None) -> Judged:
        """The severity that follows from what is reported, or the one set by hand."""
        terms = self._terms(state)
        covered = policy.covers(state["component"])
        if by_hand is not None:
            return Judged(by_hand, covered, policy, "severity_set")
        if covered and state["scope"] == "tenants" and not terms:
            return Judged(policy.default_severity, covered, policy, "default")
        severity, rule = self._by_rules(policy, state, terms)
        return Judged(severity, covered, policy, rule)

    def _by_rules(self, policy: Policy, state: Line, terms: list[Line]) -> tuple[str, str]:
        for rule in policy.rules:
            if (
                (rule.impact is None or state["impact"] in rule.impact)
                and (rule.tier is None or self._tier(state, terms) in rule.tier)
                and (rule.component is None or state["component"] in rule.component)
                and (rule.scope is None or state["scope"] in rule.scope)
            ):
                return rule.severity, rule.name
        return policy.default_severity, "default"

    def _tier(self, state: Line, terms: list[Line]) -> int | None:
        tiers: list[int] = [each["tier"] for each in terms if "tier" in each]
        own: int | None = state.get("tier")
        return own if own is not None else min(tiers, default=None)

    def _terms(self, state: Line) -> list[Line]:
        if state["scope"] == "platform":
            return []
        found = [self._contracts.ruling(tenant, self._at) for tenant in state["tenant_ids"]]
        return [terms for terms in found if terms is not None]

    def _due(self, policy: Policy, state: Line) -> int:
        target = self.judge(policy, state, None).targets.response
        return NEVER if target is None else deadline(target, policy.calendar, self._at, [])
