"""The texts of the incident page (streams/i18n/board_incident.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, Plural, load
from streams.sla.events import INCIDENT_RANK


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPhrases:
    """The messages of one language."""

    component: str
    tenants: str
    opened: str
    started: str
    restored: str
    still: str
    responded: str
    updated: str
    ended: str
    ticket: str
    phone_call: str
    downtime: str
    yes_no: Annotated[Texts, ("yes", "no")]
    policy: str
    none_so_far: str
    facts_heading: str
    why: str
    by_rule: str
    by_hand: str
    by_default: str
    by_no_contract: str
    policy_absent: str
    rule_absent: str
    set_by: str
    value_names: Annotated[Texts, ("impact", "tier", "component", "scope", "channel")]
    deciding: str
    no_tier: str
    promise: str
    promise_response: str
    promise_updates: str
    no_promise: str
    flags_heading: str
    flags: Annotated[
        Texts, ("default", "no_contract", "channel_not_entitled", "unknown_plan", "unknown_component", "update_limit")
    ]
    flag_unknown: str
    due_heading: str
    nothing_due: str
    then: str
    next_what: Annotated[Texts, ("deadline", "warning", "reminder", "unknown")]
    clocks_heading: str
    no_clocks: str
    clocks_omitted: Plural
    clock_columns: Annotated[Texts, ("clock", "state", "started", "deadline", "ended", "took")]
    states: Annotated[Texts, ("running", "paused", "met", "breached", "cancelled", "unknown")]
    paused_since: str
    requested: str
    revised: Plural
    timeline_heading: str
    timeline_empty: str
    timeline_more: str
    chart_description: str
    chart_shortened: str
    chart_rows: Annotated[Texts, ("outage", "waiting", "response", "update", "resolution", "facts", "alerts")]
    chart_now: str
    legend: str
    kinds: Annotated[
        Texts,
        (
            "fact",
            "answer",
            "update",
            "internal",
            "warning",
            "reminder",
            "breach",
            "retraction",
            "correction",
            "met",
            "end",
        ),
    ]
    event_columns: Annotated[Texts, ("time", "what", "detail", "author", "evidence")]
    arrived_late: str
    events: Annotated[
        Texts,
        (
            *INCIDENT_RANK,
            "incident.classified",
            "incident.closed",
            "incident.link_changed",
            "sla.warning",
            "sla.update_due",
            "sla.breached",
            "sla.breach_retracted",
            "sla.met",
        ),
    ]
    visibilities: Annotated[Texts, ("public", "internal", "unknown")]
    causes: Annotated[
        Texts, ("elapsed", "reclassified", "late_evidence", "annulled", "merged", "resolved", "amended", "unknown")
    ]
    actors: Annotated[Texts, ("support", "customer", "monitor", "system", "unknown")]
    approved_by: str
    threshold: str
    deadline_was: str
    to_severity: str
    to_rules: str
    changed_value: str
    merged_into: str
    merged_from: str
    no_longer: str
    related: str
    notifications: str
    no_notifications: str
    notification_columns: Annotated[Texts, ("destination", "state", "since", "detail")]
    banners: Annotated[Texts, ("resolved", "merged", "annulled", "backfill")]
    absent: str
    absent_hint: str
    events_heading: str


@cache
def incident_phrases(language: Language) -> IncidentPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(IncidentPhrases, "board_incident", language)
