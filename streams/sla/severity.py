"""The severities: the one place that names them.

A new severity is an entry in `Severity` and in `CHARACTERS`, a new symbol in the schemas that carry a severity, and its
targets in the policy files that use it. Limits, policy keys, routing keys, texts and styles derive from this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

_T = TypeVar("_T")

Severity = Literal["P1", "P2", "P3", "P4"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the most to the least severe."""
CHARACTERS: dict[Severity, str] = {"P1": "critical", "P2": "severe", "P3": "noticeable", "P4": "benign"}
"""One word that describes incidents of a severity."""
REQUIRED_SEVERITIES: frozenset[Severity] = frozenset(["P1", "P2", "P3", "P4"])
"""Those of the first release, which every policy file names. A policy without a later one promises nothing for it and
keeps its digest (R18). Never add to it."""
DEFAULT_SEVERITY: Severity = "P2"
"""The severity where no rule matches and the policy file names none (R20)."""


def by_severity(values: Sequence[_T]) -> dict[str, _T]:
    """One value per severity, given from the most severe on; the last value is that of all severities after it."""
    last = len(values) - 1
    return {severity: values[min(rank, last)] for rank, severity in enumerate(SEVERITIES)}
