"""Records between JSON and Avro: a schema compiled once to its fields, then used per event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, cast

from streams.serde.json_values import (
    Boolean,
    Choice,
    Converter,
    Double,
    Duration,
    Instant,
    Integer,
    SchemaMismatchError,
    String,
    shown,
)

_PLAIN: dict[str, Converter] = {
    "string": String(),
    "boolean": Boolean(),
    "int": Integer(32),
    "long": Integer(64),
    "double": Double(),
}
_ABSENT = object()

WriteJson = Callable[[Mapping[str, object]], dict[str, object]]
#: Texts that people write and read: a broken character in them is replaced; the event is accepted.
TEXTS_FOR_PEOPLE = frozenset(["summary", "text", "reason"])
_TEXT_FOR_PEOPLE = String(repairs=True)


class Array:
    """An array."""

    def __init__(self, items: Converter) -> None:
        self._items = items
        self._convert = _conversion(items)

    def from_json(self, value: object, path: str) -> list[object]:
        if not isinstance(value, list):
            raise SchemaMismatchError(path, f"expected an array, got {shown(value)}")
        return [self._items.from_json(item, f"{path}[{index}]") for index, item in enumerate(value)]

    def to_json(self, value: object) -> object:
        items, convert = cast(list[object], value), self._convert
        return list(items) if convert is None else [convert(item) for item in items]


class Nullable:
    """A union with null."""

    def __init__(self, converter: Converter) -> None:
        self.inner = converter

    def from_json(self, value: object, path: str) -> object:
        return None if value is None else self.inner.from_json(value, path)

    def to_json(self, value: object) -> object:
        return None if value is None else self.inner.to_json(value)


class Field(NamedTuple):
    """A field of a record. One whose default is null is left out of JSON where it is null; other nulls are written."""

    name: str
    converter: Converter
    has_default: bool
    default: object

    @property
    def nested(self) -> tuple[Field, ...]:
        """The fields of the nested record; none when the field is not a record."""
        converter = self.converter.inner if isinstance(self.converter, Nullable) else self.converter
        return converter.fields if isinstance(converter, NestedRecord) else ()

    def read_from(self, data: Mapping[str, object], path: str) -> object:
        """The field's Avro value from the JSON object; its default where it is absent."""
        value = data.get(self.name, _ABSENT)
        if value is _ABSENT:
            if not self.has_default:
                raise SchemaMismatchError(f"{path}.{self.name}", "is missing")
            return list(self.default) if isinstance(self.default, list) else self.default
        return self.converter.from_json(value, f"{path}.{self.name}")


class NestedRecord:
    """A nested record."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._write = json_writer(fields)

    def from_json(self, value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            names = ", ".join(field.name for field in self.fields)
            raise SchemaMismatchError(path, f"expected an object with {names}, got {shown(value)}")
        return {field.name: field.read_from(value, path) for field in self.fields}

    def to_json(self, value: object) -> object:
        return self._write(cast(Mapping[str, object], value))


def json_writer(fields: Iterable[Field]) -> WriteJson:
    """Writes records of these fields as JSON objects, in their order."""
    steps = tuple((each.name, each.default, each.has_default, _conversion(each.converter)) for each in fields)

    def write(record: Mapping[str, object]) -> dict[str, object]:
        data: dict[str, object] = {}
        for name, default, has_default, convert in steps:
            value = record.get(name, default)
            if value is not None:
                data[name] = value if convert is None else convert(value)
            elif not has_default:
                data[name] = None
        return data

    return write


def _conversion(converter: Converter) -> Callable[[object], object] | None:
    """What makes JSON of a value that is not null; None where it is the value itself."""
    if isinstance(converter, Nullable):
        return _conversion(converter.inner)
    return None if isinstance(converter, Boolean | Choice | Double | Integer | String) else converter.to_json


def compile_fields(schema: Mapping[str, object]) -> tuple[Field, ...]:
    """The fields of a record schema (as in its file, with logical types)."""
    return _fields(schema, {})


def _fields(schema: Mapping[str, object], named: dict[str, Converter]) -> tuple[Field, ...]:
    fields = []
    for field in cast(list[Mapping[str, object]], schema["fields"]):
        name = cast(str, field["name"])
        converter = _kind(field["type"], name, named)
        fields.append(Field(name, converter, "default" in field, field.get("default")))
    return tuple(fields)


def _kind(schema: object, name: str, named: dict[str, Converter]) -> Converter:
    if isinstance(schema, list):
        (inner,) = [branch for branch in schema if branch != "null"]
        return Nullable(_kind(inner, name, named))
    if schema == "string" and name in TEXTS_FOR_PEOPLE:
        return _TEXT_FOR_PEOPLE
    if isinstance(schema, str):
        return Duration() if schema == "long" and name.endswith("_s") else _PLAIN.get(schema) or named[schema]
    definition = cast(Mapping[str, object], schema)
    if definition.get("logicalType") == "timestamp-micros":
        return Instant()
    converter: Converter
    match definition["type"]:
        case "array":
            return Array(_kind(definition["items"], name, named))
        case "enum":
            converter = Choice(cast(list[str], definition["symbols"]), cast(str | None, definition.get("default")))
        case "record":
            converter = NestedRecord(_fields(definition, named))
        case plain:
            return _kind(plain, name, named)
    named[cast(str, definition["name"])] = converter
    return converter
