"""Checks of single entries of a mapping file: their paths, and the values that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.expressions import ExpressionPath
from connect.intake.mapping.mapping_rule import EVERY
from connect.intake.mapping.rules import IMPACTS, TIERS
from streams.config_files.problems import KeyPath
from streams.config_files.scalars import close_to
from streams.sla.limits import InvalidInputError, check_id

NEVER_APPLIES = "never applies: an entry before it always gives a value"
_ANSWERS = frozenset(["true", "false", EVERY])
#: Fields whose values are ids.
_IDS = frozenset(["component", "tenants"])
_ALLOWED_VALUES = {"impact": IMPACTS, "tier": TIERS}


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
    field: str,
    entry: dict[str, object],
    here: KeyPath,
    form: SourceFormat,
    known: Sequence[str] | None = None,
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with an entry of a field. `known`: the values that it may give; None: those of impact and tier."""
    if isinstance(entry.get("from"), str):
        yield from path_problems(str(entry["from"]), (*here, "from"), form, entry.get("values"))
    yield from condition_problems(entry.get("when"), (*here, "when"), form)
    if "scope" in entry and field != "tenants":
        yield (*here, "scope"), f"{field} has no scope; allowed: in tenants only"
    known = known or _ALLOWED_VALUES.get(field)
    table = entry.get("values")
    given: list[tuple[KeyPath, object]] = [((*here, "value"), entry["value"])] if "value" in entry else []
    if isinstance(table, dict):
        given += [((*here, "values", key), value) for key, value in table.items()]
    for path, value in given:
        if field in _IDS and (problem := _id_problem(str(value))) is not None:
            yield path, problem
        elif known is not None and str(value) not in known:
            yield path, f"{value!r} is not a valid {field}{close_to(str(value), known)}; allowed: {', '.join(known)}"


def _id_problem(value: str) -> str | None:
    """Why a value is no id, so that every event that has it would be rejected. An empty one is reported as such."""
    if value:
        try:
            check_id(value, "it")
        except InvalidInputError as error:
            return f"this is no id, {str(error).replace(': ', ' ', 1)}"
    return None


def condition_problems(conditions: object, here: KeyPath, form: SourceFormat) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with the conditions of `when` or of an entry of `ignore`."""
    for path, values in conditions.items() if isinstance(conditions, dict) else ():
        yield from path_problems(path, (*here, path), form, values)


def path_problems(
    text: str, place: KeyPath, form: SourceFormat, values: object = None
) -> Iterator[tuple[KeyPath, str]]:
    """Why a path is wrong, or never has one of the `values` that an entry looks for (a list, a table's keys, one)."""
    try:
        path = form.parse_path(text)
    except ValueError as error:
        yield place, str(error)
        return
    if form.payload_roots and path.names[0] not in form.payload_roots:
        allowed = ", ".join(form.payload_roots)
        yield place, f"{text!r} begins with no part of {form.name} payloads that a mapping may use; allowed: {allowed}"
    elif (problem := form.path_problem(path.names)) is not None:
        yield place, f"{text!r} never matches: {problem}"
    elif isinstance(path, ExpressionPath) and path.true_or_false and values is not None:
        for each in values if isinstance(values, list | dict) else [values]:
            if str(each).lower() not in _ANSWERS:
                yield place, f"{text!r} is never {each!r}; allowed: true, false"
