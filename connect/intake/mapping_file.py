"""Reads a mapping file; reports every mistake at once, each with its line."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connect.intake.formats.registry import FORMATS
from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.paths import FieldPath, below_root, parse_path
from connect.intake.mapping.rules import EVERY, IMPACTS, TIERS, Condition, MappingRule, Source, States
from connect.intake.mapping.schema import MappingKeys, MappingRuleKeys, SourceKeys, StatesKeys
from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted
from streams.config_files.scalars import close_to
from streams.config_files.yaml_reader import read_checked

_FIELDS = ("component", "impact", "tier", "tenants", "summary")
_NEVER_APPLIES = "never applies: an entry before it always gives a value"
_ALLOWED_VALUES = {"impact": IMPACTS, "tier": TIERS}


class MappingError(PolicyError):
    """A mapping file that can't be used, with every problem found in it."""


def load_mapping(path: Path) -> dict[str, Source]:
    """The sources of a mapping file by name. Raises MappingError, OSError when it can't be read."""
    document, places = read_checked(path, MappingKeys, _cross_checks, MappingError)
    identities = frozenset(_identity(name, keys) for name, keys in document.sources.items())
    return {name: _source(name, keys, places, identities) for name, keys in document.sources.items()}


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """Checks that span several keys; they run even when other keys are wrong."""
    found = data.get("sources") if isinstance(data, dict) else None
    sources = found if isinstance(found, dict) else {}
    names = sorted(map(str, sources))
    for name, keys in sources.items():
        if not isinstance(keys, dict):
            continue
        for path, what in _source_problems(name, keys):
            yield Problem(file, _place(places, path), dotted(path), what)
        following = bisect_left(names, f"{name}-")
        if keys.get("only_tenants") and following < len(names) and names[following].startswith(f"{name}-"):
            key: KeyPath = ("sources", name, "only_tenants")
            what = f"ids that begin with {name}- may be those of source {names[following]}; allowed: another name"
            yield Problem(file, _place(places, key), dotted(key), what)


def _source_problems(name: str, keys: dict[str, object]) -> Iterator[tuple[KeyPath, str]]:
    form = FORMATS.get(str(keys.get("format")))
    here: KeyPath = ("sources", name)
    if form is None:
        return
    if form.translate is None:
        for key in (*_FIELDS, "ignore", "states", "replay_window"):
            if key in keys:
                yield (*here, key), f"events of format {form.name} carry this themselves; allowed: leaving it out"
        return
    for key in ("allow", "allow_sources"):
        if key in keys:
            yield (
                (*here, key),
                f"a source of format {form.name} publishes incident.* only; allowed: leaving it out",
            )
    for needed in ("component", "impact", "tenants"):
        if not keys.get(needed):
            yield here, f"{needed}: has no entry; allowed: at least one entry"
    for field in _FIELDS:
        entries = keys.get(field)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from _entry_problems(field, entry, (*here, field, index), form)
        if field == "tenants":  # a tenant that is never found gets no credits
            for index in _unreachable(entries):
                yield (*here, field, index), f"{_NEVER_APPLIES}; allowed: above that"
    ignored = keys.get("ignore")
    for index, each in enumerate(ignored if isinstance(ignored, list) else []):
        for path in each if isinstance(each, dict) else ():
            yield from _root_problems(path, (*here, "ignore", index, path), form)


def _unreachable(entries: object) -> Iterator[int]:
    """The places of rules that come after one that always gives a value."""
    always = False
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        if always:
            yield index
        elif not entry.get("when") and ("value" in entry or "scope" in entry):
            always = True


def _entry_problems(
    field: str, entry: dict[str, object], here: KeyPath, form: SourceFormat
) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(entry.get("from"), str):
        yield from _root_problems(str(entry["from"]), (*here, "from"), form)
    when = entry.get("when")
    for path in when if isinstance(when, dict) else ():
        yield from _root_problems(path, (*here, "when", path), form)
    if "scope" in entry and field != "tenants":
        yield (*here, "scope"), f"{field} has no scope; allowed: in tenants only"
    known = _ALLOWED_VALUES.get(field)
    if known is None:
        return
    table = entry.get("values")
    given: list[tuple[KeyPath, object]] = [((*here, "value"), entry["value"])] if "value" in entry else []
    if isinstance(table, dict):
        given += [((*here, "values", key), value) for key, value in table.items()]
    for path, value in given:
        if str(value) not in known:
            yield path, f"{value!r} is not a valid {field}{close_to(str(value), known)}; allowed: {', '.join(known)}"


