"""The ratios as bars with their spread: a small SVG drawn by hand, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.peers.table import ContenderRow

_WIDTH, _LEFT, _RIGHT = 760, 290, 130
_TOP, _STEP, _BAR, _FOOT = 44, 34, 18, 30

# The reader's ground shows through; only the ink follows it.
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 11px; fill: #59636e; }
  .title { font-weight: 600; }
  .exact { fill: #2f7d5d; } .ours { fill: #1f6feb; } .weaker { fill: #9a6700; } .limit { fill: #8c959f; }
  .axis { stroke: #8c959f; stroke-dasharray: 3 3; } .spread { stroke: #1f2328; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; } .spread { stroke: #e6edf3; }
    .exact { fill: #3fb383; } .ours { fill: #58a6ff; } .weaker { fill: #d29922; } .limit { fill: #6e7681; }
  }
"""


def _colour(row: ContenderRow) -> str:
    if row.name in {"runtime", "product"}:
        return "ours"
    return {"exactly once": "exact", "at least once": "weaker"}.get(row.guarantee, "limit")


def draw(rows: Sequence[ContenderRow], baseline: str, caption: str) -> str:
    """The chart of the rows that have a ratio. The raw limit may be far off: its bar is cut, its figure is written."""
    shown = [(row, row.ratio) for row in rows if row.ratio is not None]
    # Scaled to those that do the whole job: the raw limit would press them all to the left.
    whole = [ratio.high for row, ratio in shown if _colour(row) != "limit"] or [1.0]
    most = max(1.0, *whole) * 1.05
    room = _WIDTH - _LEFT - _RIGHT
    height = _TOP + _STEP * len(shown) + _FOOT

    def x(ratio: float) -> float:
        return _LEFT + room * min(ratio / most, 1.0)

    title = f"Events a second beside {next((row.title for row in rows if row.name == baseline), baseline)}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<line class="axis" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{_TOP - 6}" y2="{height - _FOOT}"/>',
    ]
    for number, (row, ratio) in enumerate(shown):
        y = _TOP + _STEP * number
        middle = y + _BAR / 2
        lines += [
            f'<text x="12" y="{y + 10}">{escape(row.title)}</text>',
            f'<text class="small" x="12" y="{y + 23}">{escape(row.guarantee)}</text>',
            f'<rect class="{_colour(row)}" x="{_LEFT}" y="{y}" width="{x(ratio.middle) - _LEFT:.1f}" '
            f'height="{_BAR}" rx="2"/>',
            f'<line class="spread" x1="{x(ratio.low):.1f}" x2="{x(ratio.high):.1f}" y1="{middle}" y2="{middle}"/>',
            f'<text x="{x(max(ratio.middle, ratio.high)) + 8:.1f}" y="{y + 14}">{ratio.middle:.2f} ×'
            f"{' →' if ratio.middle > most else ''}</text>",
        ]
    lines += [f'<text class="small" x="12" y="{height - 10}">{escape(caption)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"
