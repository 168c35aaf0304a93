"""Batches that Kafka takes although no client of repute writes them: each of their records is read, or named unread."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import cramjam
import pytest
from aiokafka.record.util import calc_crc32c
from kafka.consumer.fetcher import Fetcher as KafkaPythonFetcher
from kafka.record.memory_records import MemoryRecords as KafkaPythonRecords
from test_taking import ONE, Fetcher

from streams.kafka.batch_reader import FetcherReader
from streams.kafka.decompression import GZIP, LZ4, SNAPPY, ZSTD, CorruptBatch, TooLarge, decompress_into
from streams.kafka.patches import KAFKA_PYTHON
from streams.kafka.records import UnreadBatch

Found = list[tuple[int, Any]]
"""Offset and value of each record."""


def record(offset_delta: int, value: bytes, *, attributes: int = 0, key: bytes = b"~") -> bytes:
    """A record without headers."""
    fields = bytes([attributes]) + b"\0" + number(offset_delta)
    fields += number(len(key)) + key + number(len(value)) + value + b"\0"
    return number(len(fields)) + fields


def number(value: int) -> bytes:
    """Zigzag encoding."""
    left, written = (value << 1) ^ (value >> 63), bytearray()
    while left > 0x7F:
        written.append((left & 0x7F) | 0x80)
        left >>= 7
    return bytes([*written, left])


def batch(*records: bytes, base: int = 0, codec: int = 0, last: int | None = None, behind: bytes = b"") -> bytes:
    """A batch with the right checksum; `last` is its last offset where compaction has removed records, `behind` is what
    follows the compressed records."""
    last_delta = len(records) - 1 if last is None else last - base
    payload = ENCODERS.get(codec, bytes)(b"".join(records)) + behind
    body = struct.pack(">hiqqqhii", codec, last_delta, 1_000, 1_000, -1, -1, -1, len(records)) + payload
    return struct.pack(">qiibI", base, len(body) + 9, -1, 2, calc_crc32c(body)) + body


def with_codec(stored: bytes, codec: int) -> bytes:
    """The batch with another codec in its attributes, which it is not compressed with."""
    body = struct.pack(">h", codec) + stored[23:]
    return stored[:17] + struct.pack(">I", calc_crc32c(body)) + body


def xerial(data: bytes) -> bytes:
    """As Java clients write snappy, in two blocks."""
    half = len(data) // 2
    blocks = [bytes(cramjam.snappy.compress_raw(each)) for each in (data[:half], data[half:])]
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(each)) + each for each in blocks)


def lz4(data: bytes) -> bytes:
    """A frame of independent blocks, one of them not compressed, whose checksum of the content is wrong. Kafka reads
    it, and no checksum of the content."""
    half = len(data) // 2
    block = bytes(cramjam.lz4.compress_block(data[:half], store_size=False))
    blocks = struct.pack("<I", len(block)) + block + struct.pack("<I", len(data) - half | 1 << 31) + data[half:]
    return b"\x04\x22\x4d\x18\x64\x40\xa7" + blocks + bytes(8)


ENCODERS = {GZIP: gzip.compress, SNAPPY: xerial, LZ4: lz4, ZSTD: lambda data: bytes(cramjam.zstd.compress(data))}


def taken(*fetched: bytes) -> tuple[Found, int]:
    """What the product's own processes read, and the next offset."""

    async def take() -> tuple[Found, int]:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        reader, found, end = FetcherReader(fetcher), [], 0
        while some := await reader.take(frozenset({ONE}), 0.0):
            found += [(each.offset, each.value) for batch in some for each in batch.records]
            end = some[-1].end
        return found, end

    return asyncio.run(take())


def got(*fetched: bytes) -> tuple[Found, int]:
    """What `getmany` returns, and the next offset."""

    async def get() -> tuple[Found, int]:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        found: Found = []
        while some := await fetcher.fetched_records([ONE], 0, None):
            found += [(each.offset, each.value) for each in some[ONE]]
        return found, fetcher.states[ONE].position

    return asyncio.run(get())


def polled(*fetched: bytes) -> tuple[Found, int]:
    """What client services read with kafka-python, and the next offset."""
    assert KAFKA_PYTHON.applied("bounded_batches")
    reader = KafkaPythonFetcher.PartitionRecords(
        fetch_offset=0, tp=ONE, records=KafkaPythonRecords(b"".join(fetched)), isolation_level=1, check_crcs=True
    )
    found = [(each.offset, each.value) for each in reader.record_iterator]
    return found, reader.next_fetch_offset


