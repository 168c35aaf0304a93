"""The texts of the page of the audit log (streams/i18n/board_audit.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Final

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, load

#: Types of events without what stands before the dot.
KINDS: Final = (
    "signed_in",
    "sign_in_failed",
    "signed_out",
    "denied",
    "acted",
    "proposed",
    "approved",
    "declined",
    "withdrawn",
)
OUTCOMES: Final = (
    "ok",
    "failed",
    "denied",
    "accepted",
    "not_read_yet",
    "rejected",
    "moved",
    "invalid",
    "refused",
    "unchanged",
    "unavailable",
    "proposed",
    "approved",
    "declined",
    "withdrawn",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPhrases:
    """The messages of one language."""

    heading: str
    intro: str
    filters: Annotated[Texts, ("label", "person", "kind", "tenant", "since", "until", "show", "reset", "any")]
    columns: Annotated[Texts, ("time", "person", "what", "about", "outcome")]
    kinds: Annotated[Texts, KINDS]
    outcomes: Annotated[Texts, OUTCOMES]
    decisions: Annotated[Texts, ("approve", "decline", "withdraw")]
    nobody: str
    permission: str
    proposal: str
    events: str
    wrong_day: str
    empty: Annotated[Texts, ("none", "none_hint", "filtered", "filtered_hint")]
    more: str
    csv: str


@cache
def audit_phrases(language: Language) -> AuditPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(AuditPhrases, "board_audit", language)
