"""The monitors of a source whose requests are heartbeats: names or patterns, and how often each is heard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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

    def matches(self, name: str) -> bool:
        """Whether a monitor's name fits."""
        if self.pattern.endswith("*"):
            return name.startswith(self.pattern[:-1])
        return name == self.pattern

    def view(self, name: str) -> Mapping[str, object]:
        """What the rules of a mapping see of a monitor: its name, the pattern, and what `*` stands for."""
        fields = {"name": name, "pattern": self.pattern}
        if self.pattern.endswith("*"):
            fields["wildcard"] = name[len(self.pattern) - 1 :]
        return {"monitor": fields}


def rule_for(rules: Iterable[MonitorRule], name: str) -> MonitorRule | None:
    """The rule of a monitor: its own name, else the longest pattern that fits."""
    fitting = [rule for rule in rules if rule.matches(name)]
    return max(fitting, key=lambda rule: (rule.pattern == name, len(rule.pattern)), default=None)


def allowed_names(rules: Iterable[MonitorRule]) -> str:
    """The names and patterns, for a message."""
    patterns = sorted(rule.pattern for rule in rules)
    more = f" and {len(patterns) - _SHOWN} more" if len(patterns) > _SHOWN else ""
    return ", ".join(patterns[:_SHOWN]) + more
