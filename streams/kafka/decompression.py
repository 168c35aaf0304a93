"""Decompresses record batches with an upper bound: a few kilobytes of input can become gigabytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import cramjam

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_XERIAL_AGAIN: Final = int.from_bytes(_XERIAL[:4], signed=True)
_GZIP_MEMBER: Final = b"\x1f\x8b"
_FIRST_BUFFER_BYTES = 128 * 1024
#: What cramjam says when the output does not fit into the buffer.
_FULL: Final = "failed to write whole buffer"


class TooLarge(Exception):  # noqa: N818 -- it names what happened
    """The data would decompress to more than was allowed."""


class CorruptBatch(Exception):  # noqa: N818 -- it names what it is about
    """The data can't be decompressed. Callers raise the exception of their client."""


def decompress_into(codec: int, data: memoryview, out: bytearray, limit: int) -> None:
    """Append what `data` decompresses to, at most `limit` bytes. `codec` is that of a record batch's attributes.

    Raises TooLarge, and CorruptBatch for data that can't be decompressed.
    """
    try:
        _DECOMPRESSORS[codec](data, out, limit)
    except KeyError:
        raise CorruptBatch(f"unknown compression {codec}") from None
    except (cramjam.DecompressionError, zlib.error, struct.error, OSError) as error:
        raise CorruptBatch(f"a record batch can't be decompressed: {error}") from error


def _gzip(data: memoryview, out: bytearray, limit: int) -> None:
    """Members may follow one another; what follows the first and is none, such as padding, Java ignores, and so Kafka
    takes it."""
    rest: bytes | memoryview = data
    while rest is data or rest[:2] == _GZIP_MEMBER:
        member = zlib.decompressobj(wbits=31)
        piece = member.decompress(rest, limit + 1)
        if len(piece) > limit:
            raise TooLarge
        if not member.eof:
            raise CorruptBatch("a gzip stream ends too soon")
        out += piece
        limit -= len(piece)
        rest = member.unused_data


def _snappy(data: memoryview, out: bytearray, limit: int) -> None:
    for block in _snappy_blocks(data):
        limit -= cramjam.snappy.decompress_raw_len(block)
        if limit < 0:
            raise TooLarge
        out += bytes(cramjam.snappy.decompress_raw(block))


def _snappy_blocks(data: memoryview) -> list[bytes]:
    """Java clients write blocks in a framing of their own (xerial), librdkafka a single block."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        return [bytes(data)]
    blocks, position = [], _XERIAL_HEADER_BYTES
    while position < len(data):
        (size,) = struct.unpack_from("!i", data, position)
        position += 4
        if size == _XERIAL_AGAIN:  # another such stream follows
            position += _XERIAL_HEADER_BYTES - 4
            continue
        blocks.append(bytes(data[position : position + size]))
        position += size
    return blocks


def _cramjam(into: Callable[[bytes, bytearray], int]) -> Callable[[memoryview, bytearray, int], None]:
    """Into a buffer that grows until the output fits: a large one costs more than what most batches need."""

    def decompress(data: memoryview, out: bytearray, limit: int) -> None:
        size = min(max(_FIRST_BUFFER_BYTES, 4 * len(data)), limit)
        while True:
            buffer = bytearray(size)
            try:
                out += memoryview(buffer)[: into(bytes(data), buffer)]
            except cramjam.DecompressionError as error:
                if _FULL not in str(error):
                    raise
                if size >= limit:
                    raise TooLarge from None
                size = min(4 * size, limit)
            else:
                return

    return decompress


_DECOMPRESSORS: Final[Mapping[int, Callable[[memoryview, bytearray, int], None]]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _cramjam(lambda data, buffer: int(cramjam.lz4.decompress_into(data, buffer))),
    ZSTD: _cramjam(lambda data, buffer: int(cramjam.zstd.decompress_into(data, buffer))),
}
