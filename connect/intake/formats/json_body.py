"""Bytes to JSON, rejecting what different parsers would read differently. No input raises.

The parser of Python lets no other thread run while it calls no function of Python. So numbers, of which a body may have
a million, are made by functions of Python where a body is long.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

from streams.serde.cloudevents_json import unique_object
from streams.sla.events import Rejection

#: Texts of at most this many characters are parsed in a few milliseconds.
_LONG = 64 * 1024


def parse(body: bytes) -> object | Rejection:
    """The JSON value of a body, or the rejection (`undecodable`). Numbers with a fraction are Decimals."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Rejection("undecodable", f"byte {error.start} is not UTF-8")
    try:
        value: object = json.loads(
            text,
            parse_float=_decimal,
            parse_int=int if len(text) <= _LONG else _integer,
            parse_constant=_no_constant,
            object_pairs_hook=unique_object,
        )
    except json.JSONDecodeError as error:
        return Rejection("undecodable", f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return Rejection("undecodable", "not JSON of an event: nested too deeply")
    except (ValueError, ArithmeticError) as error:
        return Rejection("undecodable", f"not JSON of an event: {error}")
    return value


def _decimal(text: str) -> Decimal:
    return Decimal(text)


def _integer(text: str) -> int:
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
