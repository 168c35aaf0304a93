"""Header names that are not UTF-8: kafka-python 3.0 takes such a record for corrupt, and cannot read past it.

Kafka allows any bytes as a header's name. After `read_any` such a name reads as text with \\xNN for each bad byte, as
it does in the product's own processes (patches/header_names.py).
"""

from __future__ import annotations

from typing import Any

import structlog
from kafka.record.default_records import DefaultRecordBatch


class LenientBytes(bytearray):
    """Bytes whose slices decode as text whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return LenientBytes(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


def read_any() -> None:
    """Make every consumer of kafka-python in this process read any header name. Needed once; further calls change
    nothing. A release with other private parts is left alone, which is logged."""
    read = getattr(DefaultRecordBatch, "_read_msg", None)
    if read is None:
        structlog.get_logger(__name__).warning("kafka_python_patch_skipped", patch="any_header_names")
        return
    if getattr(read, "reads_any", False):
        return

    def read_message(self: Any, *given: Any, **options: Any) -> Any:
        try:
            return read(self, *given, **options)
        except UnicodeDecodeError:  # it has not moved on
            self._buffer = LenientBytes(self._buffer)
            return read(self, *given, **options)

    read_message.reads_any = True  # type: ignore[attr-defined]
    DefaultRecordBatch._read_msg = read_message
