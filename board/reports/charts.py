"""The pictures of a report as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator

from board.charts.bars import AvailabilityBar, availability_chart
from board.charts.columns import Column, ColumnGroup, column_chart
from board.queries.attainment import METRICS
from board.reports.report import Report, StatementRow
from board.reports.texts import ReportPhrases
from streams.sla.policy import Policies

#: Bars in one picture: of one tenant the latest months, of several the months with the lowest availability.
_MOST_MONTHS, _MOST_LOWEST = 12, 10
_LABEL = 8


def pictures(report: Report, policies: Policies | None, phrases: ReportPhrases) -> Iterator[tuple[str, str]]:
    """`availability`: by month, or of the tenants' months with the lowest; `attainment`: shares of clocks met by
    severity. Each with its SVG."""
    if report.statements:
        yield "availability", inline(_availability(report.statements, policies, phrases))
    if report.attainment:
        yield "attainment", inline(_attainment(report, phrases))


def inline(picture: str) -> str:
    """A picture as a part of an HTML page, where it needs no namespace."""
    return picture.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)


def _availability(rows: list[StatementRow], policies: Policies | None, phrases: ReportPhrases) -> str:
    one = len({row.tenant for row in rows}) == 1
    lowest = sorted(rows, key=lambda row: (float(row.availability_percent), row.tenant, row.month))
    shown = sorted(rows, key=lambda row: row.month)[-_MOST_MONTHS:] if one else lowest[:_MOST_LOWEST]
    bars = []
    for row in shown:
        policy = None if policies is None or row.policy is None else policies.exact(*row.policy)
        guarantee = None if policy is None else float(policy.guarantee)
        label = row.month if one else f"{_shortened(row.tenant)} {row.month[5:]}"
        hover = phrases.availability_hover.format(
            tenant=row.tenant,
            month=row.month,
            availability=row.availability_percent,
            word=phrases.guarantee_words["met" if row.guarantee_met else "missed"],
        )
        share = float(row.availability_percent)
        bars.append(AvailabilityBar(label, share, f"{share:.3f}", guarantee, row.guarantee_met, hover))
    name = phrases.availability_name if one else phrases.lowest_name
    return availability_chart(
        bars, identity="availability", name=name, description="; ".join(bar.hover for bar in bars)
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def _attainment(report: Report, phrases: ReportPhrases) -> str:
    groups = []
    for row in report.attainment:
        columns = []
        for number, metric in enumerate(METRICS, 1):
            share = row.shares.get(metric)
            hover = ""
            if share is not None:
                counts = {"met": f"{share.met:,}", "total": f"{share.total:,}"}
                hover = phrases.attainment_hover.format(severity=row.key, metric=phrases.metrics[metric], **counts)
            columns.append(Column(None if share is None else share.percent, hover, number))
        groups.append(ColumnGroup(row.key, tuple(columns)))
    labelled = [column.hover for group in groups for column in group.columns if column.hover]
    return column_chart(
        groups,
        identity="attainment",
        name=phrases.attainment_name,
        description="; ".join(labelled),
        top=100,
        top_label="100 %",
    )
