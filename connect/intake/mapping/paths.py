"""Paths into a payload: names with dots between them. A name that contains dots is written in double quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

#: A plain name, or a quoted one in which a backslash precedes a quote or a backslash.
_NAME = re.compile(r'([^.\s"][^."]*)|"((?:[^"\\]|\\["\\])+)"')
_PLAIN = re.compile(r'[^.\s"][^."]*')
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A path as the mapping file has it, `labels."service.name"`, and its names, `("labels", "service.name")`."""

    text: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)  # which Python keeps; each request looks its texts up by path

    def values(self, view: object) -> list[object]:
        """The JSON values at the path. Each item of a list on the way is followed."""
        here: list[object] = [view]
        for name in self.names:
            here = [each[name] for each in _items(here) if isinstance(each, dict) and name in each]
        return _items(here)


@lru_cache(maxsize=1024)
def parse_path(text: str) -> FieldPath:
    """Raises ValueError for an invalid path."""
    names, position = [], 0
    while True:
        found = _NAME.match(text, position)
        if found is None:
            break
        names.append(found[1] if found[1] is not None else _ESCAPED.sub(r"\1", found[2]))
        position = found.end()
        if position == len(text):
            return FieldPath(text, tuple(names))
        if text[position] != ".":
            break
        position += 1
    raise ValueError(
        f"{text!r} is not a path; allowed: names with dots between them, such as labels.severity; "
        'a name that has dots itself is quoted, such as labels."service.name"'
    )


def below_root(path: FieldPath) -> FieldPath:
    """The same path where a payload's part is a flat object: all names below the first are one name with dots."""
    root, *rest = path.names
    return FieldPath(path.text, (root, ".".join(rest))) if len(rest) > 1 else path


def quote_path(names: Sequence[str]) -> str:
    """The text of a path with these names."""
    return ".".join(name if _PLAIN.fullmatch(name) else _quote(name) for name in names)


def _quote(name: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'


class PayloadTexts:
    """The texts of one payload, looked up once for each path: a mapping may have many conditions on a long list."""

    def __init__(self, payload: object) -> None:
        self._payload = payload
        self._texts: dict[FieldPath, list[str]] = {}
        self._folded: dict[FieldPath, frozenset[str]] = {}

    def at(self, path: FieldPath) -> list[str]:
        """The texts at a path."""
        found = self._texts.get(path)
        if found is None:
            found = self._texts[path] = lookup(self._payload, path)
        return found

    def folded_at(self, path: FieldPath) -> frozenset[str]:
        """The texts at a path, folded as those of conditions are."""
        found = self._folded.get(path)
        if found is None:
            found = self._folded[path] = frozenset(text.casefold() for text in self.at(path))
        return found


def texts_of(view: object) -> PayloadTexts:
    """The texts of a payload, or of what holds them already."""
    return view if isinstance(view, PayloadTexts) else PayloadTexts(view)


def lookup(view: object, path: FieldPath) -> list[str]:
    """The texts at a path; null and objects give no text."""
    if isinstance(view, PayloadTexts):
        return view.at(path)
    return [_text(each) for each in path.values(view) if not isinstance(each, dict) and each is not None and each != ""]


def _items(values: Sequence[object]) -> list[object]:
    flat: list[object] = []
    for value in values:
        if isinstance(value, list):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
