"""Decompresses record batches with an upper bound: a few kilobytes of input can become gigabytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import cramjam

from streams.kafka.odd_frames import PLAIN_GZIP, end_of_reserved_gzip_header, zstd_with_an_end

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_XERIAL_AGAIN: Final = int.from_bytes(_XERIAL[:4], signed=True)
_GZIP_MEMBER: Final = b"\x1f\x8b"
#: The first piece of a member that is decompressed, and the largest: what a member leaves of its last is copied.
_GZIP_PIECE_BYTES: Final = (64, 1024 * 1024)
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_BLOCK_CHECKSUM, _LZ4_CONTENT_SIZE = 0x10, 0x08
_LZ4_AS_IS: Final = 1 << 31
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
    """Members may follow one another. What follows the first and is none, such as padding, Java ignores, and so Kafka
    takes it."""
    whole, begin = bytes(data), len(out)
    position = 0
    while not position or whole[position : position + 2] == _GZIP_MEMBER:
        before = len(out)
        try:
            position = _gzip_member(whole, position, out, limit - (before - begin))
        except (zlib.error, CorruptBatch):
            if not position:
                raise
            del out[before:]
            return


def _gzip_member(data: bytes, position: int, out: bytearray, limit: int) -> int:
    """Append what the member at `position` decompresses to; where the next one begins."""
    member, view = zlib.decompressobj(wbits=31), memoryview(data)
    if (header_end := end_of_reserved_gzip_header(data, position)) is not None:
        member.decompress(PLAIN_GZIP)
        position = header_end
    size, largest = _GZIP_PIECE_BYTES
    while not member.eof:
        piece = view[position : position + size]
        if not piece:
            raise CorruptBatch("a gzip stream ends too soon")
        decompressed = member.decompress(piece, limit + 1)
        limit -= len(decompressed)
        if limit < 0:
            raise TooLarge
        out += decompressed
        position += len(piece) - len(member.unconsumed_tail) - len(member.unused_data)
        size = min(4 * size, largest)
    return position


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
    while position + 4 <= len(data):  # fewer bytes Java ignores
        (size,) = struct.unpack_from("!i", data, position)
        position += 4
        if size == _XERIAL_AGAIN:  # another such stream follows
            position += _XERIAL_HEADER_BYTES - 4
            continue
        blocks.append(bytes(data[position : position + size]))
        position += size
    return blocks


def _lz4(data: memoryview, out: bytearray, limit: int) -> None:
    """Kafka reads the first frame, without the checksum of its content, and ignores what follows."""
    with suppress(cramjam.DecompressionError, TooLarge):  # too large may be what follows
        _lz4_frames(data, out, limit)
        return
    _lz4_first_frame(data, out, limit)  # here the error is gone, whose traceback holds a buffer


def _lz4_first_frame(data: memoryview, out: bytearray, limit: int) -> None:
    """The frame's blocks one by one, where `data` is no series of right frames."""
    if bytes(data[:4]) != _LZ4_MAGIC:
        raise CorruptBatch("an lz4 frame has another beginning")
    flags, sizes = struct.unpack_from("<BB", data, 4)
    buffer = bytearray(1 << 8 + 2 * (sizes >> 4 & 7))
    position = 7 + 8 * bool(flags & _LZ4_CONTENT_SIZE)
    while True:
        (size,) = struct.unpack_from("<I", data, position)
        position += 4
        if not size:
            break
        block = data[position : position + (size & ~_LZ4_AS_IS)]
        if len(block) < size & ~_LZ4_AS_IS:
            raise CorruptBatch("an lz4 block ends too soon")
        position += len(block) + 4 * bool(flags & _LZ4_BLOCK_CHECKSUM)
        piece = block if size & _LZ4_AS_IS else _lz4_block(bytes(block), buffer)
        limit -= len(piece)
        if limit < 0:
            raise TooLarge
        out += piece


def _lz4_block(block: bytes, buffer: bytearray) -> memoryview:
    return memoryview(buffer)[: cramjam.lz4.decompress_block_into(block, buffer, output_len=len(buffer))]


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


def _zstd(data: memoryview, out: bytearray, limit: int) -> None:
    """Kafka reads what there is of a frame that ends too soon, if it follows a whole one."""
    with suppress(cramjam.DecompressionError):
        _zstd_frames(data, out, limit)
        return
    _zstd_frames(memoryview(zstd_with_an_end(bytes(data))), out, limit)


_lz4_frames = _cramjam(lambda data, buffer: int(cramjam.lz4.decompress_into(data, buffer)))
_zstd_frames = _cramjam(lambda data, buffer: int(cramjam.zstd.decompress_into(data, buffer)))
_DECOMPRESSORS: Final[Mapping[int, Callable[[memoryview, bytearray, int], None]]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: _zstd,
}
