"""Reads a mapping file: every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from connect.intake.formats import jira, zendesk
from connect.intake.mapping.rules import EVERY, IMPACTS, TIERS, Condition, Entry, Source, States
from connect.intake.mapping.schema import EntryKeys, MappingKeys, SourceKeys, StatesKeys, conditions
from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted
from streams.config_files.scalars import close_to
from streams.config_files.yaml_reader import read_checked

_FIELDS = ("component", "impact", "tier", "tenants", "summary")
_KNOWN = {"impact": IMPACTS, "tier": TIERS}
#: What paths may begin with: what identity rests on, so that repeats say the same (R1).
_ROOTS = {
    "alertmanager": ("labels", "annotations"),
    "zendesk": ("detail", "account_id", "subject", "type"),
    "jira": ("issue",),
}


class MappingError(PolicyError):
    """A mapping file that can't be used, with every problem found in it."""


def load_mapping(path: Path) -> dict[str, Source]:
    """The sources of a mapping file by name. Raises MappingError, OSError when it can't be read."""
    document, places = read_checked(path, MappingKeys, _cross_checks, MappingError)
    sources = {name: _source(name, keys, places) for name, keys in document.sources.items()}
    speaking = {each.source for each in sources.values()}
    return {name: replace(each, others=frozenset(speaking - {each.source})) for name, each in sources.items()}


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """What spans several keys, told even when other keys are wrong."""
    sources = data.get("sources") if isinstance(data, dict) else None
    for name, keys in sources.items() if isinstance(sources, dict) else ():
        if not isinstance(keys, dict):
            continue
        for path, what in _of_source(name, keys):
            yield Problem(file, _place(places, path), dotted(path), what)


def _of_source(name: str, keys: dict[str, object]) -> Iterator[tuple[KeyPath, str]]:
    form = keys.get("format")
    here: KeyPath = ("sources", name)
    if form == "api":
        for key in (*_FIELDS, "ignore", "states", "replay_window"):
            if key in keys:
                yield (*here, key), "events of format api say this themselves; allowed: leaving it out"
        return
    if form not in _ROOTS:
        return
    if "allow" in keys:
        yield (*here, "allow"), f"a source of format {form} publishes incident.* only; allowed: leaving it out"
    for needed in ("component", "impact", "tenants"):
        if not keys.get(needed):
            yield here, f"{needed}: says nothing; allowed: at least one entry"
    for field in _FIELDS:
        entries = keys.get(field)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from _of_entry(field, entry, (*here, field, index), str(form))
    ignored = keys.get("ignore")
    for index, each in enumerate(ignored if isinstance(ignored, list) else []):
        for path in each if isinstance(each, dict) else ():
            yield from _rooted(path, (*here, "ignore", index, path), str(form))


def _of_entry(field: str, entry: dict[str, object], here: KeyPath, form: str) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(entry.get("from"), str):
        yield from _rooted(str(entry["from"]), (*here, "from"), form)
    when = entry.get("when")
    for path in when if isinstance(when, dict) else ():
        yield from _rooted(path, (*here, "when", path), form)
    known = _KNOWN.get(field)
    if known is None:
        return
    table = entry.get("values")
    given: list[tuple[KeyPath, object]] = [((*here, "value"), entry["value"])] if "value" in entry else []
    if isinstance(table, dict):
        given += [((*here, "values", key), value) for key, value in table.items()]
    for path, value in given:
        if str(value) not in known:
            yield path, f"{value!r} is no {field}{close_to(str(value), known)}; allowed: {', '.join(known)}"


def _rooted(path: str, place: KeyPath, form: str) -> Iterator[tuple[KeyPath, str]]:
    roots = _ROOTS[form]
    if path.partition(".")[0] not in roots:
        allowed = ", ".join(f"{root}.…" for root in roots)
        yield place, f"{path!r} begins with nothing that payloads of {form} are mapped by; allowed: {allowed}"


def _source(name: str, keys: SourceKeys, places: Mapping[KeyPath, Place]) -> Source:
    here: KeyPath = ("sources", name)
    fields = {
        field: tuple(_entry(each, _place(places, (*here, field, index)).line) for index, each in enumerate(entries))
        for field in _FIELDS
        if (entries := getattr(keys, field))
    }
    return Source(
        name=name,
        format=keys.format,
        secrets=tuple(each.ref() for each in keys.secrets),
        source=keys.source or f"/intake/{name}",
        per_second=keys.rate.per_second,
        burst=keys.rate.burst,
        allow=tuple(keys.allow),
        replay_window=keys.replay_window,
        ignore=tuple(_conditions(each) for each in keys.ignore),
        states=_states(keys.states, {"zendesk": zendesk.STATES, "jira": jira.STATES}.get(keys.format, States())),
        others=frozenset(),
        **fields,
    )


def _entry(keys: EntryKeys, line: int) -> Entry:
    table = keys.values
    values = None if table is None else {key if key == EVERY else key.casefold(): to for key, to in table.items()}
    return Entry(line, _conditions(keys.when), keys.path, values, keys.value)


def _conditions(keys: Mapping[str, list[str]]) -> tuple[Condition, ...]:
    return tuple(Condition(path, values) for path, values in conditions(dict(keys)).items())


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
