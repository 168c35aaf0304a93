"""What the compiled writers and readers of Avro records share: inspection of schemas, and a cache of what was
compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class UnknownTypeError(Exception):
    """A schema has a type that is not compiled."""


class Compiled(Generic[_T]):
    """Compiled code by schema fingerprint, which covers everything that determines the bytes."""

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
    """The position of null in a union with null, and the other type. Raises UnknownTypeError for any other union."""
    if len(branches) != 2 or "null" not in branches:
        raise UnknownTypeError(branches)
    null = branches.index("null")
    return null, branches[1 - null]


def is_position(schema: object) -> bool:
    """Whether it is the record of the contract that has the coordinates of an input."""
    if not isinstance(schema, dict) or schema["type"] != "record":
        return False
    return [field["name"] for field in fields_of(schema)] == ["topic", "partition", "offset"]
