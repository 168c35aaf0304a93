"""Compressed input in bounded memory: bounds count bytes after decompression, whatever a batch has in Kafka."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
import zlib
from importlib import import_module
from typing import Any

import aiokafka.codec as codecs
import pytest
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.record.util import encode_varint_py
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher as KafkaPythonFetcher
from kafka.record.memory_records import MemoryRecords as KafkaPythonRecords
from test_taking import ONE, TWO, Fetcher, damaged

from streams.kafka.batch_limits import MAX_BATCH_BYTES
from streams.kafka.batch_reader import FetcherReader
from streams.kafka.decompression import GZIP, LZ4, SNAPPY, ZSTD, CorruptBatch, TooLarge, decompress_into
from streams.kafka.patches import KAFKA_PYTHON
from streams.kafka.patches.for_aiokafka import record_batches
from streams.kafka.patches.for_aiokafka.record_batches import TAKEN_BYTES
from streams.kafka.records import Batch, UnreadBatch

MIB = 1024 * 1024
ENCODERS = {
    GZIP: codecs.gzip_encode,
    SNAPPY: codecs.snappy_encode,
    LZ4: codecs.lz4_encode,
    ZSTD: codecs.zstd_encode,
}
CODECS = pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD], ids=["gzip", "snappy", "lz4", "zstd"])


def append(builder: Any, offset: int, value: bytes, headers: int) -> None:
    """A record with so many empty headers, which the builder would write one by one."""
    record = bytearray(1)
    for number in (0, offset):
        encode_varint_py(number, record.append)
    for part in (b"k", value):
        encode_varint_py(len(part), record.append)
        record += part
    encode_varint_py(headers, record.append)
    record += bytes(2) * headers
    encode_varint_py(len(record), builder._buffer.append)
    builder._buffer += record
    builder._num_records += 1
    builder._last_offset = offset
    builder._first_timestamp = builder._max_timestamp = 1_000


def batch(values: list[bytes], codec: int, base: int = 0, headers: int = 0) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, 0, 0, 1 << 31)
    for number, value in enumerate(values):
        append(builder, number, value, headers)
    built = bytearray(builder.build())
    built[:8] = base.to_bytes(8, "big")
    return bytes(built)


def taken(*fetched: bytes) -> list[Batch]:
    """What is taken of one fetch, until nothing is left of it."""

    async def take() -> list[Batch]:
        fetcher = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        reader, found = FetcherReader(fetcher), []
        while some := await reader.take(frozenset({ONE}), 0.0):
            found += some
        assert fetcher._records == {}
        return found

    return asyncio.run(take())


@CODECS
@settings(deadline=None, max_examples=settings.default.max_examples * 3 // 10)
@given(data=st.binary(max_size=300), repeated=st.integers(1, 2_000))
def test_what_fits_is_decompressed_and_what_does_not_is_refused(codec: int, data: bytes, repeated: int) -> None:
    plain = data * repeated
    out = bytearray(b"before")
    decompress_into(codec, memoryview(ENCODERS[codec](plain)), out, max(1, len(plain)))
    assert out == b"before" + plain
    if len(plain) > 1:
        with pytest.raises(TooLarge):
            decompress_into(codec, memoryview(ENCODERS[codec](plain)), bytearray(), len(plain) - 1)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5], ids=["gzip", "snappy", "lz4", "zstd", "unknown"])
def test_what_is_no_compressed_data_is_corrupt(codec: int) -> None:
    with pytest.raises(CorruptBatch):
        decompress_into(codec, memoryview(b"\0" * 20), bytearray(), 1_000)


def test_snappy_in_one_block_as_librdkafka_writes_it() -> None:
    out = bytearray()
    decompress_into(SNAPPY, memoryview(codecs.snappy_encode(b"a" * 9_000, xerial_compatible=False)), out, 9_000)
    assert out == b"a" * 9_000


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, ZSTD])
def test_streams_that_follow_one_another_are_read(codec: int) -> None:
    out = bytearray()
    decompress_into(codec, memoryview(ENCODERS[codec](b"one") + ENCODERS[codec](b"two")), out, 6)
    assert out == b"onetwo"


@pytest.mark.parametrize("rest", [b"\0" * 32, b"rest", b"\x1f"])
def test_what_follows_gzip_and_is_none_is_ignored_as_java_does(rest: bytes) -> None:
    out = bytearray()
    decompress_into(GZIP, memoryview(codecs.gzip_encode(b"one") + rest), out, 6)
    assert out == b"one"


def test_each_of_many_gzip_members_costs_what_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a decompressor is given behind its member is copied, once for each member."""
    given, make = [], zlib.decompressobj

    class Counted:
        def __init__(self, wbits: int) -> None:
            self._member = make(wbits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

        def decompress(self, data: bytes, limit: int = 0) -> bytes:
            given.append(len(data))
            return self._member.decompress(data, limit)

    monkeypatch.setattr(zlib, "decompressobj", Counted)
    flagged = bytearray(codecs.gzip_encode(b""))
    flagged[3] = 0x80  # read by a way of its own
    for member in (codecs.gzip_encode(b""), bytes(flagged)):
        given.clear()
        out = bytearray()
        decompress_into(GZIP, memoryview(codecs.gzip_encode(b"one") + member * 2_000), out, 3)
        assert out == b"one"
        assert sum(given) < 10 * 2_000 * len(member)


@CODECS
def test_a_batch_that_decompresses_to_too_much_is_not_read_and_its_neighbours_are(codec: int) -> None:
    """1,100 records of 900 KB compress to 45 KB of zstd."""
    large = batch([b"x" * 900_000] * 40, codec, base=1)
    assert len(large) < 2 * MIB
    found = taken(batch([b"before"], codec), large, batch([b"after"], codec, base=41))
    records = [record for each in found for record in each.records]
    assert [record.offset for record in records] == [0, 40, 41]
    assert (found[0].start, found[-1].end) == (0, 42)
    unread = records[1].value
    assert isinstance(unread, UnreadBatch)
    assert (unread.first, unread.last, unread.size) == (1, 40, len(large))
    assert unread.sha256 == hashlib.sha256(large).hexdigest()
    assert "offsets 1 to 40 decompresses to more than 33,554,432 bytes" in unread.message


@CODECS
def test_a_large_batch_is_taken_in_parts(codec: int) -> None:
    """5,000 records of 240 KB are a gigabyte."""
    values = [b"%d" % number + b"y" * 240_000 for number in range(120)]
    found = taken(batch(values, codec))
    assert [record.value for each in found for record in each.records] == values
    assert len(found) >= 6
    assert all(each.size <= TAKEN_BYTES + 2 * MIB for each in found)
    assert [each.start for each in found] == [0, *(each.end for each in found[:-1])]


def test_small_records_are_counted_with_what_python_needs_for_them() -> None:
    found = taken(batch([b""] * 100_000, ZSTD))
    assert sum(len(each.records) for each in found) == 100_000
    assert len(found) >= 4
    found = taken(batch([b""] * 200, ZSTD, headers=1_000), batch([b"next"], ZSTD, base=200))
    assert found[0].size > 20 * MIB, "a header of three bytes is a tuple of two objects"
    assert len(found) == 2


@CODECS
def test_memory_is_bounded_however_much_a_batch_would_be(codec: int) -> None:
    bomb = batch([b"z" * 10 * MIB] * 12, codec)
    tracemalloc.start()
    try:
        (found,) = taken(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(found.records[0].value, UnreadBatch)
    assert peak < 2 * MAX_BATCH_BYTES + 2 * len(bomb)


@pytest.mark.parametrize("records", [1, 20])
def test_memory_is_bounded_however_many_headers_a_record_has(records: int) -> None:
    """A header of two bytes takes Python sixty: the headers of a batch of 32 MiB would take a gigabyte."""
    many = batch([b"v"] * records, ZSTD, base=1, headers=4_000_000 // records)
    tracemalloc.start()
    try:
        found = taken(batch([b"before"], ZSTD), many, batch([b"after"], ZSTD, base=1 + records))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    unread = found[0].records[1].value
    assert isinstance(unread, UnreadBatch)
    assert f"offsets 1 to {records} has a record of more than 100,000 headers" in unread.message
    assert [record.offset for each in found for record in each.records] == [0, records, records + 1]
    assert peak < 64 * MIB


def test_records_of_many_headers_are_taken_a_few_at_a_time() -> None:
    builder = _DefaultRecordBatchBuilderPy(2, ZSTD, False, -1, 0, 0, 1 << 31)
    for number in range(20_000):
        builder.append(number, 1_000, b"k", b"v", [])
    for number in range(20_000, 20_040):
        append(builder, number, b"v", 100_000)
    found = taken(bytes(builder.build()))
    assert [record.offset for each in found for record in each.records] == [*range(20_040)]
    assert all(sum(len(record.headers) for record in each.records) <= 200_000 for each in found)


def test_another_partition_is_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "TAKEN_BYTES", 1)

    async def take() -> None:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, batch([b"1"], ZSTD) + batch([b"2"], ZSTD, base=1))
        fetcher.has(TWO, batch([b"3"], ZSTD))
        reader = FetcherReader(fetcher)
        both = frozenset({ONE, TWO})
        first = {each.partition: each for each in await reader.take(both, 0.0)}
        assert [record.value for record in first[1].records] == [b"1"]
        assert [record.value for record in first[2].records] == [b"3"]
        assert ONE in fetcher._records, "nothing more is fetched of what is not taken yet"
        (rest,) = await reader.take(both, 0.0)
        assert (rest.start, rest.end) == (1, 2)

    asyncio.run(take())


def got(*fetched: bytes, most: int | None = None) -> list[list[Any]]:
    """What a consumer's `getmany` returns of one fetch, call by call, until nothing is left of it."""

    async def get() -> list[list[Any]]:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, b"".join(fetched))
        found = []
        while some := await fetcher.fetched_records([ONE], 0, most):
            found.append(some[ONE])
        assert fetcher._records == {}
        assert fetcher.states[ONE].position == found[-1][-1].offset + 1
        return found

    return asyncio.run(get())


