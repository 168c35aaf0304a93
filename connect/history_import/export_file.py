"""The rows of an export, CSV or JSON, read one after another in little memory, each with its place."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from connect.history_import.json_text import JsonText, UnreadableExport
from connect.history_import.mapping import TicketMapping
from connect.intake.mapping.matching import quoted

#: The longest row in characters: a ticket with its comments.
_LONGEST_ROW = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_MOST_COLUMNS = 2_000
_DELIMITERS = (",", ";", "\t", "|")
_ENCODING_OF_PREFIX = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: Names of the list of tickets, in what Zendesk, Jira and ServiceNow export or answer.
_LISTS = ("tickets", "issues", "records", "result", "results", "incidents")
#: What pages say of those that follow: what names the next one, and what says that there is none.
_NEXT = ("next_page", "nextPage", "nextPageToken", "next")
_COMPLETE = {"isLast": True, "end_of_stream": True, "has_more": False}
_PAGING = frozenset([*_NEXT, *_COMPLETE, "meta", "links", "total", "startAt"])
_FORMULA = ("=", "\N{FULLWIDTH EQUALS SIGN}")


class ExportRow(NamedTuple):
    """A row. `place` is its first line, or its number in a JSON list. `problem` says why it has no fields."""

    place: str
    fields: Mapping[str, object]
    problem: str = ""


def export_rows(path: Path, mapping: TicketMapping, warn: Callable[[str], None]) -> Iterator[ExportRow]:
    """The rows of a file. `warn` is told what they say of all of them. Raises UnreadableExport."""
    with _opened(path, mapping.encoding) as file:
        try:
            if mapping.format == "csv" and _first(file) in ("{", "["):
                raise UnreadableExport("it looks like JSON; write `file: {format: json}` into the import file")
            if mapping.format == "csv":
                yield from _csv_rows(file, mapping)
                return
            last_page: dict[str, object] = {}
            number = yield from _json_rows(file, mapping, last_page)
            if (reason := incomplete(last_page, number)) is not None:
                warn(f"{path}: {reason}, so there are more tickets; save all pages, one after another in one file")
        except UnreadableExport as error:
            raise UnreadableExport(f"{path}: {error}") from error
        except UnicodeError as error:
            raise UnreadableExport(
                f"{path} is not {file.encoding}: {error.reason if isinstance(error, UnicodeDecodeError) else error}; "
                "name its encoding in the import file, such as `file: {encoding: cp1252}`"
            ) from error


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    try:
        with path.open("rb") as raw:
            head = raw.read(4)
        found = next((name for prefix, name in _ENCODING_OF_PREFIX if head.startswith(prefix)), encoding)
        with path.open(encoding=found, newline="") as file:
            yield file
    except OSError as error:
        raise UnreadableExport(f"{path} can't be read: {error.strerror}") from error


def _first(file: TextIO) -> str:
    """The first character that is no space; the file is read from its beginning afterwards."""
    found = file.read(_CHUNK).lstrip("\ufeff \t\r\n")[:1]
    file.seek(0)
    return found


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _csv_rows(file: TextIO, mapping: TicketMapping) -> Iterator[ExportRow]:
    head = file.readline(_LONGEST_ROW)
    file.seek(0)
    delimiter = mapping.delimiter or max(_DELIMITERS, key=head.count)
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    checked: frozenset[str] = frozenset()
    start = 1
    while True:
        lines.room = _LONGEST_ROW
        try:
            with _long_fields():
                cells = next(reader, None)
        except csv.Error as error:
            raise UnreadableExport(
                f'line {start}: not CSV: {error}; the delimiter {delimiter!r} and quotes `"` are expected'
            ) from error
        if cells is None:
            break
        number, start = start, reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip().removeprefix("\ufeff") for cell in cells]
            checked = _columns(names, mapping, number)
        elif len(cells) != len(names):
            problem = f"has {len(cells)} values; the file has {len(names)} columns"
            yield ExportRow(f"line {number}", {}, problem)
        else:
            fields = _fields(names, cells)
            yield ExportRow(f"line {number}", fields, _formula(fields, checked))
    if names is None:
        raise UnreadableExport("the file is empty; expected a line of column names")


@contextmanager
def _long_fields() -> Iterator[None]:
    """A block in which a field may be as long as a row. The limit is the whole process's, so other readers of CSV
    would have it too."""
    before = csv.field_size_limit(_LONGEST_ROW)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _Lines:
    """The lines of a file. Raises UnreadableExport where a row is too long, before it is read whole."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._number = 0
        #: The characters that the present row may still have.
        self.room = _LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self.room + 1)
        self._number += 1
        self.room -= len(line)
        if self.room < 0:
            raise UnreadableExport(
                f"line {self._number}: a row has more than {_LONGEST_ROW:,} characters; "
                'is it a CSV file with a line for each row, and every `"` closed?'
            )
        if not line:
            raise StopIteration
        return line


def _columns(names: Sequence[str], mapping: TicketMapping, line: int) -> frozenset[str]:
    """The columns whose cells have to be values. Raises UnreadableExport where one is missing."""
    if len(names) > _MOST_COLUMNS:
        raise UnreadableExport(f"line {line}: has {len(names):,} columns; at most {_MOST_COLUMNS:,} are allowed")
    for path in mapping.paths():
        if path.names[0] not in names:
            known = ", ".join(dict.fromkeys(filter(None, names)))
            raise UnreadableExport(
                f"line {line}: there is no column {path.names[0]!r}, which the import file reads; "
                f"the columns are: {known[:1500]}"
            )
    return frozenset(path.names[0] for path in mapping.fields())


