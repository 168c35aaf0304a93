"""The texts of the pages of tenants and months (streams/i18n/board_months.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from streams.i18n.catalogues import Language, load

#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPhrases:
    """The messages of one language."""

    tenants_title: str
    search: str
    search_hint: str
    tenants_found: str
    import_contracts: str
    heads: Annotated[
        Texts,
        (
            "tenant",
            "month",
            "availability",
            "guarantee",
            "downtime",
            "credit",
            "status",
            "excluded",
            "from",
            "to",
            "length",
            "what",
            "incidents",
            "plan",
            "charge",
            "tier",
            "zone",
            "stated",
            "standing",
            "evidence",
            "components",
            "announced",
            "window",
            "line",
            "rule",
            "computed",
            "result",
            "revision",
            "changed",
            "before",
            "after",
            "term",
            "kind",
            "id",
            "position",
            "severity",
            "component",
            "amount",
            "cause",
            "concerns",
        ),
    ]
    guarantee_words: Annotated[Texts, ("met", "missed")]
    statuses: Annotated[Texts, ("provisional", "final", "adjusted", "unknown")]
    revision_of: str
    no_statement: str
    no_tenants: str
    no_tenants_hint: str
    none_found: str
    none_found_hint: str
    all_tenants: str
    earlier: str
    later: str
    credited_before: str
    earlier_months: str
    latest_months: str
    pages_of: str
    unknown_tenant: str
    unknown_tenant_hint: str
    unknown_month: str
    unknown_month_hint: str
    availability_title: str
    chart_description: str
    bar_hover: str
    bar_hover_none: str
    contracts_title: str
    standings: Annotated[Texts, ("in_force", "replaced")]
    no_contracts: str
    open_end: str
    maintenance_title: str
    maintenance_span: str
    no_maintenance: str
    cancelled: str
    everybody: str
    this_tenant: str
    month_title: str
    strips_title: str
    strips_description: str
    span_kinds: Annotated[Texts, ("outage", "excluded", "outside", "ahead")]
    span_hover: str
    spans_table: str
    no_spans: str
    more_spans: str
    summarised_spans: str
    other_incidents: str
    so_far_title: str
    so_far_hint: str
    so_far_final: str
    so_far_none: str
    so_far_strips: str
    so_far_ahead: str
    so_far_more: str
    arithmetic_title: str
    arithmetic_hint: str
    lines: Annotated[
        Texts,
        (
            "period",
            "outside",
            "eligible",
            "excluded",
            "counted",
            "downtime",
            "up",
            "availability",
            "guarantee.met",
            "guarantee.missed",
            "shortfall",
            "points.whole",
            "points.started",
            "points.pro_rata",
            "uncapped",
            "percent",
            "charge",
            "credit",
            "delta",
            "waived",
        ),
    ]
    spans_counted: str
    differs_from: str
    no_policy: str
    facts: Annotated[
        Texts, ("policy", "published", "claim", "claimed", "issued", "digest", "flags", "position", "period", "waived")
    ]
    claims: Annotated[Texts, ("required", "automatic")]
    not_claimed: str
    nothing_issued: str
    causes: Annotated[Texts, ("claimed", "automatic", "adjusted", "unknown")]
    issued_row: str
    revisions_title: str
    first_revision: str
    same_terms: str
    terms: Annotated[
        Texts,
        (
            "status",
            "period",
            "eligible",
            "downtime",
            "excluded",
            "availability",
            "guarantee",
            "percent",
            "charge",
            "credit",
            "delta",
            "waived",
            "claimable",
            "policy",
            "intervals",
            "exclusions",
            "evidence",
            "flags",
        ),
    ]
    none: str
    csv: str
    printable: str
    statement_title: str
    back: str
    print_hint: str
    customer_files: str
    evidence_title: str
    evidence_summarised: str
    more_evidence: str
    kinds: Annotated[Texts, ("contract", "maintenance", "incident", "unknown")]
    contract_changed: str
    verification_title: str
    verification_hint: str
    verify: str
    verify_again: str
    verification_queued: str
    verification_running: str
    verification_starting: str
    verification_failed: str
    verification_cancelled: str
    verification_busy: str
    verified: str
    verified_from: str
    verified_whole: str
    differs: str
    differs_stated: str
    differs_recomputed: str
    differs_incidents: str
    not_possible: str
    not_possible_missing: str
    not_possible_erased: str


@cache
def tenant_phrases(language: Language) -> TenantPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(TenantPhrases, "board_months", language)
