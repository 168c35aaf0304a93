"""Removes what looks like secrets from bodies that are kept: monitors send their own settings along.

Everything else in a body stays as it was sent, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

REMOVED = '"(removed)"'
_SECRET_PART = (
    r"secret|token|api[_-]?key|private[_-]?key|tls[_-]?key|authorization|credential|cookie"
    r"|connection[_-]?string|session[_-]?id"
)
_SECRET_NAME = re.compile(rf"pass(word|wd|phrase)?$|{_SECRET_PART}|^headers?$", re.IGNORECASE)
#: Found in every text that holds a secret name; an escape such as \u0077 may hide one.
_HINT = re.compile(rf"pass|{_SECRET_PART}|header|\\u", re.IGNORECASE)
_LONGEST_HINT = 32
#: Characters that are searched without letting another thread run: 16 MiB at once would take seconds.
_PIECE = 64 * 1024
#: Lists of settings say what a value is beside it: `{"name": "Authorization", "value": "Bearer …"}`.
_NAMES_BESIDE = frozenset({"name", "key", "header"})
_VALUES_BESIDE = frozenset({"value", "values"})
#: A text, which the end of a body may cut off; a bracket; a number or literal.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|([{}\[\]])|[^\s{}\[\],:"]++', re.DOTALL)
_NO_SECRETS = frozenset({"null", "true", "false"})


class _Value(NamedTuple):
    """A text or number and its place in the body, quotes included."""

    start: int
    end: int


@dataclass(slots=True)
class _Container:
    """An object or a list that is being read."""

    is_object: bool
    is_secret: bool
    #: The name of the value that comes next, within an object.
    name: str | None = None
    names_secret: bool = False
    #: The values from `first` to `last` stand beside a name that may be secret.
    first: int = -1
    last: int = 0


def without_secrets(body: bytes) -> bytes:
    """The body with every text and number replaced whose field's name, or a name around or beside it, says that it is
    secret. Names, true, false and null stay. A body that is no JSON is treated like JSON as far as that goes."""
    text = body.decode(errors="surrogateescape")
    pieces = range(0, len(text), _PIECE)
    if not any(_HINT.search(text, start, start + _PIECE + _LONGEST_HINT) for start in pieces):
        return body
    secrets = sorted(dict.fromkeys(_secrets(text)))  # nearly in order, so this takes little time
    parts: list[str] = []
    end = 0
    for secret in secrets:
        parts += (text[end : secret.start], REMOVED)
        end = secret.end
    return "".join([*parts, text[end:]]).encode(errors="surrogateescape")


def _secrets(text: str) -> Iterator[_Value]:
    """The secrets of a JSON text, some of them twice. Any text is read without an error."""
    values: list[_Value] = []
    within: list[_Container] = []
    for token in _TOKEN.finditer(text):
        here = within[-1] if within else None
        bracket = token[1]
        if bracket in ("}", "]"):
            if here is None:
                continue
            closed = within.pop()
            if closed.names_secret and closed.first >= 0:
                yield from values[closed.first : closed.last]
            _end_value(within, len(values))
        elif here is not None and here.is_object and here.name is None:
            here.name = _text(token[0])
            if here.name in _VALUES_BESIDE and here.first < 0:
                here.first = len(values)
        else:
            secret = here is not None and (here.is_secret or bool(here.name and _is_secret(here.name)))
            if bracket is not None:
                within.append(_Container(bracket == "{", secret))
                continue
            if token[0] not in _NO_SECRETS and token[0] != '""':
                values.append(_Value(*token.span()))
                if secret:
                    yield values[-1]
            if here is not None and here.name in _NAMES_BESIDE and _is_secret(_text(token[0])):
                here.names_secret = True
            _end_value(within, len(values))


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _text(token: str) -> str:
    if "\\" not in token:
        return token.strip('"')
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _end_value(within: list[_Container], values: int) -> None:
    if within:
        if within[-1].name in _VALUES_BESIDE:
            within[-1].last = values
        within[-1].name = None
