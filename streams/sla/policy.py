"""A support policy as values: severities, targets, rules, components, calendar, guarantee, credit, statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the product's two languages."""

    en: str
    ja: str

    def as_data(self) -> dict[str, object]:
        return {"en": self.en, "ja": self.ja}


@dataclass(frozen=True, slots=True)
class Target:
    """The duration of a clock: elapsed or business microseconds, or n business days (R19)."""

    within: int | None = None
    clock: Literal["always", "business"] = "always"
    business_days: int | None = None


@dataclass(frozen=True, slots=True)
class UpdateTarget:
    """Update windows: regular (`target` per window, reminder `remind_before` its end) or one per request (R8, R9)."""

    target: Target
    on_request: bool = False
    remind_before: int = 0


@dataclass(frozen=True, slots=True)
class SeverityTargets:
    response: Target | None
    updates: UpdateTarget | None
    resolution: Target | None
    warn_at: tuple[Fraction, ...]
    pause_on: frozenset[str]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Component:
    title: Text
    covered: bool
    guaranteed: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """First match decides (R20). Every named key must hold one of its values; tier `None` in the set is unknown."""

    name: str
    severity: str
    impact: frozenset[str] | None = None
    tier: frozenset[int | None] | None = None
    component: frozenset[str] | None = None
    scope: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Responds:
    """A fact that counts as the first response (R7)."""

    event: str
    who: frozenset[str]
    visibility: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """The vendor's calendar (R19): per weekday (0 = Monday) opening and closing as minutes of the local day."""

    zone: str
    hours: tuple[tuple[int, int] | None, ...]
    holidays: str | None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.zone, self.hours, self.holidays)))

    def __hash__(self) -> int:  # kept, because every search for opening hours in a cache needs it
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:  # another process hashes texts with another seed
        return BusinessHours, (self.zone, self.hours, self.holidays)


@dataclass(frozen=True, slots=True)
class CreditRule:
    below_percent: Fraction
    percent_per_point: Fraction
    cap_percent: Fraction
    step: Literal["whole", "started", "pro_rata"]
    claim: Literal["required", "automatic"]
    claim_within: int


@dataclass(frozen=True, slots=True)
class StatementTimes:
    grace: int
    provisional_every: int
    adjust_after: int


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of one policy. `digest` is SHA-256 (hex) over its canonical JSON form, defaults filled in."""

    name: str
    version: str
    digest: str
    effective_from: int | None
    title: Text
    components: Mapping[str, Component]
    severities: Mapping[str, SeverityTargets]
    rules: tuple[Rule, ...]
    default_severity: str
    responds: tuple[Responds, ...]
    calendar: BusinessHours
    guarantee: Fraction
    downtime_impacts: frozenset[str]
    maintenance_notice: int
    credit: CreditRule
    statements: StatementTimes

    def as_data(self) -> dict[str, object]:
        """The reference every output carries; one dict per version, not to be changed."""
        return _reference(self.name, self.version, self.digest)

    def covers(self, component: str) -> bool:
        known = self.components.get(component)
        return known is not None and known.covered

    def guarantees(self, component: str) -> bool:
        known = self.components.get(component)
        return known is not None and known.guaranteed


@cache
def _reference(name: str, version: str, digest: str) -> dict[str, object]:
    return {"name": name, "version": version, "digest": digest}


class UnknownPolicyError(LookupError):
    """The deployment does not have this policy or version."""


@dataclass(frozen=True)
class Policies:
    """All versions of all policies, and the deployment's default (R18, R20)."""

    default: str
    by_name: Mapping[str, Sequence[Policy]] = field(repr=False)

    @classmethod
    def of(cls, policies: Sequence[Policy], default: str) -> Policies:
        """Raises UnknownPolicyError when the default is not among them."""
        grouped: dict[str, list[Policy]] = {}
        for policy in policies:
            grouped.setdefault(policy.name, []).append(policy)
        if default not in grouped:
            raise UnknownPolicyError(f"default policy {default!r} is not among {', '.join(sorted(grouped)) or 'none'}")
        for versions in grouped.values():
            versions.sort(key=lambda p: (p.effective_from is not None, p.effective_from or 0, p.version))
        return cls(default, grouped)

    def knows(self, name: str) -> bool:
        return name in self.by_name

    def at(self, name: str | None, instant: int) -> Policy:
        """The version in force at an instant: the greatest `effective_from` ≤ it, else the first there is (R18).
        A name that is unknown (or None) means the default."""
        versions = self.by_name.get(name if name is not None else self.default) or self.by_name[self.default]
        chosen = versions[0]
        for policy in versions:
            if policy.effective_from is not None and policy.effective_from <= instant:
                chosen = policy
        return chosen

    @property
    def longest_claim(self) -> int:
        """How long after its end a month can be claimed by the policy that allows it longest, in microseconds."""
        return max(p.statements.grace + p.credit.claim_within for versions in self.by_name.values() for p in versions)

    def exact(self, name: str, version: str) -> Policy | None:
        return next((p for p in self.by_name.get(name, ()) if p.version == version), None)
