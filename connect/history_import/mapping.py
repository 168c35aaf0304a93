"""Reads an import file; reports every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from connect.history_import.schema import ImportKeys, UpdatesKeys
from connect.intake.formats import bearer_token
from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.checks import place_of
from connect.intake.mapping.entry_checks import (
    NEVER_APPLIES,
    condition_problems,
    entry_problems,
    path_problems,
    unreachable,
)
from connect.intake.mapping.entry_file import conditions_of, mapping_rule
from connect.intake.mapping.expressions import parse_expression
from connect.intake.mapping.mapping_rule import Condition
from connect.intake.mapping.paths import FieldPath
from connect.intake.mapping.rules import Source, States
from connect.intake.mapping_file import MappingError, states_of
from connect.written_times import TimeReader
from streams.config_files.problems import KeyPath, Place, Problem, dotted
from streams.config_files.yaml_reader import read_checked

_RULE_FIELDS = ("component", "impact", "tier", "tenants", "summary")
#: Status names that mean the end in the systems whose exports the examples map.
_STATES = States(
    resolved=frozenset(
        [
            *("solved", "resolved", "closed", "done", "completed", "closed complete", "closed incomplete", "archived"),
            *("canceled", "cancelled", "declined", "merged", "removed"),
        ]
    )
)


def _expression(text: str) -> FieldPath:
    return parse_expression(text)


#: An export as the rules of a mapping see it: any column, or any part of a ticket; and nobody who sends it.
_COLUMNS = SourceFormat(
    name="csv", authenticate=bearer_token.authenticate, looks_like=lambda _: False, default_states=_STATES
)
_EXPRESSIONS = replace(_COLUMNS, name="json", parse_path=_expression)
_PATHS = ("id", "key", "title", "status", "opened", "started", "responded", "resolved")
#: Fields for one time, of which the first that is not empty counts.
FieldPaths = tuple[FieldPath, ...]


class Updates(NamedTuple):
    """Where the comments of a ticket are, and what the parts of one are."""

    path: FieldPath
    split: tuple[str, ...]
    time: FieldPath
    text: FieldPath | None
    public: tuple[Condition, ...]
    support: tuple[Condition, ...]


class TicketMapping(NamedTuple):
    """What an import file says. `source` has the rules of the mapping."""

    source: Source
    times: TimeReader
    format: str
    encoding: str
    delimiter: str | None
    rows: str | None
    id: FieldPath
    key: FieldPath | None
    title: FieldPath | None
    status: FieldPath | None
    opened: FieldPaths
    started: FieldPaths
    responded: FieldPaths
    resolved: FieldPaths
    updates: Updates | None

    def fields(self) -> Iterator[FieldPath]:
        """The paths of fields that have to be values, not formulas. Titles and comments are free texts."""
        yield from (path for path in (self.id, self.key, self.status) if path is not None)
        yield from (*self.opened, *self.started, *self.responded, *self.resolved)
        source = self.source
        for rule in (*source.component, *source.impact, *source.tier, *source.tenants):
            yield from (condition.path for condition in rule.when)
            if rule.path is not None:
                yield rule.path

    def paths(self) -> Iterator[FieldPath]:
        """Every path that is read."""
        yield from self.fields()
        yield from self.source.paths()
        yield from (path for path in (self.title, self.updates and self.updates.path) if path is not None)


def load_import_mapping(path: Path) -> TicketMapping:
    """Raises MappingError, OSError when it can't be read."""
    keys, places = read_checked(path, ImportKeys, _cross_checks, MappingError)
    form = _form(keys.file.format)
    rules: dict[str, Any] = {
        field: tuple(
            mapping_rule(each, place_of(places, (field, index)).line, form)
            for index, each in enumerate(getattr(keys, field))
        )
        for field in _RULE_FIELDS
    }
    source = Source(
        name=keys.name,
        format=form.name,
        secrets=(),
        source=keys.source or f"/import/{keys.name}",
        ignore=tuple(conditions_of(each, form) for each in keys.ignore),
        states=states_of(keys.states, form.default_states),
        **rules,
    )
    return TicketMapping(
        source=source,
        times=TimeReader(tuple(keys.times.format), keys.times.zone),
        format=keys.file.format,
        encoding=keys.file.encoding,
        delimiter=keys.file.delimiter,
        rows=keys.file.rows,
        id=form.parse_path(keys.id),
        updates=None if keys.updates is None else _updates(keys.updates, form),
        key=_optional(keys.key, form),
        title=_optional(keys.title, form),
        status=_optional(keys.status, form),
        opened=_paths(keys.opened, form),
        started=_paths(keys.started, form),
        responded=_paths(keys.responded, form),
        resolved=_paths(keys.resolved, form),
    )


def _form(kind: object) -> SourceFormat:
    return _EXPRESSIONS if kind == "json" else _COLUMNS


def _optional(text: str | None, form: SourceFormat) -> FieldPath | None:
    return None if text is None else form.parse_path(text)


def _paths(texts: Sequence[str] | None, form: SourceFormat) -> FieldPaths:
    return tuple(map(form.parse_path, texts or ()))


def _updates(keys: UpdatesKeys, form: SourceFormat) -> Updates:
    return Updates(
        form.parse_path(keys.path),
        tuple(keys.split or ()),
        form.parse_path(keys.time),
        _optional(keys.text, form),
        conditions_of(keys.public, form),
        conditions_of(keys.support, form),
    )


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """Checks that span several keys; they run even when other keys are wrong."""
    for path, what in _problems(data if isinstance(data, dict) else {}):
        yield Problem(file, place_of(places, path), dotted(path), what)


def _problems(keys: dict[str, object]) -> Iterator[tuple[KeyPath, str]]:
    file = keys.get("file")
    form = _form(file.get("format") if isinstance(file, dict) else None)
    for name in _PATHS:
        yield from _wrong_paths(keys.get(name), (name,), form)
    ignored = keys.get("ignore")
    for index, conditions in enumerate(ignored if isinstance(ignored, list) else []):
        yield from condition_problems(conditions, ("ignore", index), form)
    updates = keys.get("updates")
    if isinstance(updates, dict):
        for name in ("from", "time", "text"):
            yield from _wrong_paths(updates.get(name), ("updates", name), form)
        for name in ("public", "support"):
            yield from condition_problems(updates.get(name), ("updates", name), form)
    for field in _RULE_FIELDS:
        entries = keys.get(field)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from entry_problems(field, entry, (field, index), form)
        if field == "tenants":  # a tenant that is never found gets no credits
            for index in unreachable(entries):
                yield (field, index), f"{NEVER_APPLIES}; allowed: above that"


def _wrong_paths(given: object, place: KeyPath, form: SourceFormat) -> Iterator[tuple[KeyPath, str]]:
    for text in given if isinstance(given, list) else [given]:
        if isinstance(text, str):
            yield from path_problems(text, place, form)
