"""The share of inputs that an agent rejects: when nearly everything is bad, the deployment is wrong, not the input."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: Inputs of a window; the share is that of the present window and the one before it.
WINDOW: Final = 500
#: Fewer inputs say nothing.
LEAST: Final = 100


class RejectShare:
    """Counts the inputs of one partition of one agent. Above `limit` (0 to 1) the worker is not ready."""

    def __init__(self, limit: float = 0.5) -> None:
        self._limit = limit
        self._inputs = 0
        self._codes: Counter[str] = Counter()
        self._inputs_before = 0
        self._codes_before: Counter[str] = Counter()

    def received(self) -> None:
        """An input was read."""
        self._inputs += 1
        if self._inputs >= WINDOW:
            self._inputs_before, self._codes_before = self._inputs, self._codes
            self._inputs, self._codes = 0, Counter()

    def rejected(self, code: str) -> None:
        """An input was rejected."""
        self._codes[code] += 1

    @property
    def share(self) -> float:
        """Of the latest inputs, the part that was rejected; 0 while there are few."""
        inputs = self._inputs + self._inputs_before
        if inputs < LEAST:
            return 0.0
        return min(1.0, (self._codes.total() + self._codes_before.total()) / inputs)

    def problem(self) -> str:
        """Why the worker is not ready; empty when it is."""
        share = self.share
        if share <= self._limit:
            return ""
        code, _ = (self._codes + self._codes_before).most_common(1)[0]
        inputs = self._inputs + self._inputs_before
        return (
            f"{share:.0%} of the latest {inputs:,} inputs were rejected, most of them as {code}; above "
            f"{self._limit:.0%} (SLA_REJECT_SHARE_LIMIT) the deployment is likely to be wrong: check its policies, its "
            "schema registry and its topic prefix, and see `sla rejected list`"
        )
