"""The compiled writers give fastavro's very bytes for all records of all schemas, and its refusals."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas import registry
from streams.avro_writer import writer_of
from streams.codec import encode
from tests.property.test_codec_roundtrip import JSON, records

LATEST = registry.load().latest
ALL = {name: records(LATEST[name].definition, {}) for name in LATEST if name != "state.applied"}


def by_fastavro(name: str, record: dict[str, Any]) -> bytes:
    stream = BytesIO()
    stream.write(b"\xc3\x01" + LATEST[name].fingerprint)
    schemaless_writer(stream, LATEST[name].parsed, record)
    return stream.getvalue()


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_the_same_bytes(name: str, data: st.DataObject) -> None:
    record, schema = data.draw(ALL[name]), LATEST[name]
    write = writer_of(schema.fingerprint, schema.parsed)
    assert write is not None
    expected = by_fastavro(name, record)
    assert write(b"\xc3\x01" + schema.fingerprint, record) == expected  # by itself, nothing left to fastavro
    assert encode(name, record) == expected


def of(record: Any, path: list[Any]) -> Any:
    for step in path:
        record = record[step]
    return record


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be replaced or taken out."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(*path, key), *places(value[key], (*path, key))]]


def outcome(write: Any, name: str, record: dict[str, Any]) -> object:
    try:
        return write(name, record)
    except Exception as error:
        return type(error)


@given(data=st.data(), name=st.sampled_from(sorted(ALL)), value=JSON)
def test_a_record_that_does_not_fit(data: st.DataObject, name: str, value: object) -> None:
    """A field left out takes its default or is refused; so is a value of another type, as fastavro refuses it."""
    record = data.draw(ALL[name])
    *path, key = data.draw(st.sampled_from(places(record)))
    holder = of(record, path)
    if isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = value
    assert outcome(encode, name, record) == outcome(by_fastavro, name, record)
