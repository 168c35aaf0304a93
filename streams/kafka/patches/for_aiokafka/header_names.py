"""Header names that are not UTF-8: aiokafka raises on them and cannot read past such a record.

Kafka allows any bytes as a header's name, so any writer of an input topic could stop the stream (R27). With the patch a
name that is not UTF-8 reads as text with \\xNN for each bad byte, and is written that way where its record is copied.
Batches are read in bounded memory (record_batches). Without it, such a record stops its partition, and a batch takes
what it decompresses to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py
from aiokafka.structs import ConsumerRecord

from streams.kafka.lenient_bytes import LenientBytes
from streams.kafka.patches.for_aiokafka.record_batches import FetchedBatches, part_of
from streams.kafka.records import UnreadRecord


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's pure Python reader of a batch, over such bytes."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        # The compiled function for a number reads beyond the end of the bytes, wherever a malformed record says.
        return super()._read_msg(decode_varint_py)

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, LenientBytes):
            self._buffer = LenientBytes(self._buffer)


class _Fetched(MemoryRecords):  # type: ignore[misc]
    """Remembers the bytes, to read them again."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's reader of a fetch: compiled, and pure Python from the batch on that has such a name.

    Earlier batches are not read again: transactions that end in them have been accounted for.
    """

    whole = False
    """Yield chunks of records instead of records (record_batches)."""
    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from self._unpack()
        except MemoryError as error:  # a consumer goes on after errors of Kafka alone; this is read again
            raise KafkaError("this process is out of memory") from error

    def _unpack(self) -> Iterator[Any]:
        fetched = self._records.fetched
        try:
            self._records = FetchedBatches(fetched, DefaultRecordBatch, chunked=self.whole)
            yield from super()._unpack_records()
        except (UnicodeDecodeError, CorruptRecordException):
            self._records = FetchedBatches(fetched, _Batch, self.next_fetch_offset, chunked=self.whole, last_try=True)
            yield from super()._unpack_records()

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if self.whole:
            return record.since(self.next_fetch_offset)
        if isinstance(record, UnreadRecord):
            unread = (record.offset, record.timestamp, 0, record.key, record.value, None, -1, 0, ())
            return ConsumerRecord(tp.topic, tp.partition, *unread)
        return super()._consumer_record(tp, record)


def apply() -> None:
    """Make every aiokafka consumer of this process read any header name."""
    fetcher.MemoryRecords = _Fetched
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.FetchResult.getall = part_of
