"""What a setting allows, as text: for messages about wrong values and for docs/configuration.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator
from pydantic.fields import FieldInfo

from streams.config_files.scalars import parse_duration, positive

#: An ISO 8601 duration (PT5M, P35D) as microseconds.
Duration = Annotated[int, BeforeValidator(parse_duration)]
#: The same, above zero.
PositiveDuration = Annotated[int, BeforeValidator(parse_duration), AfterValidator(positive)]


def about(*, unit: str = "", allowed: str = "", example: str = "") -> dict[str, Any]:
    """For `json_schema_extra` of a field: the unit of a number, what is allowed where the type does not tell, and an
    example where the default is none."""
    return {"unit": unit, "allowed": allowed, "example": example}


def is_secret(field: FieldInfo) -> bool:
    """Whether the value must appear nowhere; it can be read from a file as well."""
    return not field.repr


def allowed_values(field: FieldInfo) -> str:
    """What is allowed, such as `a whole number of records, at least 1`; empty for any text."""
    if declared := _about(field)["allowed"]:
        return declared
    kind, literals = _kind(field.annotation)
    if any(isinstance(each, BeforeValidator) and each.func is parse_duration for each in field.metadata):
        above = any(isinstance(each, AfterValidator) and each.func is positive for each in field.metadata)
        return "an ISO 8601 duration" + (" above PT0S" if above else "")
    if literals:
        return ", ".join(map(str, literals))
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        unit = _about(field)["unit"]
        number = "a whole number" if kind is int else "a number"
        return number + (f" of {unit}" if unit else "") + _range(field)
    return "a path" if kind is Path else ""


def default_text(field: FieldInfo) -> str:
    """The default as an environment variable would have it; empty for none."""
    default = field.get_default()
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None or default in ("", {}, ()) else str(default)


def example_text(field: FieldInfo) -> str:
    """A value that is allowed."""
    return _about(field)["example"] or default_text(field)


def _about(field: FieldInfo) -> Mapping[str, str]:
    extra = field.json_schema_extra
    return about() | (cast(dict[str, str], extra) if isinstance(extra, dict) else {})


def _kind(annotation: object) -> tuple[object, tuple[object, ...]]:
    """The type without None, and the values of a Literal."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _kind(next(each for each in get_args(annotation) if each is not NoneType))
    if get_origin(annotation) is Literal:
        return None, get_args(annotation)
    return annotation, ()


def _range(field: FieldInfo) -> str:
    lowest = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    highest = next((each.le for each in field.metadata if hasattr(each, "le")), None)
    if lowest is not None and highest is not None:
        return f", {lowest} to {highest}"
    return f", at least {lowest}" if lowest is not None else ""
