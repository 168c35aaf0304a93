"""The texts of the pages of maintenance windows (streams/i18n/board_maintenance.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, load


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenancePhrases:
    """The messages of one language."""

    heading: str
    intro: str
    standings: Annotated[Texts, ("current", "upcoming", "past", "cancelled")]
    columns: Annotated[Texts, ("window", "start", "end", "components", "tenants", "announced")]
    everybody: str
    and_others: str
    empty: str
    empty_hint: str
    window_id: str


@cache
def maintenance_phrases(language: Language) -> MaintenancePhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(MaintenancePhrases, "board_maintenance", language)
