"""The texts of the pages of rejected input (streams/i18n/board_rejected.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, load
from streams.sla.events import REJECT_CODES


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPhrases:
    """The messages of one language."""

    heading: str
    intro: str
    code: str
    all: str
    columns: Annotated[Texts, ("time", "reason", "message", "subject", "original")]
    codes: Annotated[Texts, REJECT_CODES]
    advice: Annotated[Texts, (*REJECT_CODES, "unknown")]
    empty: Annotated[Texts, ("none", "none_hint", "filtered", "filtered_hint")]
    more: str
    detail_title: str
    what_to_do: str
    retry_as_it_was: str
    retry_corrected: str
    original_heading: str
    decoded: str
    as_hex: str
    not_copied: str
    coordinates: str
    own_place: str
    agent: str
    event_type: str
    headers_heading: str
    size: str
    absent: str
    absent_hint: str


@cache
def rejected_phrases(language: Language) -> RejectedPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(RejectedPhrases, "board_rejected", language)
