"""Makes rules and conditions of the entries of a mapping file that has been checked."""

from __future__ import annotations

from collections.abc import Mapping

from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.entry_keys import MappingRuleKeys
from connect.intake.mapping.mapping_rule import EVERY, Condition, MappingRule
from connect.intake.mapping.paths import FieldPath, below_root


def mapping_rule(keys: MappingRuleKeys, line: int, form: SourceFormat) -> MappingRule:
    """The rule of an entry that begins in a line."""
    table = keys.values
    values = None if table is None else {key if key == EVERY else key.casefold(): to for key, to in table.items()}
    path = None if keys.path is None else path_of(keys.path, form)
    return MappingRule(
        line, conditions_of(keys.when, form), path, values, EVERY if keys.scope is not None else keys.value
    )


def conditions_of(keys: Mapping[str, list[str]], form: SourceFormat) -> tuple[Condition, ...]:
    """The conditions of `when` or of an entry of `ignore`."""
    return tuple(
        Condition(path_of(path, form), frozenset(value.casefold() for value in values)) for path, values in keys.items()
    )


def path_of(text: str, form: SourceFormat) -> FieldPath:
    """The path as the format reads it."""
    path = form.parse_path(text)
    return below_root(path) if form.dotted_names else path
