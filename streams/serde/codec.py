"""Bytes to records and back: Avro in single-object encoding or Confluent framing, told apart by the first bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple, Protocol, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType

from schemas import registry as schema_registry
from schemas.registry import Definition, Registry
from streams.serde.cloudevents_headers import headers_for
from streams.serde.compiled_reader import Reader, reader_of
from streams.serde.compiled_writer import Writer, writer_of
from streams.sla.events import Output, Rejection

__all__ = [
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

#: A decoded record: field name → value; instants and durations are integers (microseconds).
Fields = dict[str, object]

#: R28: what an input record may weigh, framing included.
MAX_RECORD_BYTES = 256 * 1024

#: What decodes a value of at most so many bytes: `Codec.decode`.
Decode = Callable[[bytes | None, int], "tuple[str, Fields] | Rejection"]

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
SINGLE_OBJECT_HEAD = 10
_CONFLUENT_HEAD = 5
#: Confluent ids that a codec remembers; a deployment has dozens.
_MOST_IDS = 1_000


class SchemaSource(Protocol):
    """Where the schemas behind Confluent ids come from."""

    def schema_for(self, schema_id: int) -> object | None:
        """The writer's schema (text or parsed JSON), or None when the registry has no such id.

        May raise when the registry can't be reached, or has not answered yet: that is not caught here, for such a
        record is retried and not rejected (R27).
        """
        ...


class _Reader(NamedTuple):
    name: str
    writer: Definition
    reader: Definition | None  # None where both are the same
    compiled: Reader | None  # only where both are the same

    def read(self, data: bytes, begin: int) -> tuple[Fields, int]:
        """The record that begins there, and where it ends. Raises what fastavro stumbles on."""
        if self.compiled is not None:
            try:
                record, end = self.compiled(data, begin)
            except Exception:
                end = len(data) + 1  # what is unusual is fastavro's to judge
            if end <= len(data):
                return record, end
        stream = BytesIO(data)
        stream.seek(begin)
        record = schemaless_reader(stream, self.writer, self.reader)
        return record, stream.tell()


class _Writer(NamedTuple):
    head: bytes
    schema: Definition
    field_names: frozenset[str]
    compiled: Writer | None


class Codec:
    """Decodes and encodes the records of one registry; it keeps what it learnt about Confluent ids.

    It reads both framings and writes single-object encoding; framing.py makes the other of it.
    """

    def __init__(self, source: SchemaSource | None = None, registry: Registry | None = None) -> None:
        self._registry = registry or schema_registry.load()
        self._source = source
        self._readers: dict[bytes, _Reader] = {}
        self._confluent: dict[bytes, _Reader | Rejection] = {}
        self._writers: dict[str, _Writer] = {}
        for fingerprint, schema in self._registry.by_fingerprint.items():
            self._readers[SINGLE_OBJECT + fingerprint] = self._reader(schema.name, schema.parsed, fingerprint)
        for name, schema in self._registry.latest.items():
            compiled = writer_of(schema.fingerprint, schema.parsed)
            self._writers[name] = _Writer(
                SINGLE_OBJECT + schema.fingerprint, schema.parsed, schema.field_names, compiled
            )

    def know(self, schema_ids: Mapping[str, int]) -> None:
        """The registry has our schemas of these event types under these ids: they need not be asked for."""
        for event_type, schema_id in schema_ids.items():
            self._confluent[confluent_head(schema_id)] = self._readers[self._writers[event_type].head]

    def decode(self, value: bytes | None, limit: int = MAX_RECORD_BYTES) -> tuple[str, Fields] | Rejection:
        """Event type and record of a Kafka value, or why it is refused (R27).

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
            other = self._other_reader(value)
            if isinstance(other, Rejection):
                return other
            found, begin = other, _CONFLUENT_HEAD
        try:
            record, end = found.read(value, begin)
        except Exception as error:  # fastavro raises what it stumbles on; no sequence of bytes may stop the stream
            return Rejection("undecodable", f"not a valid {found.name} record: {_describe(error)}")
        if end != size:
            return Rejection("undecodable", f"{size - end} bytes are left over after the {found.name} record")
        return found.name, record

    def decode_each(self, values: bytes) -> Iterator[tuple[str, Fields] | Rejection]:
        """Records of our own that lie one after the other; ends after the first that can't be read."""
        at, size = 0, len(values)
        while at < size:
            found = self._readers.get(values[at : at + SINGLE_OBJECT_HEAD])
            if found is None:
                yield Rejection("unknown_schema", f"no schema has the fingerprint at {at} of {size} bytes")
                return
            try:
                record, at = found.read(values, at + SINGLE_OBJECT_HEAD)
            except Exception as error:
                yield Rejection("undecodable", f"not a valid {found.name} record: {_describe(error)}")
                return
            yield found.name, record

    def prefix_reader(self, event_type: str, names: Sequence[str]) -> Callable[[bytes], Fields | None]:
        """Reads the first fields of a record and no more, which are `names`. What it makes gives None for a record
        that another version of the schema wrote."""
        head, schema, _, _ = self._writers[event_type]
        fields = cast(list[dict[str, object]], cast(dict[str, object], schema)["fields"])[: len(names)]
        assert [field["name"] for field in fields] == list(names), f"{event_type} begins with other fields"
        prefix = schema_registry.parse({"type": "record", "name": "prefix", "fields": fields})
        reader = _Reader(event_type, prefix, None, reader_of(schema_registry.fingerprint(prefix), prefix))

        def read(value: bytes) -> Fields | None:
            return reader.read(value, len(head))[0] if value.startswith(head) else None

        return read

    def encode(self, event_type: str, record: Mapping[str, object]) -> bytes:
        """The framed record. Raises KeyError for an unknown type, and TypeError or ValueError for one that is not ours:
        a field that the schema lacks, a value that doesn't fit, a missing field without default."""
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
                compiled = None  # a field left to its default, or a value that does not fit, is fastavro's to judge
        stream = BytesIO()
        stream.write(head)
        schemaless_writer(stream, schema, record)
        return stream.getvalue()

    def encode_output(self, output: Output, source: str) -> tuple[bytes, list[tuple[str, bytes]]]:
        """Value and CloudEvents headers of an output; `source` names the agent, such as `/sla/incidents`."""
        record = output_record(output, source)
        headers = headers_for(
            output.type,
            output.id,
            source,
            output.subject,
            output.time,
            traceparent=output.traceparent,
            backfill=output.backfill,
        )
        return self._write(output.type, record), headers

    def _reader(self, name: str, writer: Definition, fingerprint: bytes) -> _Reader:
        ours = self._registry.latest[name]
        if fingerprint != ours.fingerprint:
            return _Reader(name, writer, ours.parsed, None)
        return _Reader(name, writer, None, reader_of(fingerprint, ours.parsed))

    def _other_reader(self, value: bytes) -> _Reader | Rejection:
        """The reader of a value that doesn't start with a known single-object head."""
        head = value[:_CONFLUENT_HEAD]
        found = self._confluent.get(head)
        if found is not None:
            return found
        if value[:2] == SINGLE_OBJECT and len(value) >= SINGLE_OBJECT_HEAD:
            return Rejection("unknown_schema", f"no schema has the fingerprint {value[2:SINGLE_OBJECT_HEAD].hex()}")
        if value[:1] != CONFLUENT or len(value) < _CONFLUENT_HEAD:
            return Rejection(
                "undecodable", f"starts with {value[:2].hex() or 'nothing'}: neither Avro single-object nor Confluent"
            )
        found = self._ask_source(int.from_bytes(head[1:], "big"))
        if not (isinstance(found, Rejection) and found.code == "unknown_schema"):  # it may be registered later
            if len(self._confluent) >= _MOST_IDS:
                self._confluent.clear()
            self._confluent[head] = found
        return found

    def _ask_source(self, schema_id: int) -> _Reader | Rejection:
        if self._source is None:
            return Rejection("unknown_schema", f"schema id {schema_id}, but no schema registry is configured")
        given = self._source.schema_for(schema_id)
        if given is None:
            return Rejection("unknown_schema", f"the schema registry has no schema id {schema_id}")
        try:
            definition = json.loads(given) if isinstance(given, str) else given
            parsed = schema_registry.parse(definition)
            fingerprint = schema_registry.fingerprint(definition)
        except (ValueError, TypeError, LookupError, AttributeError, SchemaParseException, UnknownType) as error:
            return Rejection("unknown_schema", f"schema id {schema_id} is not an Avro schema: {_describe(error)}")
        full_name = str(parsed["name"]) if isinstance(parsed, dict) and "name" in parsed else repr(parsed)
        name = self._registry.name_of_record.get(full_name)
        if name is None:
            return Rejection("unknown_type", f"schema id {schema_id} is {full_name}, which is no event of this product")
        return self._reader(name, parsed, fingerprint)


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


def confluent_head(schema_id: int) -> bytes:
    """What a value begins with in Confluent framing."""
    return CONFLUENT + schema_id.to_bytes(4, "big")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


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
