"""Headers that say why a record was rejected may come from anybody, and then without values."""

from __future__ import annotations

import pytest

from streams.runtime import dead_letter
from streams.runtime.dead_letter import rejected_headers

NAMES = (
    *(dead_letter.CODE, dead_letter.MESSAGE, dead_letter.TOPIC, dead_letter.PARTITION),
    *(dead_letter.OFFSET, dead_letter.TIMESTAMP),
)


@pytest.mark.parametrize("name", [*NAMES, dead_letter.ATTEMPTS])
def test_a_header_without_a_value_is_none_of_ours(name: str) -> None:
    """R27."""
    said: list[tuple[str, bytes | None]] = [(each, b"1") for each in (*NAMES, dead_letter.ATTEMPTS)]
    assert rejected_headers(said) is not None  # type: ignore[arg-type]
    without = [(each, None if each == name else value) for each, value in said]
    assert rejected_headers(without) is None  # type: ignore[arg-type]