def _fields(names: Sequence[str], cells: Sequence[str]) -> dict[str, object]:
    """The cells by column; a column that appears several times gives a list of those that are not empty."""
    fields: dict[str, object] = {}
    for name, cell in zip(names, cells, strict=True):
        text = cell.strip()
        if name not in fields:
            fields[name] = text
            continue
        before = fields[name]
        values = before if isinstance(before, list) else [before] if before else []
        fields[name] = [*values, text] if text else values
    return fields


def _formula(fields: Mapping[str, object], checked: frozenset[str]) -> str:
    """A formula was written instead of its value, or is meant for who opens the file."""
    for name in fields:
        if name in checked and isinstance(cell := fields[name], str) and cell.startswith(_FORMULA):
            return f"{name}: is a formula of a spreadsheet; save the file with values"
    return ""


# -- JSON --------------------------------------------------------------------------------------------------------------


def incomplete(last_page: Mapping[str, object], number: int) -> str | None:
    """What the last page of an API says of more pages, if `number` tickets were read up to its end: in the words of
    Zendesk (by offset and by cursor) and of Jira (both versions)."""
    groups = {"": last_page} | {
        name: each for name in ("meta", "links") if isinstance(each := last_page.get(name), dict)
    }
    given = {f"{group}.{name}".lstrip("."): value for group, each in groups.items() for name, value in each.items()}
    for path, value in given.items():  # these are said besides the address of a next page, and decide
        complete = _COMPLETE.get(path.rpartition(".")[2])
        if complete is not None and isinstance(value, bool):
            return None if value is complete else f"{path} is {str(value).lower()}"
    for path, value in given.items():
        if value and path.rpartition(".")[2] in _NEXT:
            return f"{path} is {quoted(str(value))}"
    total, start = last_page.get("total"), last_page.get("startAt", 0)
    if isinstance(total, int) and isinstance(start, int) and total > start + number:
        return f"total is {total:,}, and {number:,} were read"
    return None


def _json_rows(file: TextIO, mapping: TicketMapping, last_page: dict[str, object]) -> Generator[ExportRow, None, int]:
    """The tickets of one document after another: lists, objects that hold a list (the pages of an API), or tickets.
    Returns how many lists have; `last_page` becomes what the last page says of others.

    The first document decides the form; the others, and what follows a list within its object, are read to the end.
    """
    text = JsonText(file, _LONGEST_ROW)
    lists = (mapping.rows,) if mapping.rows is not None else _LISTS
    if text.peek() == "[":
        number = 0
        while text.peek():
            number = yield from _items(text, number)
        return number
    start = text.line
    seen: dict[str, object] = {}
    read = yield from _page(text, lists, 0, seen, last_page)
    while read is not None and text.peek():
        read = yield from _page(text, lists, read, {}, last_page)
        if read is None:
            raise _no_list(text)
    if read is None:
        if text.peek() not in ("{", "") or mapping.rows is not None:
            raise _no_list(text)
        yield ExportRow(f"line {start}", seen)
        while text.peek():
            line = text.line
            yield _row(f"line {line}", text.value())
    return read or 0


def _no_list(text: JsonText) -> UnreadableExport:
    return UnreadableExport(
        f"line {text.line}: there is no list of tickets; name it in the import file, such as `file: {{rows: tickets}}`"
    )


def _page(
    text: JsonText, lists: Sequence[str], number: int, seen: dict[str, object], paging: dict[str, object]
) -> Generator[ExportRow, None, int | None]:
    """The tickets in the list of an object; None if it has none. What stands before a list is added to `seen`, and
    `paging` becomes what the object says of other pages."""
    found: str | None = None
    names: set[str] = set()
    paging.clear()
    text.take("{")
    while text.peek() != "}":
        name = str(text.value())
        text.take(":")
        if name in lists and text.peek() == "[":
            if found is not None:
                raise UnreadableExport(
                    f"line {text.line}: {found!r} and {name!r} are lists of tickets; "
                    f"name the one to be read in the import file, such as `file: {{rows: {found}}}`"
                )
            found = name
            number = yield from _items(text, number)
        elif name in names:
            raise UnreadableExport(
                f"line {text.line}: {quoted(name)} is named twice, and which value is meant can't be known; "
                "correct the export"
            )
        else:
            value = text.value()
            if found is None:
                seen[name] = value
            if name in _PAGING:
                paging[name] = value
        names.add(name)
        text.comma("}")
    text.take("}")
    return None if found is None else number


def _items(text: JsonText, number: int) -> Generator[ExportRow, None, int]:
    """The tickets of a list; those before it were `number`. Returns how many there are with these."""
    text.take("[")
    while text.peek() != "]":
        number += 1
        yield _row(f"ticket {number}", text.value())
        text.comma("]")
    text.take("]")
    return number


def _row(place: str, found: object) -> ExportRow:
    return ExportRow(place, found) if isinstance(found, dict) else ExportRow(place, {}, "expected an object")
