"""What the compiled writers and readers of Avro records share: looking at schemas, and keeping what was compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class UnknownTypeError(Exception):
    """A schema has a type that is not compiled."""


class Compiled(Generic[_T]):
    """What was compiled of schemas, once for each fingerprint: those name what decides about the bytes."""

    def __init__(self, compile_schema: Callable[[Mapping[str, object]], _T]) -> None:
        self._compile = compile_schema
        self._made: dict[bytes, _T | None] = {}

    def of(self, fingerprint: bytes, schema: Mapping[str, object]) -> _T | None:
        """None for a schema with a type that is not compiled."""
        if fingerprint not in self._made:
            try:
                self._made[fingerprint] = self._compile(schema)
            except UnknownTypeError:
                self._made[fingerprint] = None
        return self._made[fingerprint]


def fields_of(schema: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The fields of a record."""
    return cast(list[Mapping[str, object]], schema["fields"])


def other_branch(branches: list[object]) -> tuple[int, object]:
    """Of a union with null: where null is, and what it may be else. Raises UnknownTypeError for any other union."""
    if len(branches) != 2 or "null" not in branches:
        raise UnknownTypeError(branches)
    null = branches.index("null")
    return null, branches[1 - null]
