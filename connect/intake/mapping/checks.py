"""Checks of a mapping file that span several keys: keys of each format, paths, tenants."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from connect.intake.formats.registry import FORMATS
from connect.intake.formats.source_format import EVENT_KEYS, FEEDBACK_KEYS, INCIDENT_KEYS, SourceFormat
from connect.intake.mapping.paths import parse_path
from connect.intake.mapping.rules import IMPACTS, TIERS
from streams.config_files.problems import KeyPath, Place, Problem, dotted
from streams.config_files.scalars import close_to

#: Keys of a source that are lists of rules.
RULE_FIELDS = ("component", "impact", "tier", "tenants", "summary", "who", "incident")
NEVER_APPLIES = "never applies: an entry before it always gives a value"
_FORMAT_KEYS = tuple(dict.fromkeys((*INCIDENT_KEYS, "incident", "component_incidents", *FEEDBACK_KEYS, *EVENT_KEYS)))
_ALLOWED_VALUES = {"impact": IMPACTS, "tier": TIERS}


def cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """Checks that span several keys; they run even when other keys are wrong."""
    found = data.get("sources") if isinstance(data, dict) else None
    sources = found if isinstance(found, dict) else {}
    names = sorted(map(str, sources))
    for name, keys in sources.items():
        if not isinstance(keys, dict):
            continue
        for path, what in _source_problems(name, keys):
            yield Problem(file, place_of(places, path), dotted(path), what)
        following = bisect_left(names, f"{name}-")
        if keys.get("only_tenants") and following < len(names) and names[following].startswith(f"{name}-"):
            key: KeyPath = ("sources", name, "only_tenants")
            what = f"ids that begin with {name}- may be those of source {names[following]}; allowed: another name"
            yield Problem(file, place_of(places, key), dotted(key), what)
        if _reaches_nothing(name, sources):
            key = ("sources", name, "only_tenants")
            what = "no other source is limited to these tenants, so it reaches no incident; allowed: leaving it out"
            yield Problem(file, place_of(places, key), dotted(key), what)


def _reaches_nothing(name: str, sources: Mapping[str, object]) -> bool:
    """Whether a source of feedback is limited to tenants that no source of incidents is limited to."""

    keys = sources[name]
    form = FORMATS.get(str(keys.get("format"))) if isinstance(keys, dict) else None
    own = _only_tenants(keys)
    if form is None or not form.tool_events or not own:
        return False
    others = [_only_tenants(its) for each, its in sources.items() if each != name]
    return not any(its and own >= its for its in others)


def _only_tenants(keys: object) -> set[str]:
    given = keys.get("only_tenants") if isinstance(keys, dict) else None
    return {str(each) for each in given} if isinstance(given, list) else set()


def _source_problems(name: str, keys: dict[str, object]) -> Iterator[tuple[KeyPath, str]]:
    form = FORMATS.get(str(keys.get("format")))
    here: KeyPath = ("sources", name)
    if form is None:
        return
    for key in _FORMAT_KEYS:
        if key in keys and key not in form.keys:
            yield (*here, key), _unused(key, form)
    for needed in form.required_keys:
        if not keys.get(needed):
            yield here, f"{needed}: has no entry; allowed: at least one entry"
    if form.tool_events:
        yield from _feedback_problems(keys, here, form)
    for field in (each for each in RULE_FIELDS if each in form.keys):
        entries = keys.get(field)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from entry_problems(field, entry, (*here, field, index), form)
        if field == "tenants":  # a tenant that is never found gets no credits
            for index in unreachable(entries):
                yield (*here, field, index), f"{NEVER_APPLIES}; allowed: above that"
    ignored = keys.get("ignore")
    for index, each in enumerate(ignored if isinstance(ignored, list) and "ignore" in form.keys else []):
        for path in each if isinstance(each, dict) else ():
            yield from _root_problems(path, (*here, "ignore", index, path), form)


def _unused(key: str, form: SourceFormat) -> str:
    """Why a source of a format has no such key."""
    if key in EVENT_KEYS:
        publishes = ", ".join(form.publishes)
        return f"a source of format {form.name} publishes {publishes} only; allowed: leaving it out"
    if form.translate is None and key in INCIDENT_KEYS:
        return f"events of format {form.name} carry this themselves; allowed: leaving it out"
    return f"a source of format {form.name} has no use for it; allowed: leaving it out"


def _feedback_problems(keys: dict[str, object], here: KeyPath, form: SourceFormat) -> Iterator[tuple[KeyPath, str]]:
    events = keys.get("events")
    for name in events if isinstance(events, dict) else ():
        if name not in form.tool_events:
            near = close_to(str(name), form.tool_events)
            allowed = ", ".join(form.tool_events)
            yield (*here, "events", name), f"{name!r} is no event of {form.name}{near}; allowed: {allowed}"
    who = keys.get("who")
    for index, entry in enumerate(who if isinstance(who, list) else []):
        if isinstance(entry, dict) and "value" in entry:
            what = "a person who is the same for everybody; allowed: `from` with a path, and `values`"
            yield (*here, "who", index, "value"), what


def unreachable(entries: object) -> Iterator[int]:
    """The places of rules that come after one that always gives a value."""
    always = False
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        if always:
            yield index
        elif not entry.get("when") and ("value" in entry or "scope" in entry):
            always = True


def entry_problems(
    field: str, entry: dict[str, object], here: KeyPath, form: SourceFormat
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with an entry of a field."""
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
    if form.payload_roots and names[0] not in form.payload_roots:
        allowed = ", ".join(form.payload_roots)
        yield place, f"{path!r} begins with no part of {form.name} payloads that a mapping may use; allowed: {allowed}"
    elif (problem := form.path_problem(names)) is not None:
        yield place, f"{path!r} never matches: {problem}"


def place_of(places: Mapping[KeyPath, Place], path: KeyPath) -> Place:
    """Where a key is, or what contains it."""
    return next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
