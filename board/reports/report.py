"""The content of a report: the highest statement of each tenant's month, issued credits, breaches that were not
retracted, and shares of clocks met; and its cells as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from board.queries.attainment import METRICS, AttainmentRow
from board.reports.texts import ReportPhrases, report_phrases
from streams.i18n.catalogues import Language
from streams.money import formatted
from streams.sla.instants import HOUR, MINUTE, SECOND

#: The columns of each table, as keys of the texts of their heads.
HEADS: Mapping[str, tuple[str, ...]] = {
    "statements": ("tenant", "month", "status", "availability", "guarantee", "downtime", "credit", "issued"),
    "breaches": ("month", "severity", "metric", "breaches"),
    "attainment": ("severity", "response_met", "update_met", "resolution_met"),
}


class StatementRow(NamedTuple):
    """The statement with the highest revision of a tenant's month; durations in microseconds."""

    tenant: str
    month: str
    status: str
    revision: int
    availability_percent: str
    guarantee_met: bool
    downtime: int
    excluded: int
    eligible: int
    credit_percent: str
    credit_minor: int
    issued_minor: int
    waived_minor: int
    currency: str
    claimable_until: int | None
    flags: tuple[str, ...]
    policy: tuple[str, str] | None = None


class BreachRow(NamedTuple):
    """How many breaches of one kind were not retracted in a month."""

    month: str
    severity: str
    metric: str
    breaches: int


class Report(NamedTuple):
    """Statements by tenant and month; breaches by month, severity and metric; shares of clocks met by severity.
    `as_of` is the latest record read."""

    statements: list[StatementRow]
    breaches: list[BreachRow]
    as_of: int
    attainment: list[AttainmentRow] = []

    @property
    def missed(self) -> bool:
        """Whether a guarantee was missed in a month whose statement is final or adjusted."""
        return any(not row.guarantee_met for row in self.statements if row.status != "provisional")


def duration_text(micros: int) -> str:
    """A duration for people: 3h 12m, 12m 30s, 0; seconds only where there are no hours."""
    hours, rest = divmod(micros, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = f"{rest / SECOND:g}s"
    if hours:
        return f"{hours:,}h {minutes:02d}m"
    if minutes:
        return f"{minutes}m" if rest == 0 else f"{minutes}m {seconds}"
    return seconds if rest else "0"


def statement_cells(row: StatementRow, phrases: ReportPhrases) -> tuple[str, ...]:
    """A statement as people read it: tenant, month, status, availability, guarantee, downtime, credit, issued."""
    credit = formatted(row.credit_minor, row.currency)
    status = phrases.statuses.get(row.status, row.status)
    return (
        row.tenant,
        row.month,
        phrases.revision_of.format(status=status, revision=row.revision),
        f"{row.availability_percent} %",
        phrases.guarantee_words["met" if row.guarantee_met else "missed"],
        duration_text(row.downtime),
        f"{credit} ({row.credit_percent} %)" if row.credit_minor else credit,
        formatted(row.issued_minor, row.currency),
    )


def breach_cells(row: BreachRow, phrases: ReportPhrases) -> tuple[str, ...]:
    """A count of breaches as people read it: month, severity, guaranteed time, number."""
    return row.month, row.severity, phrases.metrics.get(row.metric, row.metric), f"{row.breaches:,}"


def attainment_cells(row: AttainmentRow, phrases: ReportPhrases) -> tuple[str, ...]:
    """The severity and the share of each metric as people read them; percentages are rounded down."""
    shown = []
    for metric in METRICS:
        share = row.shares.get(metric)
        if share is None:
            shown.append("-")
            continue
        percent = f"{share.met * 1000 // share.total / 10:.1f}"
        shown.append(phrases.share.format(percent=percent, met=f"{share.met:,}", total=f"{share.total:,}"))
    return row.key, *shown


class ReportTable(NamedTuple):
    """A table for people. `nothing` stands in its place where it has no rows."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    nothing: str


def tables_of(report: Report, language: Language = "en") -> list[ReportTable]:
    """The report as tables: availability and credits, breaches, attainment. Titles and heads begin in lower case."""
    phrases = report_phrases(language)
    rows = {
        "statements": [statement_cells(row, phrases) for row in report.statements],
        "breaches": [breach_cells(row, phrases) for row in report.breaches],
        "attainment": [attainment_cells(row, phrases) for row in report.attainment],
    }
    return [
        ReportTable(
            name, phrases.titles[name], tuple(phrases.heads[head] for head in HEADS[name]), found, phrases.nothing[name]
        )
        for name, found in rows.items()
    ]
