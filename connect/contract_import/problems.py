"""What is wrong with a line of contract terms, in the language of the reader (streams/i18n/contract_rows.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

from streams.i18n.catalogues import Language, load

#: The code of every problem. `check` is one of the checks that every event passes, whose messages are English.
CODES = (
    "cells",
    "check",
    "column_missing",
    "column_twice",
    "column_unknown",
    "empty",
    "field_unknown",
    "formula",
    "not_an_object",
    "not_csv",
    "not_json",
    "same_instant",
    "tenant_missing",
    "tenant_no_text",
    "whole_event",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPhrases:
    """The messages of one language."""

    row: Annotated[Mapping[str, str], CODES]


class RowProblem(NamedTuple):
    """A problem by its code, with the values of its message."""

    code: str
    values: Mapping[str, str] = {}

    def text(self, language: Language = "en") -> str:
        """What is wrong, what is allowed, and what to do."""
        return _phrases(language).row[self.code].format(**self.values)


@cache
def _phrases(language: Language) -> RowPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(RowPhrases, "contract_rows", language)
