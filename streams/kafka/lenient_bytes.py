"""Bytes that decode as text whatever they are, for header names that are not UTF-8."""

from __future__ import annotations

from typing import Any


class LenientBytes(bytearray):
    """Bytes whose slices decode with \\xNN for each byte that is not UTF-8."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return LenientBytes(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
