"""Bytes to JSON, rejecting what different parsers would read differently. No input raises."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

from streams.serde.cloudevents_json import unique_object
from streams.sla.events import Rejection


def parse(body: bytes) -> object | Rejection:
    """The JSON value of a body, or the rejection (`undecodable`). Numbers with a fraction are Decimals."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Rejection("undecodable", f"byte {error.start} is not UTF-8")
    try:
        value: object = json.loads(
            text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=unique_object
        )
    except json.JSONDecodeError as error:
        return Rejection("undecodable", f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return Rejection("undecodable", "not JSON of an event: nested too deeply")
    except (ValueError, ArithmeticError) as error:
        return Rejection("undecodable", f"not JSON of an event: {error}")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
