"""The texts of the overview (streams/i18n/board_overview.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from streams.i18n.catalogues import Language, load

#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPhrases:
    """The messages of one language."""

    open_title: str
    nothing_open: str
    heads: Annotated[
        Texts,
        (
            "severity",
            "open",
            "breached",
            "next",
            "month",
            "tenant",
            "response",
            "update",
            "resolution",
            "respond_median",
            "respond_p90",
            "resolve_median",
            "resolve_p90",
            "incident",
            "breaches",
            "late",
            "component",
            "opened",
            "settled",
            "provisional",
            "issued",
            "tenants",
            "availability",
            "guarantee",
            "credit",
            "status",
        ),
    ]
    attainment_title: str
    attainment_hint: str
    without_backfill: str
    with_backfill: str
    include: str
    leave_out: str
    no_verdicts: str
    by_severity: str
    by_tenant: str
    span: str
    share: str
    lapses_title: str
    no_lapses: str
    breach_count: str
    metrics: Annotated[Texts, ("response", "update", "resolution")]
    credits_title: str
    no_credits: str
    below_title: str
    below_count: str
    none_below: str
    one_month: str
    month_label: str
    last_months: str
    show: str
    quarter_report: str
    all_months: str
    empty: str
    empty_hint: str
    credit_hover: str
    credits_description: str
    attainment_description: str
    attainment_hover: str


@cache
def overview_phrases(language: Language) -> OverviewPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(OverviewPhrases, "board_overview", language)
