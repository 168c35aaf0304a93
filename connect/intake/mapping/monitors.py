"""The monitors of a source whose requests are heartbeats: names or patterns, and how often each is heard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

#: Names are parts of incident ids and of addresses.
MONITOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,59}")
MONITOR_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,59}\*?|\*")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class MonitorRule:
    """How often the monitors of a name or pattern send a heartbeat. A final `*` stands for any ending. Durations are
    in microseconds."""

    pattern: str
    every: int
    grace: int

    def view(self, name: str) -> Mapping[str, object]:
        """What the rules of a mapping see of a monitor: its name, the pattern, and what `*` stands for."""
        fields = {"name": name, "pattern": self.pattern}
        if self.pattern.endswith("*"):
            fields["wildcard"] = name[len(self.pattern) - 1 :]
        return {"monitor": fields}


@dataclass(frozen=True)
class MonitorRules:
    """The monitors of a source. Finding one takes the same time however many there are: each of 10,000 monitors is
    looked up when a mapping is read."""

    rules: tuple[MonitorRule, ...] = ()

    def __len__(self) -> int:
        return len(self.rules)

    def rule_for(self, name: str) -> MonitorRule | None:
        """The rule of a monitor: its own name, else the longest pattern that fits."""
        found = self._by_pattern.get(name)
        lengths = iter(self._lengths)
        while found is None and (length := next(lengths, None)) is not None:
            if length <= len(name):
                found = self._by_pattern.get(f"{name[:length]}*")
        return found

    def allowed_names(self) -> str:
        """The names and patterns, for a message."""
        shown = ", ".join(sorted(self._by_pattern)[:_SHOWN])
        return f"{shown} and {len(self) - _SHOWN} more" if len(self) > _SHOWN else shown

    @cached_property
    def _by_pattern(self) -> Mapping[str, MonitorRule]:
        return {rule.pattern: rule for rule in self.rules}

    @cached_property
    def _lengths(self) -> Sequence[int]:
        """How many characters precede the `*` of the patterns, the most first."""
        return sorted({len(rule.pattern) - 1 for rule in self.rules if rule.pattern.endswith("*")}, reverse=True)
