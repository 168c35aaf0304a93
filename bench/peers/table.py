"""The figures of all rounds as ratios with their spread, for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"

Round = Mapping[str, float]
"""Events a second of each contender that held in that round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of some figures."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread | None:
        """None of nothing."""
        return cls(median(figures), min(figures), max(figures)) if figures else None

    def text(self, form: str) -> str:
        """`0.81 (0.78 to 0.84)`."""
        return f"{self.middle:{form}} ({self.low:{form}} to {self.high:{form}})"


@dataclass(frozen=True, slots=True)
class ContenderRow:
    """One contender over all rounds."""

    name: str
    title: str
    guarantee: str
    ratio: Spread | None
    """To the baseline in the same round."""
    rate: Spread | None
    """Events a second."""
    problems: tuple[str, ...] = field(default=())
    """Why rounds gave no figure."""


def ratios(rounds: Sequence[Round], name: str, baseline: str) -> list[float]:
    """How fast a contender was beside the baseline, in each round in which both held."""
    return [each[name] / each[baseline] for each in rounds if name in each and baseline in each]


def row(
    name: str, title: str, guarantee: str, rounds: Sequence[Round], baseline: str, problems: Sequence[str] = ()
) -> ContenderRow:
    """One contender's row."""
    rates = [each[name] for each in rounds if name in each]
    return ContenderRow(
        name, title, guarantee, Spread.of(ratios(rounds, name, baseline)), Spread.of(rates), tuple(problems)
    )


def cells(each: ContenderRow) -> tuple[str, str, str, str]:
    """Title, guarantee, ratio, events a second."""
    ratio = each.ratio.text(".2f") if each.ratio else "–"
    rate = each.rate.text(",.0f") if each.rate else "–"
    if each.problems:
        rate += f"; failed {len(each.problems)} ×: {each.problems[0]}"
    return each.title, each.guarantee, ratio, rate


def _heading(rows: Sequence[ContenderRow], baseline: str) -> tuple[str, str, str, str]:
    title = next((each.title for each in rows if each.name == baseline), baseline)
    return "the same job on", "guarantee", f"ratio to {title.partition(',')[0]}, same round", "events/s"


def plain(rows: Sequence[ContenderRow], baseline: str) -> str:
    """The table for a terminal."""
    lines = [_heading(rows, baseline), *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(rows: Sequence[ContenderRow], baseline: str) -> str:
    """The table for the documentation."""
    lines = [_heading(rows, baseline), ("---",) * 4, *map(cells, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def put_between_markers(text: str, content: str) -> str:
    """`text` with `content` between its markers. Raises ValueError when there is not one pair of them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one {BEGIN} and one {END} after it")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{content.strip()}\n{END}{after}"
