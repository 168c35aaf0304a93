"""One rule of a mapping file: which value a field has, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from connect.intake.mapping.paths import FieldPath, texts_of

#: In `tenants`: every tenant is affected, where the mapping says it. In a table of values: any other value. In a
#: condition: any value.
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when one of the values at `path` is one of `values` (folded); `*` matches any value."""

    path: FieldPath
    values: frozenset[str]

    def holds(self, view: object) -> bool:
        """Whether a payload matches."""
        found = texts_of(view).folded_at(self.path)
        return not self.values.isdisjoint(found) or (bool(found) and EVERY in self.values)


@dataclass(frozen=True, slots=True)
class MappingRule:
    """One rule for a field's value. It applies when all of `when` hold. It gives `value`, or the value at `path`, which
    the table `values` (folded) translates if there is one. `line` is its line in the mapping file."""

    line: int
    when: tuple[Condition, ...] = ()
    path: FieldPath | None = None
    values: Mapping[str, str] | None = None
    value: str | None = None


def paths_of(rules: Iterable[MappingRule]) -> Iterator[FieldPath]:
    """Every path that rules read."""
    for rule in rules:
        yield from (condition.path for condition in rule.when)
        if rule.path is not None:
            yield rule.path
