"""Columns by month: shares in percent, or amounts; one or two series side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from board.charts.svg import element, picture, text, title

_WIDTH, _HEIGHT = 780, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 20, 26


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `value` is None where there is nothing to show; `series` numbers the series from 1."""

    value: float | None
    hover: str
    series: int = 1


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """The columns of one month."""

    label: str
    columns: tuple[Column, ...]


def column_chart(
    groups: Sequence[ColumnGroup], *, identity: str, name: str, description: str, top: float, top_label: str
) -> str:
    """The picture of some months, in order. The scale goes from 0 to `top`, whose text is `top_label`."""
    height = _HEIGHT - _TOP - _BOTTOM
    base = _TOP + height
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(groups), 1)
    children = [
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="axis"),
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_TOP, y2=_TOP, class_="tick"),
        text(top_label, x=_LEFT - 8, y=_TOP + 4, text_anchor="end", class_="axis-label"),
        text("0", x=_LEFT - 8, y=base + 4, text_anchor="end", class_="axis-label"),
    ]
    for index, group in enumerate(groups):
        left = _LEFT + index * step
        width = step * 0.6 / max(len(group.columns), 1)
        parts = [element("rect", x=left, y=_TOP, width=step, height=height + _BOTTOM, class_="target")]
        for place, column in enumerate(group.columns):
            if column.value is None:
                continue
            length = max(height * min(column.value, top) / top if top else 0, 1)
            x = left + step * 0.2 + place * width
            parts.append(
                element(
                    "rect",
                    title(column.hover),
                    x=x,
                    y=base - length,
                    width=width - 1,
                    height=length,
                    class_=f"column series-{column.series}",
                )
            )
        label = text(group.label, x=left + step / 2, y=_HEIGHT - 8, text_anchor="middle", class_="axis-label")
        children.append(element("g", *parts, label))
    return picture(identity, name, description, _WIDTH, _HEIGHT, *children, class_="chart columns")
