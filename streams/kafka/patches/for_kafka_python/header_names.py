"""Header names that are not UTF-8: kafka-python takes such a record for corrupt, and cannot read past it.

Kafka allows any bytes as a header's name. With the patch such a name reads as text with \\xNN for each bad byte, as it
does in the product's own processes (for_aiokafka/header_names.py). Without it, such a record stops a consumer.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

from streams.kafka.lenient_bytes import LenientBytes

_read = DefaultRecordBatch._read_msg


def _read_any(self: Any, *given: Any, **options: Any) -> Any:
    try:
        return _read(self, *given, **options)
    except UnicodeDecodeError:  # it has not moved on
        self._buffer = LenientBytes(self._buffer)
        return _read(self, *given, **options)


def apply() -> None:
    """Make every consumer of kafka-python in this process read any header name."""
    DefaultRecordBatch._read_msg = _read_any
