"""The texts of the page that imports contracts (streams/i18n/board_contracts.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from connect.contract_import.changed_terms import TERM_NAMES
from streams.i18n.catalogues import Language, load


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPhrases:
    """The messages of one language."""

    intro: str
    file: str
    pasted: str
    show_difference: str
    publish: str
    difference_title: str
    counts: str
    same_tenants: str
    not_in_file: str
    columns: Annotated[Texts, ("tenant", "line", "kind", "from", "terms")]
    kinds: Annotated[Texts, ("new_tenant", "new_terms", "corrected")]
    terms: Annotated[Texts, TERM_NAMES]
    notes: Annotated[Texts, ("zone_stays", "currency_stays", "currency_unknown", "erased")]
    unknown_plan: str
    more_tenants: str
    more_lines: str
    problems_title: str
    nothing_given: str
    not_utf8: str
    other_difference: str
    published: str
    nothing_published: str


@cache
def import_phrases(language: Language) -> ImportPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ImportPhrases, "board_contracts", language)
