"""Compressed data that Kafka's own reader takes, in a form that the decompressors of this process take, too."""

from __future__ import annotations

import struct
import zlib
from typing import Final

#: A header of gzip without flags.
PLAIN_GZIP: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_GZIP_RESERVED: Final = 0xE0
_HEADER_CHECKSUM, _EXTRA, _TEXTS = 0x02, 0x04, (0x08, 0x10)

_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_SKIPPED_MAGIC: Final = 0x184D2A50
#: The header of a frame that states neither size nor checksum, with a window of 32 MiB: no batch may be larger.
_PLAIN_ZSTD: Final = b"\x28\xb5\x2f\xfd\x00\x78"
_LAST_EMPTY_BLOCK: Final = b"\x01\0\0"
_RAW, _REPEATED = 0, 1


def end_of_reserved_gzip_header(data: bytes, start: int) -> int | None:
    """Where the header of the member at `start` ends if it has reserved flags: zlib refuses these, Java ignores them.
    None for any other. Raises zlib.error for a header that Java refuses."""
    position = start + len(PLAIN_GZIP)
    if len(data) < position or data[start : start + 3] != PLAIN_GZIP[:3] or not data[start + 3] & _GZIP_RESERVED:
        return None
    flags = data[start + 3]
    try:
        if flags & _EXTRA:
            position += 2 + int(struct.unpack_from("<H", data, position)[0])
        for text in _TEXTS:
            if flags & text:
                position = data.index(b"\0", position) + 1
        if flags & _HEADER_CHECKSUM:
            (checksum,) = struct.unpack_from("<H", data, position)
            if checksum != zlib.crc32(data[start:position]) & 0xFFFF:
                raise zlib.error("incorrect header check")
            position += 2
    except (struct.error, ValueError) as error:
        raise zlib.error("incomplete header") from error
    return position


def zstd_with_an_end(data: bytes) -> bytes:
    """Frames of which the last one, behind a whole one, ends too soon: Kafka reads what there is of it. As it is if
    there is nothing to mend."""
    start = 0
    try:
        while start < len(data):
            position = start
            end = _frame_end(data, position)
            if end > len(data):
                break
            start = end
    except (struct.error, IndexError):
        pass
    return data if start in (0, len(data)) else data[:start] + _ended(data[start:])


def _frame_end(data: bytes, start: int) -> int:
    """Where the frame at `start` ends; behind `data` if that is unknown. Raises struct.error or IndexError where the
    data end before."""
    (magic,) = struct.unpack_from("<I", data, start)
    if magic & ~0xF == _ZSTD_SKIPPED_MAGIC:
        return start + 8 + int(struct.unpack_from("<I", data, start + 4)[0])
    if magic != _ZSTD_MAGIC:
        return len(data) + 1
    position, last = _blocks_at(data, start), False
    while not last:
        last, _, size = _block(data, position)
        position += 3 + size
    return position + 4 * (data[start + 4] >> 2 & 1)


def _blocks_at(data: bytes, start: int) -> int:
    """Where the first block of the frame at `start` is."""
    flags = data[start + 4]
    single = flags >> 5 & 1
    return start + 6 - single + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]


def _block(data: bytes, position: int) -> tuple[bool, int, int]:
    """Whether the block is the last one of its frame, its kind, and its bytes behind the header."""
    header = data[position] | data[position + 1] << 8 | data[position + 2] << 16
    kind = header >> 1 & 3
    return bool(header & 1), kind, 1 if kind == _REPEATED else header >> 3


def _ended(frame: bytes) -> bytes:
    """The blocks of a frame that has no end, with one; nothing if it has none."""
    if len(frame) < 5 or int.from_bytes(frame[:4], "little") != _ZSTD_MAGIC or frame[4] & 3:
        return b""
    blocks, position = bytearray(), _blocks_at(frame, 0)
    while position + 3 <= len(frame):
        _, kind, size = _block(frame, position)
        there = frame[position + 3 : position + 3 + size]
        if len(there) < size and kind != _RAW:
            break
        header = (len(there) if kind == _RAW else _size_field(frame, position)) << 3 | kind << 1
        blocks += header.to_bytes(3, "little") + there
        position += 3 + size
        if len(there) < size or frame[position - 3 - size] & 1:
            break
    return _PLAIN_ZSTD + bytes(blocks) + _LAST_EMPTY_BLOCK if blocks else b""


def _size_field(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 3], "little") >> 3
