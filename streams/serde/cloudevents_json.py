"""The JSON form of events: CloudEvents structured-mode objects to Avro records and back, following the schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, NoReturn, cast

from schemas import registry as schema_registry
from streams.serde.json_records import Field, WriteJson, compile_fields, json_writer
from streams.serde.json_values import SchemaMismatchError, String, instant_from_json, instant_to_json
from streams.sla.events import Rejection

Fields = dict[str, object]

_ENVELOPE = frozenset(
    ["event_id", "source", "subject", "occurred_at", "received_time", "backfill", "traceparent"],
)
_STRING = String()
_MISSING = object()
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class _Form(NamedTuple):
    data: tuple[Field, ...]
    has_received_time: bool
    write: WriteJson


@lru_cache(maxsize=1)
def _forms() -> Mapping[str, _Form]:
    forms = {}
    for name, schema in schema_registry.load().latest.items():
        if name.startswith("state."):
            continue
        fields = compile_fields(schema.definition)
        names = {field.name for field in fields}
        data = tuple(field for field in fields if field.name not in _ENVELOPE)
        forms[name] = _Form(data, "received_time" in names, json_writer(data))
    return forms


def from_json(obj: object, *, inputs_only: bool = False) -> tuple[str, Fields] | Rejection:
    """Event type and record of a CloudEvents structured-mode object, or why it is refused.

    Codes: `unknown_type`, `invalid` (names the field and what is expected). Attributes and data fields that the
    contract doesn't know are ignored, as CloudEvents asks. Absent optional fields get their defaults, so that the
    record is the one that Avro would give. With `inputs_only`, types that only this product writes are unknown.
    """
    if not isinstance(obj, dict):
        return Rejection("invalid", f"expected a CloudEvents object, got {_kind(obj)}")
    given_id = obj.get("id")
    event_id = given_id if isinstance(given_id, str) and _is_unicode(given_id) else None
    event_type = obj.get("type", _MISSING)
    try:
        if obj.get("specversion", _MISSING) != "1.0":
            raise SchemaMismatchError("specversion", 'expected "1.0"')
        if not isinstance(event_type, str):
            raise SchemaMismatchError("type", "expected an event type such as incident.opened")
        form = _forms().get(event_type)
        if form is None:
            return Rejection("unknown_type", f"type: {event_type!r} is not an event type of the contract", event_id)
        if inputs_only and not form.has_received_time:
            return Rejection("unknown_type", f"type: {event_type!r} is an output; others do not publish it", event_id)
        record: Fields = {
            "event_id": _required_text(obj, "id"),
            "source": _required_text(obj, "source"),
            "subject": _required_text(obj, "subject"),
            "occurred_at": instant_from_json(_required_text(obj, "time"), "time"),
        }
        if form.has_received_time:
            received = _optional_text(obj, "receivedtime")
            record["received_time"] = None if received is None else instant_from_json(received, "receivedtime")
        record["backfill"] = _backfill(obj.get("backfill"))
        record["traceparent"] = _optional_text(obj, "traceparent")
        data = obj.get("data", _MISSING)
        if not isinstance(data, dict):
            raise SchemaMismatchError("data", "expected an object with the fields of the event")
        for field in form.data:
            record[field.name] = field.read_from(data, "data")
    except SchemaMismatchError as mismatch:
        return Rejection("invalid", str(mismatch), event_id)
    return event_type, record


def data_fields(event_type: object) -> tuple[Field, ...] | None:
    """The fields of `data` of an event type, or None for an unknown type."""
    form = _forms().get(event_type) if isinstance(event_type, str) else None
    return None if form is None else form.data


def data_to_json(event_type: str, record: Mapping[str, object]) -> dict[str, object]:
    """The `data` object alone of a record's JSON form. Raises KeyError for an unknown type."""
    return _forms()[event_type].write(record)


def to_json(event_type: str, record: Mapping[str, object]) -> dict[str, object]:
    """The CloudEvents structured-mode object of a record. Raises KeyError for an unknown type.

    Absent optional fields are left out. Values are what json.dumps takes, except a duration of more than 31 years with
    a fraction of a second: a Decimal, as no float holds it; `format_line` writes both.
    """
    form = _forms()[event_type]
    result: dict[str, object] = {
        "specversion": "1.0",
        "id": record["event_id"],
        "type": event_type,
        "source": record["source"],
        "subject": record["subject"],
        "time": instant_to_json(cast(int, record["occurred_at"])),
    }
    if record.get("received_time") is not None:
        result["receivedtime"] = instant_to_json(cast(int, record["received_time"]))
    if record.get("backfill"):
        result["backfill"] = True
    if record.get("traceparent") is not None:
        result["traceparent"] = record["traceparent"]
    result["data"] = form.write(record)
    return result


def parse_line(text: str, *, inputs_only: bool = False) -> tuple[str, Fields] | Rejection:
    """Event type and record of one JSON line; `undecodable` names the column of what is not JSON."""
    obj = json_of(text)
    return obj if isinstance(obj, Rejection) else from_json(obj, inputs_only=inputs_only)


def json_of(line: str) -> object:
    """The JSON value of a line, numbers exact, or the Rejection of what is not JSON, which names the column. A byte
    order mark at the start is skipped."""
    try:
        text = line.removeprefix("\ufeff")
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=unique_object)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        return Rejection("undecodable", f"not JSON: {error.msg} at {where}")
    except RecursionError:
        return Rejection("undecodable", "not JSON of an event: nested too deeply")
    except (ValueError, ArithmeticError) as error:
        return Rejection("undecodable", f"not JSON of an event: {error}")


def format_line(obj: object) -> str:
    """One line of JSON, keys in the order given, non-ASCII text as it is, numbers exact."""
    try:
        return _ENCODER.encode(obj)  # much faster, but it does not know Decimal
    except TypeError:
        return _format_with_decimals(obj)


def _format_with_decimals(obj: object) -> str:
    if isinstance(obj, dict):
        items = (f"{_ENCODER.encode(str(key))}: {_format_with_decimals(value)}" for key, value in obj.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(obj, list | tuple):
        return "[" + ", ".join(map(_format_with_decimals, obj)) + "]"
    if isinstance(obj, Decimal):
        return format(obj, "f")
    return _ENCODER.encode(obj)


def _required_text(obj: Mapping[str, object], name: str) -> str:
    if name not in obj:
        raise SchemaMismatchError(name, "is missing; expected a text")
    text = _STRING.from_json(obj[name], name)
    if not text:
        raise SchemaMismatchError(name, "is empty")
    return text


def _optional_text(obj: Mapping[str, object], name: str) -> str | None:
    value = obj.get(name)
    return None if value is None else _STRING.from_json(value, name)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _backfill(value: object) -> bool:
    if value is None or value is False or value == "false":
        return False
    if value is True or value == "true":
        return True
    raise SchemaMismatchError("backfill", f"expected true or false, got {json.dumps(value, default=str)}")


class RepeatedKeyError(ValueError):
    """An object has a key twice: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the key {name[:60]!r} appears twice in one object")
        self.name = name


def unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """For `json.loads`: an object with unique keys. Raises RepeatedKeyError."""
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise RepeatedKeyError(name)
        result[name] = value
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case str():
            return "a text"
        case list():
            return "an array"
        case _:
            return "a number or truth value"
