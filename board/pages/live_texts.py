"""The texts of the live page (streams/i18n/board_live.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Plural


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePhrases:
    """The messages of one language."""

    heading: str
    heading_other: str
    intro: str
    intro_other: str
    filters: Annotated[Texts, ("search", "severity", "component", "tenant", "status", "apply", "reset")]
    search_hint: str
    tenant_hint: str
    any: str
    any_status: str
    columns: Annotated[Texts, ("severity", "incident", "state", "due", "opened", "changed")]
    due: Annotated[Texts, ("response", "update", "requested", "resolution", "unknown")]
    paused: str
    no_deadline: str
    breaches: Plural
    not_covered: str
    flags: Annotated[
        Texts, ("default", "no_contract", "channel_not_entitled", "unknown_plan", "unknown_component", "update_limit")
    ]
    flag_unknown: str
    not_answered: str
    more_tenants: str
    first_page: str
    next_page: str
    empty: Annotated[Texts, ("none", "none_hint", "filtered", "filtered_hint")]
    urgencies: Annotated[Texts, ("calm", "soon", "urgent", "late")]
