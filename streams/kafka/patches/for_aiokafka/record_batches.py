"""Reads the records of a fetch one batch at a time, or less of a large one, in bounded memory.

aiokafka decompresses a batch whatever size it comes to: 45 KB of zstd can be a gigabyte. Here a batch that decompresses
to more than `MAX_BATCH_BYTES`, or has a record of more than `MAX_HEADERS` headers, is not read; one `UnreadRecord`
stands for it. So it does for what no reader understands though Kafka took it, and records get the offsets that Kafka
counts. This holds for `getmany`, and for `fetched`, which takes records in chunks: aiokafka iterates over them
in Python and builds an object of eleven fields for each, a tenth of the cost of the small job (bench/small_cost.py).
Which batches count (aborted transactions, markers, offsets below the position) stays aiokafka's decision.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.structs import TopicPartition

from streams.kafka.batch_limits import HEADER_SIZE, MAX_BATCH_BYTES, MAX_HEADERS, has_many_headers
from streams.kafka.decompression import CorruptBatch, TooLarge, decompress_into
from streams.kafka.records import RawRecord, UnreadBatch, UnreadRecord, UnreadUnit, in_offset_order

#: What is taken of a partition at once, at most, plus one chunk.
TAKEN_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 512 * 1024
"""Memory of a chunk, without headers, if records are alike."""
_RECORD_BYTES: Final = 200
"""Python's own memory for a record."""
_HEADER_BYTES: Final = 150
"""Python's own memory for a header; a header of two bytes has it too."""

_LENGTH_AT: Final = 8
_LOG_OVERHEAD: Final = 12
_CODEC_AT: Final = 22
_CODEC_BITS: Final = 0x07
_COUNT_AT: Final = 57


class Chunk(NamedTuple):
    """Records of a batch, passed through aiokafka's reader as if they were one."""

    offset: int
    """The offset of the last record."""
    records: list[RawRecord]
    size: int
    """Memory that they take, in bytes."""

    def since(self, offset: int) -> Chunk:
        """Those from an offset on."""
        if self.records[0].offset >= offset:
            return self
        return self._replace(records=[record for record in self.records if record.offset >= offset])


class _Numbered(NamedTuple):
    """A record whose writer gave it another offset."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    checksum: None = None


def _numbered(record: Any, offset: int) -> _Numbered:
    return _Numbered(offset, record.timestamp, record.timestamp_type, record.key, record.value, record.headers)


class _OpenedBatch(NamedTuple):
    """A batch without compression, its size in bytes, and how many records it has at most."""

    batch: Any
    size: int
    most: int

    @property
    def small(self) -> bool:
        return self.size + _RECORD_BYTES * self.most <= _CHUNK_BYTES


class BoundedBatch:
    """A batch that is not read where it is too large. `make` is aiokafka's class of a batch, `data` the batch as stored
    in Kafka. Where no other class is tried after this one (`last_try`), what it can't read is not read either: the
    checksum was right, so it would be the same the next time. Else it raises CorruptRecordException."""

    def __init__(self, make: Callable[[Any], Any], data: memoryview, *, last_try: bool = False) -> None:
        self._make = make
        self._data = data
        self._last_try = last_try
        self._batch = make(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # of a marker, its one record is asked for so
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        opened = self._opened()
        return iter((opened,)) if isinstance(opened, UnreadRecord) else self._records(opened)

    def _records(self, opened: _OpenedBatch) -> Iterator[Any]:
        """The records, and what stands for those that can't be read."""
        batch, position = self._batch, self._batch.base_offset
        (count,) = struct.unpack_from(">i", self._data, _COUNT_AT)
        try:
            for record in in_offset_order(opened.batch, position, batch.next_offset - 1, count, _numbered):
                position = record.offset + 1
                yield record
        except (UnicodeDecodeError, MemoryError):  # with other bytes, or more memory, the batch can be read
            raise
        except Exception as error:
            if not self._last_try:
                raise CorruptRecordException(repr(error)) from error
            if position < batch.next_offset:
                yield self._unread(0, "damage", position)

    def _opened(self) -> _OpenedBatch | UnreadRecord:
        """The batch without compression, or what stands for it."""
        data, batch = self._data, self._batch
        if batch.compression_type:
            try:
                plain = self._decompressed(batch.compression_type)
            except TooLarge:
                return self._unread(MAX_BATCH_BYTES, "bytes")
            except CorruptBatch as error:
                if self._last_try:
                    return self._unread(0, "damage")
                raise CorruptRecordException(str(error)) from error
            data, batch = memoryview(plain), self._make(plain)
        count = max(1, batch.next_offset - batch.base_offset)
        opened = _OpenedBatch(batch, len(data), count)
        if not opened.small and has_many_headers(data, HEADER_SIZE):
            return self._unread(MAX_HEADERS, "headers")
        return opened

    def _decompressed(self, codec: int) -> bytearray:
        """The same batch without compression. Its checksum is not renewed: aiokafka has checked the original's."""
        plain = bytearray(self._data[:HEADER_SIZE])
        decompress_into(codec, self._data[HEADER_SIZE:], plain, MAX_BATCH_BYTES)
        plain[_CODEC_AT] &= ~_CODEC_BITS
        struct.pack_into(">i", plain, _LENGTH_AT, len(plain) - _LOG_OVERHEAD)
        return plain

    def _unread(self, limit: int, unit: UnreadUnit, first: int | None = None) -> UnreadRecord:
        batch, size = self._batch, len(self._data)
        last = batch.next_offset - 1
        digest = hashlib.sha256(self._data).hexdigest()
        value = UnreadBatch.of(batch.base_offset if first is None else first, last, size, digest, limit, unit)
        return UnreadRecord(last, batch.max_timestamp, value)