def _root_problems(path: str, place: KeyPath, form: SourceFormat) -> Iterator[tuple[KeyPath, str]]:
    try:
        names = parse_path(path).names
    except ValueError:
        return  # reported by the schema
    if names[0] not in form.payload_roots:
        allowed = ", ".join(form.payload_roots)
        yield place, f"{path!r} begins with no part of {form.name} payloads that a mapping may use; allowed: {allowed}"
    elif (problem := form.path_problem(names)) is not None:
        yield place, f"{path!r} never matches: {problem}"


def _identity(name: str, keys: SourceKeys) -> str:
    return keys.source or f"/intake/{name}"


def _source(name: str, keys: SourceKeys, places: Mapping[KeyPath, Place], identities: frozenset[str]) -> Source:
    here: KeyPath = ("sources", name)
    form = FORMATS[keys.format]
    fields = {
        field: tuple(
            _mapping_rule(each, _place(places, (*here, field, index)).line, form) for index, each in enumerate(entries)
        )
        for field in _FIELDS
        if (entries := getattr(keys, field))
    }
    return Source(
        name=name,
        format=keys.format,
        secrets=tuple(each.ref() for each in keys.secrets),
        source=_identity(name, keys),
        identities=identities,
        per_second=keys.rate.per_second,
        burst=keys.rate.burst,
        allow=tuple(keys.allow),
        allow_sources=tuple(keys.allow_sources),
        only_tenants=tuple(keys.only_tenants),
        warnings=tuple(_warnings(keys, fields)),
        replay_window=keys.replay_window,
        ignore=tuple(_conditions(each, form) for each in keys.ignore),
        states=_states(keys.states, form.default_states),
        **fields,
    )


def _warnings(keys: SourceKeys, fields: Mapping[str, Sequence[MappingRule]]) -> Iterator[str]:
    for entry, rule in zip(keys.tenants[1:], fields.get("tenants", ())[1:], strict=True):
        if entry.value == EVERY and not entry.when:
            yield (
                f"line {rule.line}: payloads in which no entry before it finds a tenant affect every tenant; "
                "write `scope: platform` if that is meant"
            )
    for field, rules in fields.items():
        always = [index for index, rule in enumerate(rules) if rule.value is not None and not rule.when]
        for rule in rules[always[0] + 1 :] if always else ():
            yield f"line {rule.line}: this entry of {field} {_NEVER_APPLIES}"


def _mapping_rule(keys: MappingRuleKeys, line: int, form: SourceFormat) -> MappingRule:
    table = keys.values
    values = None if table is None else {key if key == EVERY else key.casefold(): to for key, to in table.items()}
    path = None if keys.path is None else _path(keys.path, form)
    return MappingRule(
        line, _conditions(keys.when, form), path, values, EVERY if keys.scope is not None else keys.value
    )


def _conditions(keys: Mapping[str, list[str]], form: SourceFormat) -> tuple[Condition, ...]:
    return tuple(
        Condition(_path(path, form), frozenset(value.casefold() for value in values)) for path, values in keys.items()
    )


def _path(text: str, form: SourceFormat) -> FieldPath:
    path = parse_path(text)
    return below_root(path) if form.dotted_names else path


def _states(keys: StatesKeys, default: States) -> States:
    def of(given: list[str] | None, otherwise: frozenset[str]) -> frozenset[str]:
        return otherwise if given is None else frozenset(value.casefold() for value in given)

    return States(
        resolved=of(keys.resolved, default.resolved),
        waiting_customer=of(keys.waiting_customer, default.waiting_customer),
        waiting_third_party=of(keys.waiting_third_party, default.waiting_third_party),
    )


def _place(places: Mapping[KeyPath, Place], path: KeyPath) -> Place:
    return next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
