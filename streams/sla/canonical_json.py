"""Canonical JSON by RFC 8785: the bytes that digests are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring as quoted

__all__ = ["canonical_json", "quoted"]

#: Integers up to here are exact as an IEEE 754 double, which is what RFC 8785 knows of numbers.
_EXACT = 2**53
_CONSTANTS: dict[object, str] = {None: "null", True: "true", False: "false"}


def canonical_json(value: object) -> str:
    """The canonical form of a JSON value. Numbers are written as ECMAScript writes the nearest double, keys are sorted
    by UTF-16 code units. Raises ValueError for NaN and infinities, TypeError for what JSON has not."""
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int) and -_EXACT <= value <= _EXACT:
        return str(value)
    if isinstance(value, int | float | Decimal):
        return _number(float(value))
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{quoted(n)}:{canonical_json(value[n])}" for n in names) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _number(value: float) -> str:
    """ECMAScript's Number::toString: the shortest digits that give the same double."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text, minus = "".join(map(str, digits)), "-" if sign else ""
    point = len(text) + exponent
    """How many digits are before the decimal point."""
    if len(text) <= point <= 21:
        return minus + text + "0" * (point - len(text))
    if 0 < point <= 21:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"
