"""Bytes for people: rows of offset, hexadecimal digits and ASCII."""

from __future__ import annotations

from collections.abc import Iterator

_ROW_BYTES = 16


def hex_dump(data: bytes) -> Iterator[str]:
    """Rows of offset, hexadecimal bytes and ASCII."""
    for start in range(0, len(data), _ROW_BYTES):
        row = data[start : start + _ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:04x}  {row.hex(' '):<{3 * _ROW_BYTES - 1}}  {text}"
