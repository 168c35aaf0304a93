"""Any record of any type survives Avro and JSON unchanged (Hypothesis, straight from the schemas)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import registry
from streams.serde.cloudevents_json import format_line, from_json, parse_line, to_json
from streams.serde.codec import decode, encode
from streams.sla.events import Rejection
from streams.sla.instants import LATEST

TYPES = sorted(name for name in registry.load().latest if not name.startswith("state."))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LONG = st.integers(-(2**63), 2**63 - 1)
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "bytes": st.binary(max_size=20),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONG,
    "double": st.floats(allow_nan=False, allow_infinity=False),
}
NEEDED_TEXTS = {"event_id", "source", "subject"}


def values(schema: Any, name: str, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([st.none() if branch == "null" else values(branch, name, named) for branch in schema])
    if isinstance(schema, str):
        if name in NEEDED_TEXTS:
            return TEXT.filter(bool)
        return PLAIN[schema] if schema in PLAIN else named[schema]
    if schema.get("logicalType") == "timestamp-micros":
        return st.integers(0, LATEST)
    match schema["type"]:
        case "array":
            return st.lists(values(schema["items"], name, named), max_size=4)
        case "enum":
            made: st.SearchStrategy[Any] = st.sampled_from(schema["symbols"])
        case "record":
            made = records(schema, named)
        case plain:
            return values(plain, name, named)
    named[schema["name"]] = made
    return made


def records(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {field["name"]: values(field["type"], field["name"], named) for field in schema["fields"]}
    return st.fixed_dictionaries(fields)


RECORDS = {name: records(registry.load().latest[name].definition, {}) for name in TYPES}


@pytest.mark.parametrize("event_type", TYPES)
@settings(max_examples=settings.default.max_examples * 2 // 5)  # of each type
@given(data=st.data())
def test_round_trips(event_type: str, data: st.DataObject) -> None:
    record = data.draw(RECORDS[event_type])
    assert decode(encode(event_type, record)) == (event_type, record)
    obj = to_json(event_type, record)
    assert from_json(obj) == (event_type, record)
    assert parse_line(format_line(obj)) == (event_type, record)


@given(st.binary(max_size=200), st.sampled_from(TYPES), st.booleans())
def test_no_bytes_raise(tail: bytes, event_type: str, framed: bool) -> None:
    head = b"\xc3\x01" + registry.load().latest[event_type].fingerprint if framed else b""
    result = decode(head + tail)
    if not isinstance(result, Rejection):
        format_line(to_json(*result))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data(), event_type=st.sampled_from(TYPES), value=JSON)
def test_no_json_raises(data: st.DataObject, event_type: str, value: object) -> None:
    obj: dict[str, Any] = to_json(event_type, data.draw(RECORDS[event_type]))
    place = obj["data"] if obj["data"] and data.draw(st.booleans()) else obj
    place[data.draw(st.sampled_from(sorted(place)))] = value
    result = from_json(obj)
    if not isinstance(result, Rejection):
        encode(*result)
