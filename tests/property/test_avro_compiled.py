"""Compiled writers and readers do what fastavro does: the same bytes, the same records, the same refusals."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import registry
from streams.serde.codec import Codec, decode, encode
from streams.serde.compiled import is_position
from streams.serde.compiled_reader import reader_of
from streams.serde.compiled_writer import ENVELOPE, output_writer_of, values_writer_of, writer_of
from streams.sla.events import Output, Rejection
from tests.property.test_codec_roundtrip import JSON, records

LATEST = registry.load().latest
ALL = {name: records(LATEST[name].definition, {}) for name in LATEST if name != "state.applied"}
NAMES = sorted(ALL)
HEADS = {name: b"\xc3\x01" + LATEST[name].fingerprint for name in ALL}


def written(name: str, record: dict[str, Any]) -> bytes:
    """By fastavro, with its head."""
    stream = BytesIO(HEADS[name])
    stream.seek(10)
    schemaless_writer(stream, LATEST[name].parsed, record)
    return stream.getvalue()


def read(name: str, value: bytes) -> object:
    """By fastavro: a record, or its refusal."""
    stream = BytesIO(value)
    stream.seek(10)
    try:
        record = schemaless_reader(stream, LATEST[name].parsed, None)
    except Exception as error:
        return type(error).__name__
    return record if stream.tell() == len(value) else "left over"


def refused(name: str, value: bytes) -> object:
    """What the codec says, in the terms of `read`."""
    found = decode(value)
    if not isinstance(found, Rejection):
        return found[1] if found[0] == name else found[0]
    assert found.code == "undecodable"
    return "left over" if "left over" in found.message else found.message.split(": ")[1]


CODEC = Codec()


def as_values(schema: Any, record: dict[str, Any]) -> tuple[Any, ...]:
    """The record for `Codec.encode_values`; what does not fit stays as it is."""
    found = []
    for field in schema["fields"]:
        value, kind = record[field["name"]], field["type"]
        items = kind.get("items") if isinstance(kind, dict) else None
        if isinstance(items, dict) and items["type"] == "record" and not is_position(items) and isinstance(value, list):
            names = [each["name"] for each in items["fields"]]
            fits = [isinstance(item, dict) and {*item} == {*names} for item in value]
            value = [as_values(items, item) if fit else item for fit, item in zip(fits, value, strict=True)]
        found.append(value)
    return tuple(found)


def check_values(name: str, record: dict[str, Any], expected: bytes) -> None:
    """Values in the order of the fields give the same bytes."""
    schema = LATEST[name]
    write, values = values_writer_of(schema.fingerprint, schema.parsed), as_values(schema.parsed, record)
    assert write is not None
    assert write(HEADS[name], values) == expected
    tuples = tuple(tuple(value) if isinstance(value, list) else value for value in values)
    assert CODEC.encode_values(name, tuples) == CODEC.encode_values(name, values) == expected


def check_output(name: str, record: dict[str, Any], expected: bytes) -> None:
    """An output gives the same bytes."""
    schema = LATEST[name]
    write = output_writer_of(schema.fingerprint, schema.parsed)
    assert write is not None
    rest = {key: value for key, value in record.items() if key not in ENVELOPE}
    id_, source, subject, time, backfill, traceparent = envelope = [record[key] for key in ENVELOPE]
    assert write(HEADS[name], *envelope, rest) == expected
    assert CODEC.encode_output(Output(name, id_, subject, time, rest, backfill, traceparent), source)[0] == expected


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=settings.default.max_examples * 2 // 5)  # of each type
@given(data=st.data())
def test_the_same_bytes_and_records(name: str, data: st.DataObject) -> None:
    record, schema = data.draw(ALL[name]), LATEST[name]
    write, reader = writer_of(schema.fingerprint, schema.parsed), reader_of(schema.fingerprint, schema.parsed)
    assert write is not None
    assert reader is not None
    expected = written(name, record)
    assert write(HEADS[name], record) == expected  # by itself, nothing left to fastavro
    assert encode(name, record) == expected
    try:
        found = reader(expected, 10)
    except ValueError:  # the only unusual thing here is a number of ten bytes
        assert any(abs(number) >= 2**62 for number in numbers(record))
    else:
        assert found == (record, len(expected))
        assert list(found[0]) == [field["name"] for field in schema.definition["fields"]]  # type: ignore[attr-defined]
    assert decode(expected) == (name, record)
    check_values(name, record, expected)
    if {*ENVELOPE} <= {*record}:
        check_output(name, record, expected)


def numbers(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int) else []


@given(data=st.data(), name=st.sampled_from(NAMES))
def test_damaged_bytes(data: st.DataObject, name: str) -> None:
    """Cut short, lengthened, or with bytes changed: the same record or the same refusal."""
    value = bytearray(written(name, data.draw(ALL[name])))
    for _ in range(data.draw(st.integers(0, 3))):
        if len(value) > 10:
            value[data.draw(st.integers(10, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(10, len(value)))
    damaged = bytes(value[:cut]) + data.draw(st.binary(max_size=3))
    assert refused(name, damaged) == read(name, damaged)


@given(data=st.data(), names=st.lists(st.sampled_from(NAMES), max_size=3))
def test_records_that_lie_one_after_the_other(data: st.DataObject, names: list[str]) -> None:
    """As state is kept; the last one may be cut short."""
    expected = [(name, data.draw(ALL[name])) for name in names]
    values = [encode(*each) for each in expected]
    assert list(Codec().decode_each(b"".join(values))) == expected
    if values:
        cut = data.draw(st.integers(1, len(values[-1]) - 1))
        *good, last = Codec().decode_each(b"".join(values)[:-cut])
        assert good == expected[:-1]
        assert isinstance(last, Rejection)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be replaced or taken out."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(*path, key), *places(value[key], (*path, key))]]


def outcome(write: Any, name: str, record: dict[str, Any] | tuple[Any, ...]) -> object:
    try:
        return write(name, record)
    except Exception as error:
        return type(error)


@given(data=st.data(), name=st.sampled_from(NAMES), value=JSON)
def test_a_record_that_does_not_fit(data: st.DataObject, name: str, value: object) -> None:
    """A field left out takes its default or is refused; so is a value of another type, as fastavro refuses it."""
    record = data.draw(ALL[name])
    *path, key = data.draw(st.sampled_from(places(record)))
    holder: Any = record
    for step in path:
        holder = holder[step]
    if isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = value
        values = as_values(LATEST[name].parsed, record)
        assert outcome(CODEC.encode_values, name, values) == outcome(written, name, record)
    assert outcome(encode, name, record) == outcome(written, name, record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tier", True),
        ("tier", 1.0),
        ("tier", 2**31),
        ("tier", -(2**31)),
        ("received_time", False),
        ("received_time", 2**63),
        ("occurred_at", True),
        ("backfill", 1),
        ("component", b"x"),
        ("tenant_ids", ("a",)),
        ("tenant_ids", "a"),
        ("tenant_ids", {}),
    ],
)
def test_values_of_another_type(field: str, value: object) -> None:
    names = [each["name"] for each in LATEST["incident.reclassified"].definition["fields"]]  # type: ignore[attr-defined]
    ours = {"event_id": "e", "source": "s", "subject": "i", "occurred_at": 1, "backfill": False}
    record = {**dict.fromkeys(names), **ours, field: value}
    assert outcome(encode, "incident.reclassified", record) == outcome(written, "incident.reclassified", record)
