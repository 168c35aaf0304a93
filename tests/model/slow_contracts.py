"""Contracts for the slow model: who has which plan when (R24), and the policy of a plan (R18)."""

from __future__ import annotations

from typing import Any

from slow_time import MICROS, minute

from streams.sla.policy import Policies, Policy

Line = dict[str, Any]


def version_at(policies: Policies, name: str | None, at: int) -> Policy:
    """The version with the greatest `effective_from` ≤ the minute; a plan nobody knows means the default."""
    versions = policies.by_name.get(name or policies.default) or policies.by_name[policies.default]
    begun = [each for each in versions if each.effective_from is None or each.effective_from <= at * MICROS]
    return max(begun, key=lambda each: each.effective_from if each.effective_from is not None else -1)


class Contracts:
    """All that was ever agreed."""

    def __init__(self, lines: list[Line], policies: Policies) -> None:
        self._lines = lines
        self.policies = policies

    def tenants(self) -> list[str]:
        return sorted({line["subject"] for line in self._lines})

    def first(self, tenant: str) -> Line:
        """The earliest contract fact of a tenant, which names zone and currency for good."""
        return min(self._of(tenant), key=lambda line: (minute(line["time"]), line["id"]))

    def ruling(self, tenant: str, at: int) -> Line | None:
        """The data of the contract in force at a minute: the greatest `valid_from` ≤ it, then the later, then by id."""
        begun = [line for line in self._of(tenant) if minute(line["data"]["valid_from"]) <= at]
        if not begun:
            return None
        last = max(begun, key=lambda x: (minute(x["data"]["valid_from"]), minute(x["time"]), x["id"]))
        end = last["data"].get("valid_to")
        data: Line = last["data"]
        return None if end is not None and minute(end) <= at else data

    def changes(self, tenant: str) -> list[int]:
        """Minutes at which another contract, or none, may come to rule."""
        named = [line["data"].get(key) for line in self._of(tenant) for key in ("valid_from", "valid_to")]
        return sorted({minute(each) for each in named if each is not None})

    def _of(self, tenant: str) -> list[Line]:
        return [line for line in self._lines if line["subject"] == tenant]
