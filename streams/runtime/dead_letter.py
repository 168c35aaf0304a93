"""Rejected input (R27): the original record untouched, with headers that say why and where it came from.

Of a record that is too large to copy, only digest, size and coordinates are stored; the record stays in its own topic.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from streams.kafka.batch_limits import MAX_HEADERS
from streams.kafka.header_numbers import MAX_OFFSET, MAX_PARTITION, MAX_TIMESTAMP, header_number
from streams.kafka.records import UnreadBatch
from streams.runtime.processor import MAX_WRITE_BYTES, Headers, Record, Send

CODE = "sla_error_code"
MESSAGE = "sla_error_message"
TOPIC = "sla_original_topic"
PARTITION = "sla_original_partition"
OFFSET = "sla_original_offset"
TIMESTAMP = "sla_original_timestamp"
ATTEMPTS = "sla_attempts"
#: Only if the original was too large to store: its size in bytes and its SHA-256.
SIZE = "sla_original_size"
SHA256 = "sla_original_sha256"
#: Only for a record batch that was not read: the offset of its first record; `OFFSET` is that of its last.
FIRST_OFFSET = "sla_original_first_offset"

#: Key, value and headers of an original that is stored in full, at most.
MAX_ORIGINAL_BYTES: Final = MAX_WRITE_BYTES
#: Headers of such an original, at most: those that say why come on top, and a record with more is not read.
_MAX_ORIGINAL_HEADERS: Final = MAX_HEADERS - 100
_MAX_KEY_BYTES = 1024
_MAX_MESSAGE_BYTES = 4096


def rejected(record: Record, code: str, message: str, topic: str, partition: int, attempts: int = 1) -> Send:
    """The record for the rejected topic. `sla_original_timestamp` is the arrival in milliseconds. Headers of an
    earlier rejection, which a retry carries along, stay in front as its history."""
    reasons = [
        (CODE, code.encode()),
        (MESSAGE, message.encode()[:_MAX_MESSAGE_BYTES]),
        (TOPIC, record.topic.encode()),
        (PARTITION, b"%d" % record.partition),
        (OFFSET, b"%d" % record.offset),
        (TIMESTAMP, b"%d" % (record.arrival // 1000)),
        (ATTEMPTS, b"%d" % attempts),
    ]
    if isinstance(record.value, UnreadBatch):
        batch = record.value
        coordinates = [(FIRST_OFFSET, b"%d" % batch.first), (SIZE, b"%d" % batch.size), (SHA256, batch.sha256.encode())]
        return Send(topic, partition, None, None, coordinates + reasons)
    size = envelope_bytes(record) + len(record.value or b"")
    if size > MAX_ORIGINAL_BYTES or len(record.headers) > _MAX_ORIGINAL_HEADERS:
        key = record.key if record.key is not None and len(record.key) <= _MAX_KEY_BYTES else None
        digest = hashlib.sha256(record.value or b"").hexdigest()
        return Send(topic, partition, key, None, [(SIZE, b"%d" % size), (SHA256, digest.encode()), *reasons])
    return Send(topic, partition, record.key, record.value, [*record.headers, *reasons])


def envelope_bytes(record: Record) -> int:
    """The size of a record's key and headers in bytes, as written: the two lengths of a header take at least two."""
    headers = record.headers
    names = "".join([name for name, _ in headers])
    written = len(names) if names.isascii() else len(names.encode())
    return len(record.key or b"") + 2 * len(headers) + written + sum([len(value) for _, value in headers if value])


class RejectedHeaders(NamedTuple):
    """A rejected record (R27): why, the coordinates of the original, and when it arrived (microseconds)."""

    code: str
    message: str
    topic: str
    partition: int
    offset: int
    arrived: int
    attempts: int


def rejected_headers(headers: Headers) -> RejectedHeaders | None:
    """The latest rejection in the headers of a rejected record; None when they are not ours."""
    found = dict(headers)  # of an input rejected again, the last headers count
    try:
        return RejectedHeaders(
            found[CODE].decode(),
            found[MESSAGE].decode(errors="replace"),
            found[TOPIC].decode(),
            header_number(found[PARTITION], 0, MAX_PARTITION),
            header_number(found[OFFSET], -1, MAX_OFFSET),
            header_number(found[TIMESTAMP], -1, MAX_TIMESTAMP) * 1000,
            header_number(found[ATTEMPTS], 0, MAX_PARTITION),
        )
    except (KeyError, ValueError, AttributeError):  # a header may also have no value
        return None


def original_size(headers: Headers) -> int | None:
    """The size in bytes of an original that was too large to store; None where it was stored."""
    try:
        return header_number(dict(headers).get(SIZE), 0, MAX_OFFSET)
    except ValueError:
        return None
