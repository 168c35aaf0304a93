"""Bytes to records and back: Avro in single-object encoding or Confluent framing, distinguished by the first bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple, TypeVar, cast

from fastavro import schemaless_writer

from schemas import registry as schema_registry
from schemas.registry import Definition, Registry
from streams.serde.cloudevents_headers import headers_for
from streams.serde.compiled_reader import reader_of
from streams.serde.compiled_writer import (
    WriteOutput,
    WriteRecord,
    WriteValues,
    output_writer_of,
    values_writer_of,
    writer_of,
)
from streams.serde.record_readers import (
    CONFLUENT,
    CONFLUENT_HEAD,
    SINGLE_OBJECT,
    SINGLE_OBJECT_HEAD,
    Fields,
    RecordReader,
    RecordReaders,
    SchemaSource,
    confluent_head,
    describe,
)
from streams.sla.events import Output, Rejection

__all__ = [
    "CONFLUENT",
    "MAX_RECORD_BYTES",
    "SINGLE_OBJECT",
    "SINGLE_OBJECT_HEAD",
    "Codec",
    "Decode",
    "Fields",
    "SchemaSource",
    "confluent_head",
    "decode",
    "encode",
    "encode_output",
    "headers_for",
    "output_record",
]

#: R28: the largest input record, framing included.
MAX_RECORD_BYTES = 256 * 1024

#: Decodes a value of at most so many bytes: `Codec.decode`.
Decode = Callable[[bytes | None, int], "tuple[str, Fields] | Rejection"]

_Compiled = TypeVar("_Compiled")


class _Writer(NamedTuple):
    head: bytes
    schema: Definition
    field_names: frozenset[str]
    compiled: WriteRecord | None


class Codec:
    """Decodes and encodes the records of one registry.

    It reads both framings and writes single-object encoding; confluent_framing.py turns that into the other.
    """

    def __init__(self, source: SchemaSource | None = None, registry: Registry | None = None) -> None:
        found = registry or schema_registry.load()
        self._known = RecordReaders(found, source)
        self._readers = self._known.by_head
        self._latest, self._schemas = found.latest, tuple(found.by_fingerprint.values())
        self._writers: dict[str, _Writer] = {}
        self._output_writers: dict[str, tuple[bytes, WriteOutput | None]] = {}
        self._values_writers: dict[str, tuple[bytes, WriteValues | None]] = {}
        for name, schema in found.latest.items():
            compiled = writer_of(schema.fingerprint, schema.parsed)
            self._writers[name] = _Writer(
                SINGLE_OBJECT + schema.fingerprint, schema.parsed, schema.field_names, compiled
            )

    def use_schema_ids(self, schema_ids: Mapping[str, int]) -> None:
        """Register known ids: the schema registry has our schemas of these event types under them."""
        self._known.use_schema_ids(schema_ids)

    def decode(self, value: bytes | None, limit: int = MAX_RECORD_BYTES) -> tuple[str, Fields] | Rejection:
        """Event type and record of a Kafka value, or why it is rejected (R27).

        Codes: `undecodable`, `unknown_schema`, `unknown_type`, `oversize` (more than `limit` bytes; derived records of
        our own may be larger than inputs, so their readers raise it).
        """
        if value is None:
            return Rejection("undecodable", "the record has no value")
        size = len(value)
        if size > limit:
            return Rejection("oversize", f"the record has {size:,} bytes; at most {limit:,} are allowed")
        found, begin = self._readers.get(value[:SINGLE_OBJECT_HEAD]), SINGLE_OBJECT_HEAD
        if found is None:
            other = self._known.confluent(value)
            if isinstance(other, Rejection):
                return other
            found, begin = other, CONFLUENT_HEAD
        try:
            record, end = found.read(value, begin)
        except MemoryError:  # nothing is wrong with the record
            raise
        except Exception as error:  # fastavro raises many types; no bytes may stop the stream
            return Rejection("undecodable", f"not a valid {found.name} record: {describe(error)}")
        if end != size:
            return Rejection("undecodable", f"{size - end} bytes are left over after the {found.name} record")
        return found.name, record

    def decode_each(self, values: bytes) -> Iterator[tuple[str, Fields] | Rejection]:
        """Concatenated records of our own; stops after the first that can't be read."""
        at, size = 0, len(values)
        while at < size:
            found = self._readers.get(values[at : at + SINGLE_OBJECT_HEAD])
            if found is None:
                yield Rejection("unknown_schema", f"no schema has the fingerprint at {at} of {size} bytes")
                return
            try:
                record, at = found.read(values, at + SINGLE_OBJECT_HEAD)
            except MemoryError:
                raise
            except Exception as error:
                yield Rejection("undecodable", f"not a valid {found.name} record: {describe(error)}")
                return
            yield found.name, record

    def prefix_reader(
        self, event_type: str, names: Sequence[str], version: int | None = None
    ) -> Callable[[bytes], Fields | None]:
        """Reads the first fields of a record and no more, which are `names`. The reader returns None for a record that
        another version of the schema wrote than `version`, by default the latest."""
        wanted = self._latest[event_type].version if version is None else version
        written = next(each for each in self._schemas if each.name == event_type and each.version == wanted)
        head = SINGLE_OBJECT + written.fingerprint
        fields = cast(list[dict[str, object]], written.parsed["fields"])[: len(names)]
        assert [field["name"] for field in fields] == list(names), f"{event_type} begins with other fields"
        prefix = schema_registry.parse({"type": "record", "name": "prefix", "fields": fields})
        reader = RecordReader(event_type, prefix, None, reader_of(schema_registry.fingerprint(prefix), prefix))

        def read(value: bytes) -> Fields | None:
            return reader.read(value, len(head))[0] if value.startswith(head) else None

        return read

    def encode(self, event_type: str, record: Mapping[str, object]) -> bytes:
        """The framed record. Raises KeyError for an unknown type, and TypeError or ValueError for a record that does
        not match its schema: an unknown field, a wrong value, a missing field without default."""
        names = self._writers[event_type].field_names
        if not names.issuperset(record):
            raise ValueError(f"{event_type} has no field {', '.join(sorted(record.keys() - names))}")
        return self._write(event_type, record)

    def _write(self, event_type: str, record: Mapping[str, object]) -> bytes:
        head, schema, _, compiled = self._writers[event_type]
        if compiled is not None:
            try:
                return compiled(head, record)
            except Exception:
                compiled = None  # fastavro fills in a default, or says which value does not fit
        stream = BytesIO()
        stream.write(head)
        schemaless_writer(stream, schema, record)
        return stream.getvalue()

    def encode_output(self, output: Output, source: str) -> tuple[bytes, list[tuple[str, bytes]]]:
        """Value and CloudEvents headers of an output; `source` names the agent, such as `/sla/incidents`."""
        kind, name, subject, time, data, backfill, traceparent, ended = output
        headers = headers_for(
            kind, name, source, subject, time, traceparent=traceparent, backfill=backfill, incident_ended=ended
        )
        known = self._output_writers.get(kind)
        if known is None:
            known = self._output_writers[kind] = self._framed(kind, output_writer_of)
        head, write = known
        if write is not None:
            try:
                return write(head, name, source, subject, time, backfill, traceparent, data), headers
            except Exception:
                write = None  # `_write` fills in a default, or says which value does not fit
        return self._write(kind, output_record(output, source)), headers

    def _framed(self, name: str, compiled: Callable[[bytes, Definition], _Compiled]) -> tuple[bytes, _Compiled]:
        """The head of single-object encoding and the compiled writer of a schema."""
        schema = self._latest[name]
        return SINGLE_OBJECT + schema.fingerprint, compiled(schema.fingerprint, schema.parsed)

    def encode_values(self, event_type: str, values: Sequence[object]) -> bytes:
        """The framed record of values in the order of the schema's fields; so are the items of arrays of records, which
        are tuples. Raises as `encode` does."""
        known = self._values_writers.get(event_type)
        if known is None:
            known = self._values_writers[event_type] = self._framed(event_type, values_writer_of)
        head, write = known
        if write is not None:
            try:
                return write(head, values)
            except Exception:
                write = None  # `encode` says which value does not fit
        return self.encode(event_type, _as_record(self._latest[event_type].parsed, values))


