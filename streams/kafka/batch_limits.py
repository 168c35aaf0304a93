"""What is read of a record batch at most, by every consumer: a few kilobytes may decompress to gigabytes."""

from __future__ import annotations

from typing import Final

#: What a record batch may decompress to.
MAX_BATCH_BYTES: Final = 32 * 1024 * 1024
#: Headers of one record. A header of two bytes takes Python sixty.
MAX_HEADERS: Final = 100_000
#: Bytes of a batch before its records.
HEADER_SIZE: Final = 61


def has_many_headers(data: memoryview, position: int) -> bool:
    """Whether a record of an uncompressed batch has more than `MAX_HEADERS` headers; the records begin at `position`.
    Records of fewer bytes than that many headers need are skipped; what is malformed is left to the client."""
    try:
        while position < len(data):
            length, start = _varint(data, position)
            if length < 0:
                return False
            position = start + length
            if length > 2 * MAX_HEADERS and _header_count(data, start) > MAX_HEADERS:
                return True
    except IndexError:
        pass
    return False


def _header_count(data: memoryview, position: int) -> int:
    """How many headers the record has whose attributes are at `position`."""
    _, position = _varint(data, position + 1)  # its timestamp
    _, position = _varint(data, position)  # its offset
    for _ in ("key", "value"):
        size, position = _varint(data, position)
        position += max(0, size)
    return _varint(data, position)[0]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number in zigzag encoding, and the position after it. Raises IndexError where there is none."""
    byte = data[position]
    position += 1
    number, shift = byte & 0x7F, 7
    while byte & 0x80:
        if shift > 63:
            raise IndexError
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), position
