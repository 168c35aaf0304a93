"""A quarter as a page, and as files: CSV, JSON, and a page that needs nothing else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, NamedTuple

from fastapi import Request, Response

from board.dependencies import BoardContext
from board.pages.errors import error_page
from board.pages.render import page
from board.queries.reports import FleetTotals
from board.reports.charts import pictures
from board.reports.formats import as_csv, as_html, as_json, sentence
from board.reports.quarters import quarter_months
from board.reports.report import Report, tables_of
from board.reports.texts import report_phrases
from board.viewer import viewer
from streams.money import formatted
from streams.sla.instants import Month

FileKind = Literal["csv", "json", "html"]
_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}


class QuarterView(NamedTuple):
    """Of what a report is: its title, the address of the page and (with .csv and so on) of the files, the page above it
    with its name, the part of the board, and which months count where."""

    title: str
    address: str
    above: tuple[str, str]
    active: str
    hint: str


def asked_quarter(request: Request, default: str | None) -> tuple[str, tuple[Month, ...]] | Response:
    """The quarter of a request and its months, or the answer that explains how a quarter is written."""
    quarter = request.query_params.get("quarter", default or "")
    months = quarter_months(quarter)
    if months is not None:
        return quarter, months
    phrases = report_phrases(viewer(request).language)
    return error_page(request, HTTPStatus.NOT_FOUND, hint=phrases.wrong_quarter.format(given=quarter[:64] or "–"))


def quarter_page(
    request: Request,
    context: BoardContext,
    view: QuarterView,
    quarter: str,
    quarters: list[str],
    found: Report,
    totals: FleetTotals,
) -> Response:
    """The page; `quarters` can be chosen."""
    language = viewer(request).language
    phrases = report_phrases(language)
    return page(
        request,
        "reports/quarter.html",
        active=view.active,
        phrases=phrases,
        view=view,
        quarter=quarter,
        quarters=quarters if quarter in quarters else [quarter, *quarters],
        found=found,
        totals=totals,
        pictures=list(pictures(found, context.policies, phrases)),
        tables={table.name: table for table in tables_of(found, language)},
        sentence=sentence,
        money=formatted,
    )


def quarter_file(
    request: Request, context: BoardContext, kind: FileKind, title: str, name: str, found: Report
) -> Response:
    """The whole report, as `sla report --quarter` gives it; `name` is that of the file, without its kind."""
    match kind:
        case "csv":
            text = as_csv(found)
        case "json":
            text = as_json(found)
        case "html":
            text = as_html(found, title, context.policies, viewer(request).language)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(text, media_type=f"{_MEDIA_TYPES[kind]}; charset=utf-8", headers=headers)
