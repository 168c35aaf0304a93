"""Incidents as a table that fits the terminal: columns are dropped before a line would break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from board.pages.urgency import Urgency
from cli.incidents.rows import SYMBOLS, IncidentView
from cli.support.console import safe
from streams.sla.instants import SECOND, format_rfc3339
from streams.sla.severity import by_severity

STYLES: dict[Urgency, str] = {
    "late": "bold white on red",
    "urgent": "bold red",
    "soon": "yellow",
    "calm": "green",
    "paused": "dim",
    "none": "dim",
}
SEVERITY_STYLES: dict[str, str] = by_severity(("bold red", "red", "yellow", "cyan"))
_GAP = "  "
_SHORTEST_TITLE = 12
_LONGEST_ID = 32


class TableColumn(NamedTuple):
    """A column; of two, the one with the greater `rank` is dropped first."""

    head: str
    rank: int
    text: Callable[[IncidentView], str]
    style: Callable[[IncidentView], str] = lambda view: ""


def _until(view: IncidentView) -> str:
    """The second in which the deadline is."""
    return "-" if view.deadline is None else format_rfc3339(view.deadline.at // SECOND * SECOND)


COLUMNS = (
    TableColumn("INCIDENT", 0, lambda view: view.state["incident_id"]),
    TableColumn(
        "SEV", 1, lambda view: view.state["severity"], lambda view: SEVERITY_STYLES.get(view.state["severity"], "")
    ),
    TableColumn(
        "LEFT", 0, lambda view: f"{view.left} {SYMBOLS[view.urgency]}".rstrip(), lambda view: STYLES[view.urgency]
    ),
    TableColumn("CLOCK", 2, lambda view: view.clock),
    TableColumn("STATUS", 3, lambda view: view.status),
    TableColumn("DEADLINE", 6, _until),
    TableColumn("TENANTS", 5, lambda view: view.tenants),
    TableColumn("TITLE", 4, lambda view: view.state["title"]["en"]),
)


def table_lines(views: Sequence[IncidentView], width: int) -> list[Text]:
    """A heading and a line for each incident, each at most `width` cells wide. The title takes what is left, and ids
    that are longer than half of the line are on a line of their own, whole."""
    most = max(min(_LONGEST_ID, width // 2), 8)
    cells = [{column.head: _fitting(column, view, most) for column in COLUMNS} for view in views]
    widths = {
        column.head: max([cell_len(column.head), *(cell_len(row[column.head]) for row in cells)]) for column in COLUMNS
    }
    shown = _shown(widths, width)
    others = sum(widths[column.head] + len(_GAP) for column in shown if column.head != "TITLE")
    widths["TITLE"] = max(width - others, 0)
    lines = [_line([(column.head, "bold") for column in shown], [widths[column.head] for column in shown])]
    for view, row in zip(views, cells, strict=True):
        name = safe(view.state["incident_id"])
        if cell_len(name) > most:
            lines.append(Text(name, no_wrap=True, overflow="ignore"))
            row = {**row, "INCIDENT": ""}
        styled = [(row[column.head], column.style(view)) for column in shown]
        lines.append(_line(styled, [widths[column.head] for column in shown]))
    return lines


def _fitting(column: TableColumn, view: IncidentView, most: int) -> str:
    text = safe(column.text(view))
    if column.head == "INCIDENT" and cell_len(text) > most:
        return ""
    return _cut(text, 24) if column.head == "TENANTS" else text


def _shown(widths: dict[str, int], width: int) -> list[TableColumn]:
    """The columns that fit, the title with a few characters at least."""
    found = list(COLUMNS)
    while len(found) > 2:
        needed = sum(_SHORTEST_TITLE if one.head == "TITLE" else widths[one.head] for one in found)
        if needed + len(_GAP) * (len(found) - 1) <= width:
            break
        found.remove(max(found, key=lambda column: column.rank))
    return found


def _line(cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    line = Text(no_wrap=True, overflow="ignore")
    for index, ((text, style), width) in enumerate(zip(cells, widths, strict=True)):
        last = index == len(cells) - 1
        shown = _cut(text, width)
        line.append(shown if last else set_cell_size(shown, width), style)
        if not last:
            line.append(_GAP)
    return line


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"
