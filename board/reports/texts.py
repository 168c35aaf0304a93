"""The texts of reports (streams/i18n/board_reports.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from streams.i18n.catalogues import Language, load

#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPhrases:
    """The messages of one language. Titles and heads begin in lower case."""

    fleet_title: str
    tenant_title: str
    as_of: str
    titles: Annotated[Texts, ("statements", "breaches", "attainment")]
    nothing: Annotated[Texts, ("statements", "breaches", "attainment")]
    heads: Annotated[
        Texts,
        (
            "tenant",
            "month",
            "status",
            "availability",
            "guarantee",
            "downtime",
            "credit",
            "issued",
            "severity",
            "metric",
            "breaches",
            "response_met",
            "update_met",
            "resolution_met",
        ),
    ]
    statuses: Annotated[Texts, ("provisional", "final", "adjusted")]
    revision_of: str
    guarantee_words: Annotated[Texts, ("met", "missed")]
    metrics: Annotated[Texts, ("response", "update", "resolution")]
    share: str
    captions: Annotated[Texts, ("availability", "attainment")]
    availability_name: str
    lowest_name: str
    availability_hover: str
    attainment_name: str
    attainment_hover: str
    quarter: str
    show: str
    other_quarters: str
    downloads: str
    summary: str
    credits_in: str
    lowest_first: str
    scope_hint: str
    tenant_scope_hint: str
    wrong_quarter: str


@cache
def report_phrases(language: Language) -> ReportPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ReportPhrases, "board_reports", language)
