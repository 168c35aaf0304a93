"""Availability by month as bars that hang from 100 %: their length is what was missing; the guarantee is a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from board.charts.svg import element, picture, text, title

_WIDTH, _HEIGHT = 780, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 26, 34
_VALUE_ROOM = 16


@dataclass(frozen=True, slots=True)
class AvailabilityBar:
    """One month. `availability` and `guarantee` are percentages; None without a statement, or where the policy that the
    statement names is not deployed."""

    label: str
    availability: float | None
    shown: str
    guarantee: float | None
    met: bool
    hover: str


def availability_chart(bars: Sequence[AvailabilityBar], *, identity: str, name: str, description: str) -> str:
    """The picture of some months, in order. The scale reaches down to the worst month, and at least as far under the
    guarantee as the guarantee is under 100 %."""
    missing = [100 - bar.availability for bar in bars if bar.availability is not None]
    allowed = [100 - bar.guarantee for bar in bars if bar.guarantee is not None]
    deepest = max([*missing, *(2 * share for share in allowed), 0.01])
    height = _HEIGHT - _TOP - _BOTTOM - _VALUE_ROOM
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(bars), 1)

    def y(share: float) -> float:
        return _TOP + height * min(share, deepest) / deepest

    children = [
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_TOP, y2=_TOP, class_="axis"),
        text("100 %", x=_LEFT - 8, y=_TOP + 4, text_anchor="end", class_="axis-label"),
        text(f"{100 - deepest:.4g} %", x=_LEFT - 8, y=y(deepest) + 4, text_anchor="end", class_="axis-label"),
    ]
    for index, bar in enumerate(bars):
        left = _LEFT + index * step
        children.append(_bar(bar, left, step, y))
    return picture(identity, name, description, _WIDTH, _HEIGHT, *children, class_="chart availability")


def _bar(bar: AvailabilityBar, left: float, step: float, y: Callable[[float], float]) -> str:
    middle, width = left + step / 2, step * 0.56
    parts = [title(bar.hover), element("rect", x=left, y=_TOP, width=step, height=_HEIGHT - _TOP, class_="target")]
    if bar.availability is not None:
        share = 100 - bar.availability
        bottom = y(share)
        kind = "bar met" if bar.met else "bar missed"
        length = max(bottom - _TOP, 1.5)
        parts.append(element("rect", x=middle - width / 2, y=_TOP, width=width, height=length, class_=kind))
        parts.append(
            text(bar.shown, x=middle, y=_TOP + length + 13, text_anchor="middle", class_=f"value {kind.split()[1]}")
        )
    if bar.guarantee is not None:
        line = y(100 - bar.guarantee)
        parts.append(element("line", x1=left + 2, x2=left + step - 2, y1=line, y2=line, class_="guarantee"))
    parts.append(text(bar.label, x=middle, y=_HEIGHT - 10, text_anchor="middle", class_="axis-label"))
    return element("g", *parts)