EACH = pytest.mark.parametrize("read", [taken, got, polled])
Read = Callable[..., tuple[Found, int]]


@EACH
@pytest.mark.parametrize("deltas", [(0, 0, 0), (0, 500, 2), (0, 2**31 - 1, 1), (0, -3, -7), (2, 1, 0), (-1, 0, 1)])
def test_records_have_the_offsets_that_kafka_counts(read: Read, deltas: Sequence[int]) -> None:
    """Kafka takes any offset inside of a batch without compression."""
    odd = batch(*(record(delta, b"%d" % place) for place, delta in enumerate(deltas)), base=1)
    found, end = read(batch(record(0, b"before")), odd, batch(record(0, b"after"), base=4))
    assert found == [(0, b"before"), (1, b"0"), (2, b"1"), (3, b"2"), (4, b"after")]
    assert end == 5


@EACH
def test_what_compaction_has_left_keeps_its_offsets(read: Read) -> None:
    found, end = read(batch(record(1, b"a"), record(4, b"b"), base=10, last=16), batch(record(0, b"after"), base=17))
    assert (found, end) == ([(11, b"a"), (14, b"b"), (17, b"after")], 18)


@EACH
@pytest.mark.parametrize("key", [b"~", number(1_500_000_000)], ids=["short", "far"])
def test_what_can_not_be_read_stops_nothing(read: Read, key: bytes) -> None:
    """The attributes of a record are a byte without use. Clients read more than one where its highest bit is set, and
    take the key for its length: aiokafka then read outside of its memory, which ended the process."""
    broken = record(1, b"x" * 40, attributes=0x80, key=key)
    found, end = read(batch(record(0, b"good"), broken, record(2, b"lost")), batch(record(0, b"after"), base=3))
    assert (found[0], found[-1], end) == ((0, b"good"), (3, b"after"), 4)
    ((offset, unread),) = found[1:-1]
    assert isinstance(unread, UnreadBatch)
    assert (offset, unread.first, unread.last, unread.code) == (2, 1, 2, "undecodable")
    assert "is malformed at offsets 1 to 2" in unread.message


@EACH
@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_what_can_not_be_decompressed_stops_nothing(read: Read, codec: int) -> None:
    broken = batch(record(0, b"a"), record(1, b"b"), base=1, codec=0)
    broken = with_codec(broken, codec)
    found, end = read(batch(record(0, b"before")), broken, batch(record(0, b"after"), base=3))
    assert (found[0], found[-1], end) == ((0, b"before"), (3, b"after"), 4)
    ((offset, unread),) = found[1:-1]
    assert isinstance(unread, UnreadBatch)
    assert (offset, unread.first, unread.last, unread.size) == (2, 1, 2, len(broken))


@EACH
def test_bytes_behind_the_last_record_make_no_record(read: Read) -> None:
    plain = batch(record(0, b"a"), record(1, b"b") + b"rest", base=1)
    found, end = read(batch(record(0, b"before")), plain, batch(record(0, b"after"), base=3))
    assert (found, end) == ([(0, b"before"), (1, b"a"), (2, b"b"), (3, b"after")], 4)


@EACH
@pytest.mark.parametrize(
    ("codec", "behind"),
    [
        (GZIP, b"padding"),
        (GZIP, b"\x1f\x8b"),
        (GZIP, b"\x1f\x8b\x08\0 no member"),
        (SNAPPY, b""),
        (SNAPPY, b"\0\0\0"),
        (LZ4, b""),
        (LZ4, b"\0"),
        (LZ4, b"padding that is no frame"),
        (LZ4, lz4(record(0, b"a second frame"))),
        (GZIP, b"\x1f\x8b\x08\x20" + gzip.compress(b"", mtime=0)[4:]),
        (ZSTD, b""),
        (ZSTD, b"\x28\xb5"),
        (ZSTD, b"\x28\xb5\x2f\xfd\0\x50"),
        (ZSTD, b"\x50\x2a\x4d\x18\4\0\0\0sk"),
        (ZSTD, b"\x50\x2a\x4d\x18\4\0\0\0skip"),
    ],
)
def test_what_kafka_does_not_look_at_behind_compressed_records_hides_none(
    read: Read, codec: int, behind: bytes
) -> None:
    """Kafka's own reader takes each of these: gzip ignores what begins no member, snappy fewer bytes than a length, lz4
    all behind the first frame, and the checksum of its content, zstd what begins a frame and has no block."""
    odd = batch(record(0, b"a" * 100), record(1, b"b"), base=1, codec=codec, behind=behind)
    found, end = read(batch(record(0, b"before")), odd, batch(record(0, b"after"), base=3))
    assert (found, end) == ([(0, b"before"), (1, b"a" * 100), (2, b"b"), (3, b"after")], 4)


