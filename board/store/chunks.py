"""Values in pieces that fit one statement: databases limit the number of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
_SIZE: Final = 500


def chunks(values: Sequence[T], size: int = _SIZE) -> Iterator[Sequence[T]]:
    """The values in pieces of at most `size`, in their order."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
