"""What is wrong in a policy file, reported with file, line, key and the allowed values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from streams.config_files import scalars as form
from streams.config_files.scalars import close_to

KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `what` ends in `; allowed: …` where something else is allowed; `key` is empty for a whole file."""

    file: str
    place: Place
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}: {self.key + ': ' if self.key else ''}{self.what}"


class PolicyError(ValueError):
    """Policy files that can't be used, with every problem found in them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda p: (p.file, p.place, p.key)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: KeyPath) -> str:
    """rules[2].when.tier[0]"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def problems_of(
    error: ValidationError, model: type[BaseModel], file: str, places: Mapping[KeyPath, Place], *, limit: int
) -> list[Problem]:
    """Pydantic's errors, the first `limit` of them, as messages for people who write policies."""
    found = []
    for detail in error.errors(include_url=False)[:limit]:
        path = tuple(part for part in detail["loc"] if part != "[key]")
        place = next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
        found.append(Problem(file, place, dotted(path), _words(detail, model, path)))
    return found


def _words(detail: ErrorDetails, model: type[BaseModel], path: KeyPath) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        known = list(_keys_at(model, path[:-1]))
        return f"unknown key{close_to(str(path[-1]), known)}; allowed: {', '.join(known)}"
    if kind == "missing":
        fields = _keys_at(model, path[:-1])
        meaning = (fields[str(path[-1])].description or "").rstrip(".")
        return f"this key is missing; allowed: a value ({meaning[:1].lower() + meaning[1:]})"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'|(\d+)", str(context["expected"]))
        known = [text or number for text, number in words]
        return f"{_shown(value)} is unknown here{close_to(str(value), known)}; allowed: {', '.join(known)}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{_shown(value)} has an invalid format; allowed: {FORMS.get(pattern, pattern)}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'{_shown(value)} is not a text; allowed: quotes, "{_shown(value)}"'
    if kind in EXPECTED:
        return f"{_shown(value)} has the wrong type; allowed: {EXPECTED[kind]}"
    if kind in {"too_short", "string_too_short"}:
        return "this is empty; allowed: at least one " + ("entry" if kind == "too_short" else "character")
    if kind == "string_too_long":
        return f"this has {len(value)} characters; allowed: at most {context['max_length']}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"{_shown(value)} is out of bounds; allowed: {bound}"
    return detail["msg"]


EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list, [a, b]",
    "dict_type": "keys with values",
    "model_type": "keys with values",
}

FORMS = {
    form.COMPONENT_ID: "lower-case letters, digits, `_`, `.` and `-`, at most 128",
    form.RULE_NAME: "lower-case letters, digits, `_` and `-`, at most 64",
    form.POLICY_NAME: "lower-case letters, digits and `-`, at most 64",
    form.VERSION: "letters, digits, `.`, `_` and `-`, at most 64",
    form.HOLIDAYS: "an ISO 3166 country in capitals such as JP, or country-subdivision such as US-CA",
}


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else repr(value)[:80]


def _keys_at(model: type[BaseModel], path: KeyPath) -> Mapping[str, FieldInfo]:
    """The keys that the mapping at a key path may have, as the file has them."""
    here: Any = model
    for part in path:
        plain = _plain_type(here)
        here = get_args(plain)[-1] if get_origin(plain) in {list, dict} else _keys_of(plain)[str(part)].annotation
    return _keys_of(_plain_type(here))


def _keys_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _plain_type(annotation: Any) -> Any:
    """A type without the Annotated and Optional around it."""
    while get_origin(annotation) not in {None, list, dict}:
        annotation = next(arg for arg in get_args(annotation) if arg is not NoneType)
    return annotation