@CODECS
def test_getmany_is_bounded_too(codec: int) -> None:
    bomb = batch([b"z" * 10 * MIB] * 12, codec, base=1)
    tracemalloc.start()
    try:
        found = got(batch([b"before"], codec), bomb, batch([b"after"], codec, base=13))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    records = [record for each in found for record in each]
    assert [(record.offset, record.key) for record in records] == [(0, b"k"), (12, None), (13, b"k")]
    unread = records[1].value
    assert isinstance(unread, UnreadBatch)
    assert (unread.first, unread.last, records[1].timestamp) == (1, 12, 1_000)
    assert peak < 2 * MAX_BATCH_BYTES + 2 * len(bomb) + MIB


def test_getmany_does_not_read_records_of_too_many_headers() -> None:
    found = got(batch([b"v"], ZSTD, headers=4_000_000), batch([b"after"], ZSTD, base=1))
    assert [type(record.value) for each in found for record in each] == [UnreadBatch, bytes]


@CODECS
def test_one_call_of_getmany_returns_a_part_of_a_large_batch(codec: int) -> None:
    values = [b"%d" % number + b"y" * 240_000 for number in range(120)]
    found = got(batch(values, codec))
    assert [record.value for each in found for record in each] == values
    assert all(sum(len(record.value) for record in each) <= TAKEN_BYTES + 240_010 for each in found)
    assert [len(each) for each in got(batch([b"", b"", b""], codec), most=2)] == [2, 1]