def output_record(output: Output, source: str) -> Fields:
    """The record of an output: its envelope, then its data."""
    return {
        "event_id": output.id,
        "source": source,
        "subject": output.subject,
        "occurred_at": output.time,
        "backfill": output.backfill,
        "traceparent": output.traceparent,
        **output.data,
    }


def _as_record(schema: Definition, values: Sequence[object]) -> Fields:
    """Values in the order of a schema's fields as its record."""
    record: Fields = {}
    for field, value in zip(cast(list[dict[str, Any]], schema["fields"]), values, strict=True):
        items = field["type"].get("items") if isinstance(field["type"], dict) else None
        if isinstance(value, list | tuple) and isinstance(items, dict) and items["type"] == "record":
            value = [_as_record(items, item) if isinstance(item, tuple) else item for item in value]
        elif isinstance(value, tuple):
            value = [*value]
        record[field["name"]] = value
    return record


@lru_cache(maxsize=1)
def _default() -> Codec:
    return Codec()


def decode(value: bytes | None, limit: int = MAX_RECORD_BYTES) -> tuple[str, Fields] | Rejection:
    """`Codec.decode` without a schema registry."""
    return _default().decode(value, limit)


def encode(event_type: str, record: Mapping[str, object]) -> bytes:
    """`Codec.encode` in single-object encoding."""
    return _default().encode(event_type, record)


def encode_output(output: Output, source: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """`Codec.encode_output` in single-object encoding."""
    return _default().encode_output(output, source)
