"""Reports for programs and for browsers: JSON, CSV, and one self-contained HTML page."""

from __future__ import annotations

import json
from html import escape

from board.queries.attainment import METRICS, AttainmentRow, Share
from board.reports.charts import pictures
from board.reports.report import BreachRow, Report, ReportTable, StatementRow, tables_of
from board.reports.texts import report_phrases
from streams.csv_text import csv_text
from streams.i18n.catalogues import Language
from streams.sla.instants import SECOND, format_rfc3339
from streams.sla.policy import Policies

#: Columns of the CSV; new ones are appended. `row` says which of them a line has: statement, breaches or attainment.
CSV_COLUMNS = (
    "row",
    "month",
    "tenant",
    "status",
    "revision",
    "availability_percent",
    "guarantee_met",
    "eligible_s",
    "downtime_s",
    "excluded_s",
    "credit_percent",
    "currency",
    "credit_minor",
    "issued_minor",
    "waived_minor",
    "claimable_until",
    "severity",
    "metric",
    "breaches",
    "met",
    "total",
)


def as_json(report: Report) -> str:
    """The report as one JSON object; durations in seconds, money in minor units."""
    data = {
        "as_of": format_rfc3339(report.as_of),
        "statements": [
            {**_statement(row), "guarantee_met": row.guarantee_met, "flags": list(row.flags)}
            for row in report.statements
        ],
        "breaches": [_breaches(row) for row in report.breaches],
        "attainment": [
            {"severity": row.key, "metric": metric, "met": share.met, "total": share.total, "percent": share.percent}
            for row in report.attainment
            for metric, share in _shares(row)
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def as_csv(report: Report) -> str:
    """The report as CSV (RFC 4180): statements, counts of breaches, shares of clocks met; columns that a
    row lacks are empty."""
    statements = (
        {"row": "statement", **_statement(row), "guarantee_met": str(row.guarantee_met).lower()}
        for row in report.statements
    )
    breaches = ({"row": "breaches", **_breaches(row)} for row in report.breaches)
    attainment = (
        {"row": "attainment", "severity": row.key, "metric": metric, "met": share.met, "total": share.total}
        for row in report.attainment
        for metric, share in _shares(row)
    )
    return csv_text(CSV_COLUMNS, [*statements, *breaches, *attainment])


def as_html(report: Report, title: str, policies: Policies | None = None, language: Language = "en") -> str:
    """The report as one page that needs nothing else; `policies` are where guarantees are looked up."""
    phrases = report_phrases(language)
    as_of = phrases.as_of.format(time=f"<time>{format_rfc3339(report.as_of)}</time>")
    parts = [
        HEAD.format(title=escape(title), language=language),
        f"<main>\n<h1>{escape(title)}</h1>\n",
        f"<p>{as_of}</p>\n",
        *(
            f"<figure>{picture}<figcaption>{escape(phrases.captions[name])}</figcaption></figure>\n"
            for name, picture in pictures(report, policies, phrases)
        ),
        *(_table(each, phrases.guarantee_words["missed"]) for each in tables_of(report, language)),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _statement(row: StatementRow) -> dict[str, object]:
    return {
        "month": row.month,
        "tenant": row.tenant,
        "status": row.status,
        "revision": row.revision,
        "availability_percent": row.availability_percent,
        "guarantee_met": row.guarantee_met,
        "eligible_s": seconds(row.eligible),
        "downtime_s": seconds(row.downtime),
        "excluded_s": seconds(row.excluded),
        "credit_percent": row.credit_percent,
        "currency": row.currency,
        "credit_minor": row.credit_minor,
        "issued_minor": row.issued_minor,
        "waived_minor": row.waived_minor,
        "claimable_until": None if row.claimable_until is None else format_rfc3339(row.claimable_until),
    }


def _breaches(row: BreachRow) -> dict[str, object]:
    return {"month": row.month, "severity": row.severity, "metric": row.metric, "breaches": row.breaches}


def _shares(row: AttainmentRow) -> list[tuple[str, Share]]:
    return [(metric, row.shares[metric]) for metric in METRICS if metric in row.shares]


def seconds(micros: int) -> int | float:
    """A duration in seconds."""
    return micros // SECOND if micros % SECOND == 0 else micros / SECOND


def _table(table: ReportTable, missed: str) -> str:
    caption = escape(sentence(table.title))
    if not table.rows:
        return f"<h2>{caption}</h2>\n<p>{escape(table.nothing)}</p>\n"
    top = "".join(f'<th scope="col">{escape(sentence(head))}</th>' for head in table.heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(_cell(each, missed) for each in others) + "</tr>\n"
        for first, *others in table.rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{caption}">\n<table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def sentence(text: str) -> str:
    """A title or a head where it begins a sentence."""
    return text[:1].upper() + text[1:]


def _cell(text: str, missed: str) -> str:
    css_class = ' class="missed"' if text == missed else ""
    return f"<td{css_class}>{escape(text)}</td>"


#: The start of a page, with `title` and `language`.
HEAD = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #c9ced6; --bad: #a40e26; --good: #2a7d4f;
  --second: #3f6db3; --third: #8a6d1b; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ee; --paper: #14171b; --line: #434a54; --bad: #ff8f8f; --good: #6cc08f;
    --second: #8fb4ee; --third: #d8b95c; }}
}}
body {{ color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; margin: 2rem; }}
.wide {{ overflow-x: auto; margin-block: 2rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: start; font-size: 1.25rem; font-weight: 600; padding-block: .5rem; }}
th, td {{ text-align: start; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }}
tbody th {{ font-weight: 600; }}
.missed {{ color: var(--bad); font-weight: 600; }}
td.number, th.number {{ text-align: end; }}
svg {{ max-width: 60rem; width: 100%; height: auto; display: block; margin-block: 1rem; }}
svg text {{ fill: var(--ink); font-size: 11px; }}
.axis, .guarantee {{ stroke: var(--ink); }} .tick {{ stroke: var(--line); }}
.guarantee {{ stroke-dasharray: 4 3; }}
figure {{ margin-inline: 0; }}
.target {{ fill: transparent; }} .up {{ fill: var(--good); opacity: .35; }}
.bar.met, .column.series-1 {{ fill: var(--good); }}
.bar.missed, .span.outage {{ fill: var(--bad); }}
.column.series-2 {{ fill: var(--second); }} .column.series-3 {{ fill: var(--third); }}
.span.excluded {{ fill: var(--second); }} .span.ahead, .span.outside {{ fill: var(--line); }}
</style>
</head>
<body>
"""