def test_getmany_returns_what_comes_before_a_damaged_batch() -> None:
    async def get() -> None:
        fetcher: Any = Fetcher()
        fetcher.has(ONE, batch([b"1", b"2"], ZSTD) + damaged(batch([b"3"], ZSTD, base=2)))
        assert [record.value for record in (await fetcher.fetched_records([ONE]))[ONE]] == [b"1", b"2"]
        assert fetcher.states[ONE].position == 2
        fetcher.has(ONE, damaged(batch([b"3"], ZSTD, base=2)))
        with pytest.raises(CorruptRecordException):
            await fetcher.fetched_records([ONE])
        assert fetcher.states[ONE].position == 2

    asyncio.run(get())


def polled(*fetched: bytes) -> list[Any]:
    """What a consumer of kafka-python returns of one fetch. Checksums are off: traced memory slows them too much."""
    assert KAFKA_PYTHON.applied("bounded_batches")
    position = KafkaPythonFetcher.PartitionRecords(
        fetch_offset=0, tp=ONE, records=KafkaPythonRecords(b"".join(fetched)), isolation_level=1, check_crcs=False
    )
    return list(position.record_iterator)


@CODECS
def test_consumers_of_client_services_are_bounded_too(codec: int) -> None:
    bomb = batch([b"z" * 10 * MIB] * 4, codec, base=1)
    tracemalloc.start()
    try:
        found = polled(batch([b"before"], codec), bomb, batch([b"after", b"last"], codec, base=5))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(record.offset, record.key) for record in found] == [(0, b"k"), (4, None), (5, b"k"), (6, b"k")]
    unread = found[1].value
    assert isinstance(unread, UnreadBatch)
    assert (unread.first, unread.last, found[1].timestamp) == (1, 4, 1_000)
    assert unread.sha256 == hashlib.sha256(bomb).hexdigest()
    assert peak < 2 * MAX_BATCH_BYTES + 3 * len(bomb) + MIB