class ChunkedBatch(BoundedBatch):
    """A batch whose items are chunks."""

    def __iter__(self) -> Iterator[Chunk]:
        opened = self._opened()
        if isinstance(opened, UnreadRecord):
            yield Chunk(opened.offset, [opened], _RECORD_BYTES)
            return
        _, size, most = opened
        if opened.small:
            yield from _chunk(list(self._records(opened)), size)
            return
        share, some, taken = size // most, list[Any](), 0
        for record in self._records(opened):
            some.append(record)
            taken += share + _RECORD_BYTES + _HEADER_BYTES * len(record.headers)
            if taken >= _CHUNK_BYTES:
                yield from _chunk(some, share * len(some))
                some, taken = [], 0
        yield from _chunk(some, share * len(some))


def _chunk(records: list[Any], size: int) -> Iterator[Chunk]:
    if records:
        headers = sum(len(record.headers) for record in records)
        yield Chunk(records[-1].offset, records, size + _RECORD_BYTES * len(records) + _HEADER_BYTES * headers)


class FetchedBatches:
    """The batches of a fetch, from the one that holds `offset` on."""

    def __init__(
        self,
        fetched: bytes,
        make: Callable[[Any], Any],
        offset: int = -1,
        *,
        chunked: bool = True,
        last_try: bool = False,
    ) -> None:
        self._chunked = chunked
        self._last_try = last_try
        self._fetched = memoryview(fetched)
        self._position = 0
        self._make = make
        while (data := self._peek()) is not None and make(data).next_offset <= offset:
            self._position += len(data)

    def has_next(self) -> bool:
        """Whether another batch is there as a whole; brokers cut the last one off."""
        return self._peek() is not None

    def next_batch(self) -> Any:
        """The next batch; call after `has_next`."""
        data = self._peek()
        assert data is not None
        self._position += len(data)
        return (ChunkedBatch if self._chunked else BoundedBatch)(self._make, data, last_try=self._last_try)

    def _peek(self) -> memoryview | None:
        left = self._fetched[self._position :]
        if len(left) < HEADER_SIZE:
            return None
        (length,) = struct.unpack_from(">i", left, _LENGTH_AT)
        end = _LOG_OVERHEAD + length
        return left[:end] if end <= len(left) else None


def fetched(fetcher: Fetcher, partition: TopicPartition) -> tuple[list[RawRecord], int]:
    """Records that have been fetched of a partition, and their size; its position moves past them.

    Takes about `TAKEN_BYTES`; the rest stays in the fetcher, which fetches no more of the partition before it is taken.
    Neither waits nor yields to other tasks. Needs the patch `header_names`. Raises what aiokafka does, about this
    partition alone.
    """
    result = fetcher._records[partition]
    records: list[RawRecord] = []
    size = 0
    if type(result) is not FetchResult:
        _forget(fetcher, partition)
        result.check_raise()
        return records, size
    result._partition_records.whole = True
    try:
        while size < TAKEN_BYTES and result.has_more() and (chunk := result.getone()) is not None:
            records += chunk.records
            size += chunk.size
    except KafkaError:
        if not records:
            raise
        # What came before is handed over; the reader is used up, and the error shows again when this is fetched anew.
    if not result.has_more():
        _forget(fetcher, partition)
    return records, size


def part_of(result: FetchResult, most: int | None = None) -> list[Any]:
    """In place of `FetchResult.getall`: at most `most` records, and no more once they take `TAKEN_BYTES`. What comes
    before a damaged record is returned; the error shows again when that is fetched anew."""
    records: list[Any] = []
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return records
    size = 0
    try:
        for record in result._partition_records:
            records.append(record)
            size += len(record.key or b"") + len(record.value or b"")
            size += _RECORD_BYTES + _HEADER_BYTES * len(record.headers)
            if size >= TAKEN_BYTES or len(records) == most:
                result._update_position()
                return records
    except KafkaError:
        if not records:
            raise
    result._update_position()
    result._partition_records = None
    return records


def _forget(fetcher: Fetcher, partition: TopicPartition) -> None:
    del fetcher._records[partition]
    fetcher._notify(fetcher._wait_consume_future)
