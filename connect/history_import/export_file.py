"""The rows of an export, CSV or JSON, read one after another in little memory, each with its place."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from connect.history_import.json_text import JsonText, UnreadableExport
from connect.history_import.mapping import TicketMapping

#: The longest row in characters: a ticket with its comments.
_LONGEST_ROW = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_MOST_COLUMNS = 2_000
_DELIMITERS = (",", ";", "\t", "|")
_ENCODING_OF_PREFIX = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: Names of the list of tickets, in what Zendesk, Jira and ServiceNow export or answer.
_LISTS = ("tickets", "issues", "records", "result", "results", "incidents")
_FORMULA = ("=", "\N{FULLWIDTH EQUALS SIGN}")


class ExportRow(NamedTuple):
    """A row. `place` is its first line, or its number in a JSON list. `problem` says why it has no fields."""

    place: str
    fields: Mapping[str, object]
    problem: str = ""


def export_rows(path: Path, mapping: TicketMapping) -> Iterator[ExportRow]:
    """The rows of a file. Raises UnreadableExport."""
    with _opened(path, mapping.encoding) as file:
        try:
            if mapping.format == "csv" and _first(file) in ("{", "["):
                raise UnreadableExport("it looks like JSON; write `file: {format: json}` into the import file")
            yield from _json_rows(file, mapping) if mapping.format == "json" else _csv_rows(file, mapping)
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
    csv.field_size_limit(_LONGEST_ROW)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    checked: frozenset[str] = frozenset()
    start = 1
    while True:
        try:
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


def _json_rows(file: TextIO, mapping: TicketMapping) -> Iterator[ExportRow]:
    """Objects of a list, of a list within an object, or one in each line."""
    text = JsonText(file, _LONGEST_ROW)
    if text.peek() == "[":
        yield from _items(text)
        return
    start = text.line
    lists = (mapping.rows,) if mapping.rows is not None else _LISTS
    text.take("{")
    seen: dict[str, object] = {}
    while text.peek() != "}":
        name = text.value()
        text.take(":")
        if text.peek() == "[" and name in lists:
            yield from _items(text)
            return  # what follows belongs to no ticket
        seen[str(name)] = text.value()
        if text.peek() == ",":
            text.take(",")
    text.take("}")
    if text.peek() not in ("{", "") or mapping.rows is not None:
        raise UnreadableExport(
            f"line {text.line}: there is no list of tickets; "
            "name it in the import file, such as `file: {rows: tickets}`"
        )
    yield ExportRow(f"line {start}", seen)
    while text.peek():
        line = text.line
        found = text.value()
        yield _row(f"line {line}", found)


def _items(text: JsonText) -> Iterator[ExportRow]:
    text.take("[")
    number = 0
    while text.peek() != "]":
        number += 1
        yield _row(f"ticket {number}", text.value())
        if text.peek() == ",":
            text.take(",")
        elif text.peek() != "]":
            raise UnreadableExport(f"line {text.line}: not JSON: expected a comma or the end of the list")
    text.take("]")


def _row(place: str, found: object) -> ExportRow:
    return ExportRow(place, found) if isinstance(found, dict) else ExportRow(place, {}, "expected an object")
