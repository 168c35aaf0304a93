"""A month as strips, one for each day: outages, maintenance that does not count, time outside the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from board.charts.svg import element, picture, text, title
from streams.sla.instants import to_datetime, to_micros

_WIDTH = 780
_LEFT, _RIGHT, _TOP = 76, 20, 22
_ROW, _STRIP = 15, 11
_SHORTEST = 1.5
#: Hours with a tick.
_TICKS = (0, 6, 12, 18, 24)


@dataclass(frozen=True, slots=True)
class StripSpan:
    """A span of the month, [start, end) in microseconds. `kind` is outage, excluded, outside or ahead: time that
    had not come when the statement was made."""

    kind: str
    start: int
    end: int
    hover: str


@dataclass(frozen=True, slots=True)
class Day:
    """A local calendar day: its label and its bounds in microseconds."""

    label: str
    start: int
    end: int
    weekend: bool


def days_of(start: int, end: int, zone: str) -> list[Day]:
    """The local days of [start, end); one that a change of the clocks makes longer or shorter has that length."""
    found = []
    tz = ZoneInfo(zone)
    date = to_datetime(start).astimezone(tz).date()
    last = to_datetime(end - 1).astimezone(tz).date()
    while date <= last:
        following = date + timedelta(days=1)
        bounds = [
            to_micros(to_datetime(0).replace(year=each.year, month=each.month, day=each.day, tzinfo=tz))
            for each in (date, following)
        ]
        found.append(Day(date.isoformat(), bounds[0], bounds[1], date.weekday() >= 5))
        date = following
    return found


def month_strips(days: Sequence[Day], spans: Sequence[StripSpan], *, identity: str, name: str, description: str) -> str:
    """The picture. Spans are drawn in their order, later ones on top; the shortest is as wide as can be seen."""
    height = _TOP + _ROW * len(days) + 6
    width = _WIDTH - _LEFT - _RIGHT
    children = []
    for hour in _TICKS:
        x = _LEFT + width * hour / 24
        children.append(element("line", x1=x, x2=x, y1=_TOP - 3, y2=height - 4, class_="tick"))
        children.append(text(f"{hour:02d}:00", x=x, y=_TOP - 8, text_anchor="middle", class_="axis-label"))
    for index, day in enumerate(days):
        y = _TOP + index * _ROW + (_ROW - _STRIP) / 2
        label = "axis-label weekend" if day.weekend else "axis-label"
        children.append(text(day.label, x=_LEFT - 8, y=y + _STRIP - 2, text_anchor="end", class_=label))
        children.append(element("rect", x=_LEFT, y=y, width=width, height=_STRIP, class_="up"))
        for span in spans:
            start, end = max(span.start, day.start), min(span.end, day.end)
            if start >= end:
                continue
            length = day.end - day.start
            left = _LEFT + width * (start - day.start) / length
            drawn = max(width * (end - start) / length, _SHORTEST)
            left = min(left, _LEFT + width - drawn)
            children.append(
                element("rect", title(span.hover), x=left, y=y, width=drawn, height=_STRIP, class_=f"span {span.kind}")
            )
    return picture(identity, name, description, _WIDTH, height, *children, class_="chart strips")
