"""The texts around forms of actions (streams/i18n/board_actions.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from connect.actions.revision import COMPARED
from streams.i18n.catalogues import Language, load


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPagePhrases:
    """The messages of one language."""

    heading: str
    required: str
    choose: str
    unchanged: str
    instant_hint: str
    one_a_line: str
    preview: str
    show_target: str
    merge_into: str
    nothing: str
    claim_amount: str
    claim_until: str
    claimed: str
    retry_hint: str
    change: str
    state_fields: Annotated[Texts, COMPARED]
    coverage: Annotated[Texts, ("covered", "not_covered")]
    recent: str
    outcomes: Annotated[
        Texts,
        (
            "accepted",
            "unchanged",
            "not_read_yet",
            "rejected",
            "moved",
            "moved_unknown",
            "denied",
            "invalid",
            "unavailable",
        ),
    ]


@cache
def action_page_phrases(language: Language) -> ActionPagePhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ActionPagePhrases, "board_actions", language)
