"""Bounds what kafka-python reads of a record batch: it decompresses a batch whatever size it comes to.

With the patch a batch that decompresses to more than `MAX_BATCH_BYTES`, or has a record of more than `MAX_HEADERS`
headers, is not read: one record with an `UnreadBatch` as its value stands for it, at the batch's last offset, as in the
consumers of the product's own processes (for_aiokafka/record_batches.py). So it does for what can't be read though
Kafka took it, and records get the offsets that Kafka counts. Without it, such a batch takes the memory that it
decompresses to, stops its partition, or hides records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from streams.kafka.batch_limits import HEADER_SIZE, MAX_BATCH_BYTES, MAX_HEADERS, has_many_headers
from streams.kafka.decompression import CorruptBatch, TooLarge, decompress_into
from streams.kafka.records import UnreadBatch, UnreadUnit, in_offset_order

_NEEDED = (
    "_maybe_uncompress",
    "_read_msg",
    "compression_type",
    "is_control_batch",
    "last_offset",
    "max_timestamp",
    "records_count",
    "timestamp_type",
)


_iterate = DefaultRecordBatch.__iter__


def _iterate_bounded(self: Any) -> Any:
    if self._decompressed or self._pos != HEADER_SIZE:
        return _iterate(self)
    stored = memoryview(self._buffer)
    try:
        _decompress(self)
    except TooLarge:
        return iter((_unread(self, stored, MAX_BATCH_BYTES, "bytes"),))
    except CorruptBatch:
        return iter((_unread(self, stored, 0, "damage"),))
    if has_many_headers(memoryview(self._buffer), self._pos):
        return iter((_unread(self, stored, MAX_HEADERS, "headers"),))
    return _iterate(self) if self.is_control_batch else _records(self, stored)


def _records(batch: Any, stored: memoryview) -> Iterator[Any]:
    """The records, and what stands for those that can't be read: their checksum was right, so they would be the same
    the next time."""
    position = batch.base_offset
    try:
        for record in in_offset_order(_iterate(batch), position, batch.last_offset, batch.records_count, _numbered):
            position = record.offset + 1
            yield record
    except MemoryError:  # nothing is wrong with the batch: who asks again may have more
        raise
    except Exception:
        if position <= batch.last_offset:
            yield _unread(batch, stored, 0, "damage", position)


def apply() -> None:
    """Make every consumer of kafka-python in this process read batches within bounds. Raises AttributeError where the
    class of batches has other parts."""
    if missing := [name for name in _NEEDED if not hasattr(DefaultRecordBatch, name)]:
        raise AttributeError(f"DefaultRecordBatch has no {missing[0]}")
    DefaultRecordBatch.__iter__ = _iterate_bounded


def _numbered(record: Any, offset: int) -> DefaultRecord:
    record._offset = offset
    return record


def _decompress(batch: Any) -> None:
    """What `_maybe_uncompress` does, within bounds."""
    if not batch.compression_type:
        return
    plain = bytearray()
    decompress_into(batch.compression_type, memoryview(batch._buffer)[HEADER_SIZE:], plain, MAX_BATCH_BYTES)
    batch._buffer, batch._pos, batch._decompressed = plain, 0, True


def _unread(batch: Any, stored: memoryview, limit: int, unit: UnreadUnit, first: int | None = None) -> DefaultRecord:
    size, digest = len(stored), hashlib.sha256(stored).hexdigest()
    first = batch.base_offset if first is None else first
    value = UnreadBatch.of(first, batch.last_offset, size, digest, limit, unit)
    return DefaultRecord(size, batch.last_offset, batch.max_timestamp, batch.timestamp_type, None, value, [])
