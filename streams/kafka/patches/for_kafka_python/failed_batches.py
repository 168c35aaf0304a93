"""Lets a consumer be polled again after a batch could not be read, such as one with a wrong checksum.

kafka-python keeps what is left of the fetch, of which nothing more comes, and asks it for records without end. With the
patch it is dropped, and fetched anew: each poll raises what is wrong, and other partitions are read. Without it, the
poll after the one that raised never returns.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher

_take = Fetcher.PartitionRecords.take


def _take_or_drop(self: Any, *given: Any, **options: Any) -> Any:
    try:
        return _take(self, *given, **options)
    except Exception:
        self.drain()
        raise


def apply() -> None:
    """Patch the class. Raises AttributeError where it has other parts."""
    _ = Fetcher.PartitionRecords.drain
    Fetcher.PartitionRecords.take = _take_or_drop