def test_an_lz4_frame_that_decompresses_to_too_much_is_refused_block_by_block() -> None:
    frame = lz4(b"a" * 100_000)
    with pytest.raises(TooLarge):
        decompress_into(LZ4, memoryview(frame), bytearray(), 99_999)
    out = bytearray()
    decompress_into(LZ4, memoryview(frame), out, 100_000)
    assert out == b"a" * 100_000
    for end in [*range(0, len(frame) - 4, 997), len(frame) - 5]:
        with pytest.raises(CorruptBatch):
            decompress_into(LZ4, memoryview(frame)[:end], bytearray(), 100_000)


def decompressed(codec: int, data: bytes, limit: int = 1_000) -> bytes:
    out = bytearray()
    decompress_into(codec, memoryview(data), out, limit)
    return bytes(out)


def test_what_follows_the_first_lz4_frame_is_not_too_large() -> None:
    assert decompressed(LZ4, lz4(b"a" * 100) + lz4(b"b" * 100_000))[:100] == b"a" * 100


def member(data: bytes, flags: int, fields: bytes = b"", *, checksum: int = 0) -> bytes:
    """A gzip member; `checksum` is added to the one of the header."""
    header = b"\x1f\x8b\x08" + bytes([flags, 0, 0, 0, 0, 0, 3]) + fields
    if flags & 2:
        header += struct.pack("<H", (zlib.crc32(header) + checksum) & 0xFFFF)
    return header + zlib.compress(data, wbits=-15) + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize("reserved", [0x20, 0x40, 0x80, 0xE0])
@pytest.mark.parametrize(("flags", "fields"), [(0, b""), (2, b""), (0x1F, b"\3\0abcname\0comment\0")])
def test_gzip_with_reserved_flags_is_read_as_java_reads_it(reserved: int, flags: int, fields: bytes) -> None:
    """zlib refuses them, and ended the series of members where a later one has them."""
    odd = member(b"odd", reserved | flags, fields)
    assert decompressed(GZIP, odd) == b"odd"
    assert decompressed(GZIP, gzip.compress(b"usual ") + odd + gzip.compress(b" end")) == b"usual odd end"
    for end in range(len(odd)):
        with pytest.raises(CorruptBatch):
            decompressed(GZIP, odd[:end])
    if flags & 2:
        wrong = member(b"odd", reserved | flags, fields, checksum=1)
        with pytest.raises(CorruptBatch):
            decompressed(GZIP, wrong)
        assert decompressed(GZIP, gzip.compress(b"usual") + wrong) == b"usual"


def zstd_block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content


@pytest.mark.parametrize("header", [b"\0\x50", b"\4\x50", b"\x20\xc8", b"\x60\x00\x01", b"\xa0\0\1\0\0"])
@pytest.mark.parametrize(
    ("blocks", "read"),
    [
        (zstd_block(0, 3, b"raw"), b"raw"),
        (zstd_block(0, 9, b"raw"), b"raw"),
        (zstd_block(1, 5, b"a") + zstd_block(0, 3, b"raw"), b"aaaaaraw"),
        (zstd_block(1, 5, b"a") + zstd_block(2, 9, b"cut"), b"aaaaa"),
        (zstd_block(0, 3, b"raw") + b"\0", b"raw"),
        (b"", b""),
    ],
)
def test_a_second_zstd_frame_without_an_end_is_read_as_far_as_it_goes(
    header: bytes, blocks: bytes, read: bytes
) -> None:
    """Kafka's reader notices the end of the data only where it is about to read more of them."""
    cut = b"\x28\xb5\x2f\xfd" + header + blocks
    whole = bytes(cramjam.zstd.compress(b"whole "))
    assert decompressed(ZSTD, whole + cut) == b"whole " + read
    assert decompressed(ZSTD, whole + whole + cut) == b"whole whole " + read
    with pytest.raises(CorruptBatch):
        decompressed(ZSTD, cut)
    with pytest.raises(TooLarge):
        decompressed(ZSTD, whole + cut, 6 + len(read) - 1)
