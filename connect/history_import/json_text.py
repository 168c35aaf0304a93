"""A JSON text of any size, read value by value in little memory."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn, TextIO

from streams.errors import SlaError
from streams.serde.cloudevents_json import unique_object

_CHUNK = 64 * 1024


class UnreadableExport(SlaError):  # noqa: N818 -- it names what happened
    """A file whose rows can't be told apart, or that lacks a column which the mapping reads."""


class JsonText:
    """A JSON text; a value in it may have `longest` characters and a chunk more."""

    def __init__(self, file: TextIO, longest: int) -> None:
        self._file = file
        self._longest = longest
        self._text = ""
        self._at = 0
        self._ended = False
        self.line = 1
        self._decoder = json.JSONDecoder(
            parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=unique_object
        )

    def peek(self) -> str:
        """The next character that is no space, or nothing at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in " \t\r\n\ufeff":
                    return character
                self.line += character == "\n"
                self._at += 1
            if not self._read():
                return ""

    def take(self, expected: str) -> None:
        """Pass a character. Raises UnreadableExport."""
        if self.peek() != expected:
            found = repr(self.peek()) if self.peek() else "the end of the file"
            raise UnreadableExport(f"line {self.line}: not JSON: expected {expected!r}, got {found}")
        self._at += 1

    def comma(self, end: str) -> None:
        """Pass the comma after a value, unless `end` comes next. Raises UnreadableExport."""
        if self.peek() == ",":
            self._at += 1
            if self.peek() != end:
                return
        elif self.peek() == end:
            return
        found = repr(self.peek()) if self.peek() else "the end of the file"
        raise UnreadableExport(f"line {self.line}: not JSON: expected a comma and a value, or {end!r}, got {found}")

    def value(self) -> object:
        """The next value. Raises UnreadableExport."""
        self.peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, ArithmeticError, RecursionError) as error:
                if (
                    isinstance(error, json.JSONDecodeError)
                    and len(self._text) - self._at <= self._longest
                    and self._read()
                ):
                    continue
                what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise UnreadableExport(f"line {self.line}: not JSON of a ticket: {what}") from error
            if end == len(self._text) and isinstance(found, int | Decimal) and self._read():
                continue  # the number may go on
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return found

    def _read(self) -> bool:
        """Read on; whether there was more."""
        if self._ended:
            return False
        more = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