@pytest.mark.parametrize("codec", [0, ZSTD])
def test_consumers_of_client_services_do_not_read_records_of_too_many_headers(codec: int) -> None:
    found = polled(batch([b"v"], codec, headers=200_000), batch([b"after"], codec, base=1, headers=100_000))
    assert [type(record.value) for record in found] == [UnreadBatch, bytes]
    assert "has a record of more than 100,000 headers" in found[0].value.message


@pytest.mark.parametrize("part", ["decompress_into", "in_offset_order"])
def test_a_batch_for_which_memory_is_wanting_is_read_again(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """It would be rejected as damaged, or end the worker."""

    def scarce(*_: object) -> None:
        raise MemoryError

    async def take() -> None:
        values = [b"1" * 1_000, b"2" * 1_000]
        fetcher, fetched = Fetcher(), batch(values, ZSTD)
        reader = FetcherReader(fetcher)
        with monkeypatch.context() as short:
            short.setattr(record_batches, part, scarce)
            fetcher.has(ONE, fetched)
            assert await reader.take(frozenset({ONE}), 0.0) == []
            with pytest.raises(KafkaError, match="this process is out of memory"):
                await reader.take(frozenset({ONE}), 0.0)
        assert fetcher.states[ONE].position == 0
        assert await reader.take(frozenset({ONE}), 0.0) == []
        assert fetcher._records == {}, "it is fetched anew"
        fetcher.has(ONE, fetched)
        ((*_, records, _),) = await reader.take(frozenset({ONE}), 0.0)
        assert [record.value for record in records] == values

    asyncio.run(take())


@pytest.mark.parametrize("part", ["decompress_into", "in_offset_order"])
def test_consumers_of_client_services_do_not_pass_a_batch_for_which_memory_is_wanting(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """It would be taken for damaged, and its events for lost."""

    def scarce(*_: object) -> None:
        raise MemoryError

    assert KAFKA_PYTHON.applied("bounded_batches")
    monkeypatch.setattr(import_module("streams.kafka.patches.for_kafka_python.bounded_batches"), part, scarce)
    with pytest.raises(MemoryError):
        polled(batch([b"1" * 1_000], ZSTD))


def test_what_can_not_be_decompressed_is_corrupt_until_no_other_reader_is_left() -> None:
    broken = bytearray(batch([b"v"], 0))
    broken[22] |= ZSTD
    with pytest.raises(CorruptRecordException, match="can't be decompressed"):
        list(record_batches.BoundedBatch(DefaultRecordBatch, memoryview(broken)))
    (last,) = record_batches.BoundedBatch(DefaultRecordBatch, memoryview(broken), last_try=True)
    assert isinstance(last.value, UnreadBatch)
