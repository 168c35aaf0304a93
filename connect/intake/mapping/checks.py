"""Checks of a mapping file that span several keys: keys of each format, paths, tenants."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from pydantic import TypeAdapter, ValidationError

from connect.intake.formats.registry import FORMATS
from connect.intake.formats.source_format import BODY_KEYS, EVENT_KEYS, FEEDBACK_KEYS, INCIDENT_KEYS, SourceFormat
from connect.intake.mapping.body_checks import body_problems, secret_problems
from connect.intake.mapping.entry_checks import NEVER_APPLIES, condition_problems, entry_problems, unreachable
from streams.config_files.problems import KeyPath, Place, Problem, dotted
from streams.config_files.scalars import close_to

#: Keys of a source that are lists of rules.
RULE_FIELDS = ("component", "impact", "tier", "tenants", "summary", "who", "incident")
#: Entries and conditions of a source. A thousand take about a millisecond for each alert or ticket.
MOST_ENTRIES = 2_000
_BOOLEAN = TypeAdapter(bool)
_FORMAT_KEYS = tuple(
    dict.fromkeys(
        (
            *INCIDENT_KEYS,
            "incident",
            "component_incidents",
            "opening_with_updates",
            "monitors",
            *FEEDBACK_KEYS,
            *EVENT_KEYS,
            *BODY_KEYS,
        )
    )
)


def cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """Checks that span several keys; they run even when other keys are wrong."""
    found = data.get("sources") if isinstance(data, dict) else None
    sources = found if isinstance(found, dict) else {}
    names = sorted(map(str, sources))
    for name, keys in sources.items():
        if not isinstance(keys, dict):
            continue
        if (size := _size(keys)) > MOST_ENTRIES:
            what = (
                f"its lists have {size:,} entries and conditions; at most {MOST_ENTRIES:,} are allowed, because each "
                "request is compared with all of them: use tables of `values`, or several sources"
            )
            yield Problem(file, place_of(places, ("sources", name)), dotted(("sources", name)), what)
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


def _size(keys: Mapping[str, object]) -> int:
    """How many entries and conditions the lists of a source have."""
    body = keys.get("body")
    lists = {field: keys.get(field) for field in (*RULE_FIELDS, "ignore")} | (body if isinstance(body, dict) else {})
    size = 0
    for field, entries in lists.items():
        for entry in entries if isinstance(entries, list) else ():
            when = entry if field == "ignore" else entry.get("when") if isinstance(entry, dict) else None
            size += 1 + (len(when) if isinstance(when, dict) else 0)
    return size


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
    yield from secret_problems(keys, here)
    if form.tool_events:
        yield from _feedback_problems(keys, here, form)
    if "body" in form.keys:
        yield from body_problems(keys, here, form)
    for field in (each for each in RULE_FIELDS if each in form.keys):
        entries = keys.get(field)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from entry_problems(field, entry, (*here, field, index), form)
        if field == "tenants":  # a tenant that is never found gets no credits
            for index in unreachable(entries):
                yield (*here, field, index), f"{NEVER_APPLIES}; allowed: above that"
    ignored = keys.get("ignore")
    if _is_true(keys.get("opening_with_updates")) and ignored and "opening_with_updates" in form.keys:
        what = "an update does not say since when `ignore` has not named its ticket; allowed: without `ignore`"
        yield (*here, "opening_with_updates"), what
    for index, each in enumerate(ignored if isinstance(ignored, list) and "ignore" in form.keys else []):
        yield from condition_problems(each, (*here, "ignore", index), form)


def _is_true(value: object) -> bool:
    """Whether a key is true as it is read: `"true"` in quotes is, too."""
    try:
        return _BOOLEAN.validate_python(value)
    except ValidationError:
        return False  # reported by the schema


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


def place_of(places: Mapping[KeyPath, Place], path: KeyPath) -> Place:
    """Where a key is, or what contains it."""
    return next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
