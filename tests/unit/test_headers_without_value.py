"""Headers that say why a record was rejected may come from anybody, and then without values."""

from __future__ import annotations

import pytest

from cli.reading import Read
from cli.shown import refused_of
from streams.runtime import rejects

NAMES = (*(rejects.CODE, rejects.MESSAGE, rejects.TOPIC, rejects.PARTITION), *(rejects.OFFSET, rejects.TIMESTAMP))


@pytest.mark.parametrize("name", [*NAMES, rejects.ATTEMPTS])
def test_a_header_without_a_value_is_none_of_ours(name: str) -> None:
    """R27."""
    said: list[tuple[str, bytes | None]] = [(each, b"1") for each in (*NAMES, rejects.ATTEMPTS)]
    assert refused_of(Read("t", 0, 0, 0, None, None, said)) is not None  # type: ignore[arg-type]
    without = [(each, None if each == name else value) for each, value in said]
    assert refused_of(Read("t", 0, 0, 0, None, None, without)) is None  # type: ignore[arg-type]
