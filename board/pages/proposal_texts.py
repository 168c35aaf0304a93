"""The texts of the pages of proposals (streams/i18n/board_proposals.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, load


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalPhrases:
    """The messages of one language."""

    absent: str
    absent_hint: str
    approve: str
    breach_columns: Annotated[
        Texts,
        (
            "clock",
            "deadline",
            "severity",
        ),
    ]
    breaches_gone: str
    breaches_new: str
    changes_heading: str
    columns: Annotated[
        Texts,
        (
            "action",
            "incident",
            "proposer",
            "reason",
            "status",
            "time",
        ),
    ]
    compute: str
    compute_again: str
    computed: str
    credit_change: str
    decide_heading: str
    decided_heading: str
    decision_waits: str
    decline: str
    effect_absent: str
    effect_busy: str
    effect_failed: str
    effect_heading: str
    effect_outdated: str
    effect_queued: str
    effect_running: str
    effect_starting: str
    empty: Annotated[
        Texts,
        (
            "hint",
            "title",
        ),
    ]
    event: Annotated[
        Texts,
        (
            "accepted",
            "rejected",
            "sent",
            "waits",
        ),
    ]
    event_heading: str
    expires: str
    final: str
    guarantee: Annotated[
        Texts,
        (
            "met",
            "missed",
        ),
    ]
    heading: str
    intro: str
    look_again: str
    month_columns: Annotated[
        Texts,
        (
            "availability",
            "credit",
            "difference",
            "downtime",
            "guarantee",
            "issued",
            "month",
            "more",
            "not_collected",
            "tenant",
        ),
    ]
    months_heading: str
    more: str
    no_effect: str
    no_payment: str
    not_recorded: str
    not_recorded_hint: str
    payments: Annotated[
        Texts,
        (
            "issued",
            "not_collected",
            "to_claim",
            "to_issue",
        ),
    ]
    propose: str
    propose_heading: str
    propose_intro: str
    propose_link: str
    propose_nothing: str
    proposed_by: str
    reason: str
    refusals: Annotated[
        Texts,
        (
            "decided_before",
            "denied",
            "effect_outdated",
            "expired",
            "invalid",
            "no_effect",
            "not_proposer",
            "same_person",
            "would_be_rejected",
        ),
    ]
    regions: Annotated[
        Texts,
        (
            "breaches_gone",
            "breaches_new",
        ),
    ]
    revision: str
    statements_due: str
    statements_follow: str
    status_hint: Annotated[
        Texts,
        (
            "decline_only",
            "own",
            "read_only",
        ),
    ]
    statuses: Annotated[
        Texts,
        (
            "approved",
            "declined",
            "expired",
            "proposed",
            "withdrawn",
        ),
    ]
    tenants: str
    to_incident: str
    what_heading: str
    why_ignored: Annotated[
        Texts,
        (
            "decided_before",
            "expired",
            "not_proposer",
            "same_person",
        ),
    ]
    withdraw: str
    without_effect_heading: str
    would_be_rejected: str


@cache
def proposal_phrases(language: Language) -> ProposalPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ProposalPhrases, "board_proposals", language)
