"""Scalar values between JSON and Avro, one small converter per kind of schema."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Protocol, cast

from streams.sla.instants import LATEST, SECOND, format_rfc3339, parse_rfc3339

#: Instants outside years 1–9999 have no RFC 3339 form; facts outside 1970–9999 are refused later (R28).
_EARLIEST = -62_135_596_800 * SECOND
#: Below this many microseconds a float has the 15 digits that give seconds with 6 decimals back exactly.
_EXACT_AS_FLOAT = 10**15
_FINEST_EXPONENT = -40
_SURROGATE = re.compile("[\ud800-\udfff]")


class SchemaMismatchError(ValueError):
    """A JSON value that doesn't fit the schema; its text names the path and what is expected."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class Converter(Protocol):
    """Converts values of one schema from JSON to Avro and back. `path` goes into the SchemaMismatchError."""

    def from_json(self, value: object, path: str) -> object: ...

    def to_json(self, value: object) -> object: ...


class String:
    """A string. JSON can contain a lone surrogate (a text that was cut inside an emoji), UTF-8 cannot. With `repairs`,
    for texts for people, it becomes U+FFFD. Elsewhere it is refused, because an id must not change."""

    def __init__(self, *, repairs: bool = False) -> None:
        self._repairs = repairs

    def from_json(self, value: object, path: str) -> str:
        if not isinstance(value, str):
            raise SchemaMismatchError(path, f"expected a text, got {shown(value)}")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                if self._repairs:
                    return _SURROGATE.sub("\ufffd", value)
                raise SchemaMismatchError(path, "has a lone surrogate, which is not a character") from error
        return value

    def to_json(self, value: object) -> object:
        return value


class Boolean:
    """A boolean."""

    def from_json(self, value: object, path: str) -> bool:
        if not isinstance(value, bool):
            raise SchemaMismatchError(path, f"expected true or false, got {shown(value)}")
        return value

    def to_json(self, value: object) -> object:
        return value


class Integer:
    """An integer of so many bits."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def from_json(self, value: object, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SchemaMismatchError(path, f"expected a whole number, got {shown(value)}")
        if not -(2 ** (self._bits - 1)) <= value < 2 ** (self._bits - 1):
            raise SchemaMismatchError(path, f"expected a whole number of at most {self._bits} bits")
        return value

    def to_json(self, value: object) -> object:
        return value


class Double:
    """A double."""

    def from_json(self, value: object, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise SchemaMismatchError(path, f"expected a number, got {shown(value)}")
        try:
            return float(value)
        except OverflowError as error:
            raise SchemaMismatchError(path, "is too large") from error

    def to_json(self, value: object) -> object:
        return value


class Instant:
    """Microseconds as an RFC 3339 date-time."""

    def from_json(self, value: object, path: str) -> int:
        return instant_from_json(value, path)

    def to_json(self, value: object) -> object:
        return instant_to_json(cast(int, value))


class Duration:
    """Microseconds as a number of seconds with at most 6 decimals."""

    def from_json(self, value: object, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise SchemaMismatchError(path, f"expected a number of seconds, got {shown(value)}")
        seconds = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not seconds.is_finite() or abs(seconds) > 2**63:
            raise SchemaMismatchError(path, "is out of range")
        if cast(int, seconds.as_tuple().exponent) < _FINEST_EXPONENT:  # its integer ratio could fill the memory
            raise SchemaMismatchError(path, f"expected at most 6 decimals, got {shown(value)}")
        numerator, denominator = seconds.as_integer_ratio()
        micros, rest = divmod(numerator * SECOND, denominator)
        if rest:
            raise SchemaMismatchError(path, f"expected at most 6 decimals, got {shown(value)}")
        if not -(2**63) <= micros < 2**63:
            raise SchemaMismatchError(path, "is out of range")
        return micros

    def to_json(self, value: object) -> object:
        micros = cast(int, value)
        if micros % SECOND == 0:
            return micros // SECOND
        return micros / SECOND if abs(micros) < _EXACT_AS_FLOAT else Decimal(micros).scaleb(-6)


class Choice:
    """An enumeration."""

    def __init__(self, symbols: list[str], default: str | None) -> None:
        self._symbols = frozenset(symbols)
        self.shown = ", ".join(symbol for symbol in symbols if symbol != default)

    def from_json(self, value: object, path: str) -> str:
        if not isinstance(value, str) or value not in self._symbols:
            raise SchemaMismatchError(path, f"expected one of {self.shown}, got {shown(value)}")
        return value

    def to_json(self, value: object) -> object:
        return value


def instant_from_json(value: object, path: str) -> int:
    """Microseconds of an RFC 3339 text. Raises SchemaMismatchError."""
    if not isinstance(value, str):
        raise SchemaMismatchError(
            path, f"expected an RFC 3339 date-time such as 2026-01-31T09:00:00Z, got {shown(value)}"
        )
    try:
        return parse_rfc3339(value)
    except ValueError as error:
        raise SchemaMismatchError(path, str(error)) from error


def instant_to_json(micros: int) -> object:
    """RFC 3339; an instant outside years 1–9999 has no such form and stays a number, for display never fails."""
    return format_rfc3339(micros) if _EARLIEST <= micros <= LATEST else micros


def shown(value: object) -> str:
    """A value as a message names it."""
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
