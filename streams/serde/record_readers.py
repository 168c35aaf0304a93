"""The readers of record schemas, found by what a value begins with: a schema fingerprint or a Confluent schema id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple, Protocol

from fastavro import schemaless_reader
from fastavro.schema import SchemaParseException, UnknownType

from schemas import registry as schema_registry
from schemas.registry import Definition, Registry
from streams.serde.compiled_reader import ReadRecord, reader_of
from streams.sla.events import Rejection

#: A decoded record: field name → value; instants and durations are integers (microseconds).
Fields = dict[str, object]

SINGLE_OBJECT = b"\xc3\x01"
SINGLE_OBJECT_HEAD = 10
CONFLUENT = b"\x00"
CONFLUENT_HEAD = 5
#: Confluent ids that are remembered; a deployment has dozens.
_MOST_IDS = 1_000


class SchemaSource(Protocol):
    """Where the schemas behind Confluent ids come from."""

    def schema_for(self, schema_id: int) -> object | None:
        """The writer's schema (text or parsed JSON), or None when the registry has no such id.

        May raise when the registry can't be reached, or has not answered yet: that is not caught here, for such a
        record is retried and not rejected (R27).
        """
        ...


class RecordReader(NamedTuple):
    name: str
    writer: Definition
    reader: Definition | None  # None where both are the same
    compiled: ReadRecord | None  # only where both are the same

    def read(self, data: bytes, begin: int) -> tuple[Fields, int]:
        """The record that begins at `begin`, and its end. Raises any exception for bytes that are no such record."""
        if self.compiled is not None:
            try:
                record, end = self.compiled(data, begin)
            except Exception:
                end = len(data) + 1  # fastavro reads it, or says what is wrong
            if end <= len(data):
                return record, end
        stream = BytesIO(data)
        stream.seek(begin)
        record = schemaless_reader(stream, self.writer, self.reader)
        return record, stream.tell()


class RecordReaders:
    """The readers of one registry's schemas. It remembers what it learned about Confluent ids."""

    def __init__(self, registry: Registry, source: SchemaSource | None) -> None:
        self._registry = registry
        self._source = source
        self._confluent: dict[bytes, RecordReader | Rejection] = {}
        self.by_head: dict[bytes, RecordReader] = {
            SINGLE_OBJECT + fingerprint: self._reader(schema.name, schema.parsed, fingerprint)
            for fingerprint, schema in registry.by_fingerprint.items()
        }
        """Readers of values in single-object encoding, by their first 10 bytes."""

    def use_schema_ids(self, schema_ids: Mapping[str, int]) -> None:
        """The registry has our schemas of these event types under these ids: it need not be asked for them."""
        for event_type, schema_id in schema_ids.items():
            head = SINGLE_OBJECT + self._registry.latest[event_type].fingerprint
            self._confluent[confluent_head(schema_id)] = self.by_head[head]

    def _reader(self, name: str, writer: Definition, fingerprint: bytes) -> RecordReader:
        ours = self._registry.latest[name]
        if fingerprint != ours.fingerprint:
            return RecordReader(name, writer, ours.parsed, None)
        return RecordReader(name, writer, None, reader_of(fingerprint, ours.parsed))

    def confluent(self, value: bytes) -> RecordReader | Rejection:
        """The reader of a value that doesn't start with a known single-object head."""
        head = value[:CONFLUENT_HEAD]
        found = self._confluent.get(head)
        if found is not None:
            return found
        if value[:2] == SINGLE_OBJECT and len(value) >= SINGLE_OBJECT_HEAD:
            return Rejection("unknown_schema", f"no schema has the fingerprint {value[2:SINGLE_OBJECT_HEAD].hex()}")
        if value[:1] != CONFLUENT or len(value) < CONFLUENT_HEAD:
            return Rejection(
                "undecodable", f"starts with {value[:2].hex() or 'nothing'}: neither Avro single-object nor Confluent"
            )
        found = self._ask_source(int.from_bytes(head[1:], "big"))
        if not (isinstance(found, Rejection) and found.code == "unknown_schema"):  # it may be registered later
            if len(self._confluent) >= _MOST_IDS:
                self._confluent.clear()
            self._confluent[head] = found
        return found

    def _ask_source(self, schema_id: int) -> RecordReader | Rejection:
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
            return Rejection("unknown_schema", f"schema id {schema_id} is not an Avro schema: {describe(error)}")
        full_name = str(parsed["name"]) if isinstance(parsed, dict) and "name" in parsed else repr(parsed)
        name = self._registry.name_of_record.get(full_name)
        if name is None:
            return Rejection("unknown_type", f"schema id {schema_id} is {full_name}, which is no event of this product")
        return self._reader(name, parsed, fingerprint)


def confluent_head(schema_id: int) -> bytes:
    """What a value begins with in Confluent framing."""
    return CONFLUENT + schema_id.to_bytes(4, "big")


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
