"""Bounds what kafka-python reads of a record batch: it decompresses a batch whatever size it comes to.

With the patch a batch that decompresses to more than `MAX_BATCH_BYTES`, or has a record of more than `MAX_HEADERS`
headers, is not read: one record with an `UnreadBatch` as its value stands for it, at the batch's last offset, as in the
consumers of the product's own processes (for_aiokafka/record_batches.py). Without it, such a batch takes the memory
that it decompresses to.
"""

from __future__ import annotations

import hashlib
from typing import Any

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from streams.kafka.batch_limits import HEADER_SIZE, MAX_BATCH_BYTES, MAX_HEADERS, has_many_headers
from streams.kafka.decompression import CorruptBatch, TooLarge, decompress_into
from streams.kafka.records import UnreadBatch, UnreadUnit

_NEEDED = ("_maybe_uncompress", "_read_msg", "compression_type", "last_offset", "max_timestamp", "timestamp_type")


_iterate = DefaultRecordBatch.__iter__


def _iterate_bounded(self: Any) -> Any:
    if self._decompressed or self._pos != HEADER_SIZE:
        return _iterate(self)
    stored = memoryview(self._buffer)
    try:
        _decompress(self)
    except TooLarge:
        return iter((_unread(self, stored, MAX_BATCH_BYTES, "bytes"),))
    if has_many_headers(memoryview(self._buffer), self._pos):
        return iter((_unread(self, stored, MAX_HEADERS, "headers"),))
    return _iterate(self)


def apply() -> None:
    """Make every consumer of kafka-python in this process read batches within bounds. Raises AttributeError where the
    class of batches has other parts."""
    if missing := [name for name in _NEEDED if not hasattr(DefaultRecordBatch, name)]:
        raise AttributeError(f"DefaultRecordBatch has no {missing[0]}")
    DefaultRecordBatch.__iter__ = _iterate_bounded


def _decompress(batch: Any) -> None:
    """What `_maybe_uncompress` does, within bounds."""
    if not batch.compression_type:
        return
    plain = bytearray()
    try:
        decompress_into(batch.compression_type, memoryview(batch._buffer)[HEADER_SIZE:], plain, MAX_BATCH_BYTES)
    except CorruptBatch as error:
        raise CorruptRecordError(str(error)) from error
    batch._buffer, batch._pos, batch._decompressed = plain, 0, True


def _unread(batch: Any, stored: memoryview, limit: int, unit: UnreadUnit) -> DefaultRecord:
    size, digest = len(stored), hashlib.sha256(stored).hexdigest()
    value = UnreadBatch.of(batch.base_offset, batch.last_offset, size, digest, limit, unit)
    return DefaultRecord(size, batch.last_offset, batch.max_timestamp, batch.timestamp_type, None, value, [])
