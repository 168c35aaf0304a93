"""Inputs as changelog rows, and changelog rows as fields, for both agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from streams.runtime.processor import MAX_ROW_BYTES, Record
from streams.serde.codec import SINGLE_OBJECT, Codec, Fields
from streams.sla.events import Event, Rejection
from streams.sla.facts import stored_event

#: Derived records may be larger than inputs: an impact list names every tenant, in a row by longer pseudonyms.
DERIVED_LIMIT = MAX_ROW_BYTES


def row_key(*parts: str) -> bytes:
    """A changelog key; ids contain no control characters, so the parts are unambiguous."""
    return "\x1f".join(parts).encode()


class InputRows:
    """Encodes inputs that are part of the state, and decodes rows."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def to_single_object(self, event_type: str, fields: Mapping[str, object], value: bytes) -> bytes:
        """An event in single-object encoding: what is stored or copied must be readable without a schema registry."""
        return value if value[:2] == SINGLE_OBJECT else self.codec.encode(event_type, fields)

    def encode_input_row(
        self, record: Record, *, headers: bool = False, digest: bytes = b"", event: bytes = b""
    ) -> bytes:
        """The row of an input. It has the record's headers where the input may still be rejected, the digest of the
        original where the value was redacted (R1), and the `event` where the value may have another framing."""
        stored = [{"name": name, "value": value} for name, value in record.headers] if headers else []
        fields = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "arrival": record.arrival,
            "key": record.key,
            "value": record.value,
            "headers": stored,
            "digest": digest,
            "event": b"" if event == record.value else event,
        }
        return self.codec.encode("state.kept_input", fields)

    def decode_input_row(self, row: Fields) -> tuple[Record, Event]:
        """The record and its event, from what `encode_input_row` wrote."""
        record = self.record_of(row)
        return record, self.event_of(cast(bytes, row["event"]) or record.value, cast(bytes, row["digest"]))

    @staticmethod
    def record_of(row: Fields) -> Record:
        """The record alone, from what `encode_input_row` wrote."""
        return Record(
            cast(str, row["topic"]),
            cast(int, row["partition"]),
            cast(int, row["offset"]),
            cast(int, row["arrival"]),
            cast(bytes | None, row["key"]),
            cast(bytes, row["value"]),
            [(h["name"], h["value"]) for h in cast(list[dict[str, Any]], row["headers"])],
        )

    def event_of(self, value: bytes | None, digest: bytes = b"") -> Event:
        """The event of a stored value; `digest` is that of what arrived, texts included (R1), where it was stored with
        the value. Raises ValueError when it can't be read: the state is damaged."""
        decoded = self.codec.decode(value, DERIVED_LIMIT)
        event = decoded if isinstance(decoded, Rejection) else stored_event(*decoded, digest)
        if isinstance(event, Rejection):
            raise ValueError(f"the changelog holds an input that can't be read: {event.code}: {event.message}")
        return event

    def row(self, key: bytes, value: bytes) -> tuple[str, Fields]:
        """Kind and fields of a changelog row. Raises ValueError when it can't be read: the state is damaged."""
        decoded = self.codec.decode(value, len(value))
        if isinstance(decoded, Rejection):
            raise ValueError(f"changelog row {key!r} can't be read: {decoded.code}: {decoded.message}")
        return key.split(b"\x1f", 1)[0].decode(), decoded[1]

    def rows(self, values: bytes) -> Iterator[Fields]:
        """The fields of concatenated rows. Raises ValueError when one can't be read: the state is damaged."""
        for decoded in self.codec.decode_each(values):
            if isinstance(decoded, Rejection):
                raise ValueError(f"stored rows can't be read: {decoded.code}: {decoded.message}")
            yield decoded[1]
