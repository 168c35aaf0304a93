"""CSV (RFC 4180) that spreadsheets can open: no cell with a text from outside begins a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

#: A cell that begins with one of these is evaluated by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A header line and the rows; columns that a row lacks are empty. A text that would begin a formula gets an
    apostrophe in front; numbers are written unchanged. Raises ValueError for a value without a column."""
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return written.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
