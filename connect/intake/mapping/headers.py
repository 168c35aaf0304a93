"""Paths to HTTP headers of a webhook, such as `header:X-GitHub-Event`. None that proves a sender can be named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connect.intake.mapping.paths import FieldPath
from streams.config_files.problems import KeyPath

PREFIX = "header:"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PROVES = re.compile(
    r"auth|cookie|signature|token|secret|passw|credential|api[_-]?key|session|hmac|assertion|cert", re.IGNORECASE
)
#: Values by the names of headers in lower case; a header may be there more than once.
Headers = Mapping[str, tuple[str, ...]]
NO_HEADERS: Headers = {}


@dataclass(frozen=True, slots=True)
class HeaderPath(FieldPath):
    """The values of a header; `name` is in lower case. A body alone has none."""

    name: str = ""

    __hash__ = FieldPath.__hash__

    def values(self, view: object) -> list[object]:
        """Nothing: headers are no part of a JSON value."""
        return []


def parse_header(text: str) -> HeaderPath:
    """Raises ValueError for a name that no header has, or that only headers with secrets have."""
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{text!r} names no HTTP header; allowed: header:X-GitHub-Event")
    if _PROVES.search(name):
        raise ValueError(f"{text!r}: headers that prove a sender are not read; allowed: header:X-GitHub-Event")
    return HeaderPath(text, (), name.lower())


def own_header_problems(keys: Mapping[str, object], here: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Paths of a source to a header by which it authenticates, whatever that is called."""
    own = {each.lower() for each in _authentication_headers(keys.get("authentication"))}
    for place, text in _texts({key: value for key, value in keys.items() if key != "authentication"}, here):
        if text.startswith(PREFIX) and text.removeprefix(PREFIX).lower() in own:
            yield place, f"{text!r} proves the sender, so it is not read; allowed: another header"


def _authentication_headers(given: object) -> Iterator[str]:
    """The names in `authentication`, at any depth."""
    for key, value in given.items() if isinstance(given, dict) else ():
        if isinstance(value, str) and key in ("header", "name"):
            yield value
        else:
            yield from _authentication_headers(value)


def _texts(given: object, here: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text, keys included, with its place."""
    if isinstance(given, str):
        yield here, given
    elif isinstance(given, dict):
        for key, value in given.items():
            yield (*here, key), str(key)
            yield from _texts(value, (*here, key))
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from _texts(value, (*here, index))
