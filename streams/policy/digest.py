"""The digest that names a policy's content (R18). It must never change for a policy that means the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from streams.config_files.scalars import exact_decimal
from streams.policy import document as keys
from streams.policy.document import PolicyDocument
from streams.policy.targets import PolicyKeys, SeveritiesKeys, SeverityKeys, TargetKeys, UpdateKeys
from streams.sla.severity import REQUIRED_SEVERITIES

#: The keys of the first release. The digest covers them at their defaults too. Never add to this table: every other key
#: is left out of the digest while it has its default, so a new key does not change the digest of a policy without it.
#: For the same reason the default of a released key never changes.
FIRST_KEYS: Mapping[type[PolicyKeys], frozenset[str]] = {
    keys.Title: frozenset({"en", "ja"}),
    keys.ComponentKeys: frozenset({"title", "covered", "guaranteed"}),
    keys.WhenKeys: frozenset({"impact", "tier", "component", "scope"}),
    keys.RuleKeys: frozenset({"name", "when", "severity"}),
    keys.RespondsKeys: frozenset({"event", "who", "visibility"}),
    keys.CalendarKeys: frozenset({"zone", "hours", "holidays"}),
    keys.GuaranteeKeys: frozenset({"percent"}),
    keys.DowntimeKeys: frozenset({"impacts"}),
    keys.MaintenanceKeys: frozenset({"notice"}),
    keys.CreditKeys: frozenset({"below_percent", "percent_per_point", "cap_percent", "step", "claim", "claim_within"}),
    keys.StatementKeys: frozenset({"grace", "provisional_every", "adjust_after"}),
    TargetKeys: frozenset({"within", "clock", "business_days"}),
    UpdateKeys: frozenset({"every", "clock", "remind_before", "on_request"}),
    SeverityKeys: frozenset({"response", "updates", "resolution", "warn_at", "pause_on", "channels"}),
    SeveritiesKeys: frozenset(REQUIRED_SEVERITIES),
    PolicyDocument: frozenset(
        {"policy", "version", "effective_from", "title", "components", "severities", "rules", "default_severity"}
        | {"responds", "calendar", "guarantee", "downtime", "maintenance", "credit", "statements"}
    ),
}


def digest_of(document: PolicyDocument) -> str:
    """SHA-256 (hex) over RFC 8785 canonical JSON: the keys of the first release with their defaults filled in, later
    keys where they differ from their defaults; thresholds as decimal texts."""
    data = _canonical(document, document.model_dump(mode="json"))
    for severity in data["severities"].values():
        severity["warn_at"] = [exact_decimal(exact(share)) for share in severity["warn_at"]]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def exact(share: float) -> Fraction:
    """The decimal that was written, not the binary number nearest to it."""
    return Fraction(repr(share))


def _canonical(value: object, dumped: Any) -> Any:
    """What the digest covers of a value and its JSON form."""
    if isinstance(value, PolicyKeys):
        return {
            key: _canonical(getattr(value, key), part)
            for key, part in dumped.items()
            if _always_digested(type(value), key) or not _at_default(value, key)
        }
    if isinstance(value, dict):
        return {key: _canonical(part, dumped[key]) for key, part in value.items()}
    if isinstance(value, list):
        return [_canonical(part, of_part) for part, of_part in zip(value, dumped, strict=True)]
    return dumped


def _always_digested(model: type[PolicyKeys], key: str) -> bool:
    return any(key in FIRST_KEYS.get(base, ()) for base in model.__mro__)


def _at_default(value: PolicyKeys, key: str) -> bool:
    field = type(value).model_fields[key]
    default = field.get_default(call_default_factory=True, validated_data={})
    return not field.is_required() and bool(getattr(value, key) == default)
