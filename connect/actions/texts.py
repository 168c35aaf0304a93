"""The texts of actions (streams/i18n/actions.pot): names, fields, choices, problems, and the preview of an update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

from connect.actions.catalogue import ACTION_NAMES, CHOICES, FIELD_NAMES
from connect.actions.outcome import FormProblem, State
from streams.i18n.catalogues import LANGUAGES, Language, load

#: The code of every problem that an action can have.
PROBLEMS = (
    "unknown_action",
    "two_persons",
    "action_id_used",
    "sent_before",
    "unknown_field",
    "required",
    "single",
    "list",
    "one_of",
    "choice",
    "instant",
    "instant_range",
    "month",
    "id_long",
    "text_long",
    "control_character",
    "not_unicode",
    "wildcard",
    "too_many",
    "tenants_missing",
    "platform_tenants",
    "scope_missing",
    "incident_unknown",
    "not_open",
    "not_ended",
    "annulled",
    "not_waiting",
    "into_itself",
    "merge_cycle",
    "maintenance_exists",
    "maintenance_unknown",
    "same_window",
    "cancelled_before",
    "tenant_unknown",
    "claimed_before",
    "claim_late",
    "claim_zero",
    "confirm",
    "erased_before",
    "line",
    "more_lines",
    "same_terms",
    "reject_unknown",
    "other_type",
    "not_correctable",
    "other_author",
    "check",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTexts:
    """The messages of one language; `action` are titles, `does` one sentence each."""

    action: Annotated[Mapping[str, str], ACTION_NAMES]
    does: Annotated[Mapping[str, str], ACTION_NAMES]
    field: Annotated[Mapping[str, str], FIELD_NAMES]
    choice: Annotated[Mapping[str, str], CHOICES]
    problem: Annotated[Mapping[str, str], PROBLEMS]
    public_update: str
    internal_update: str


@cache
def action_texts(language: Language) -> ActionTexts:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ActionTexts, "actions", language)


def problem_text(problem: FormProblem, language: Language = "en") -> str:
    """What is wrong, without the name of the field."""
    return action_texts(language).problem[problem.code].format(**problem.values)


class UpdatePreview(NamedTuple):
    """An update as people read it in one language: a heading and the text, which is not translated."""

    heading: str
    text: str


def preview_update(state: State, visibility: str, text: str) -> Mapping[Language, UpdatePreview]:
    """An update of an incident in each language, for its author to read before it is sent."""
    found: dict[Language, UpdatePreview] = {}
    for language in LANGUAGES:
        texts = action_texts(language)
        heading = texts.public_update if visibility == "public" else texts.internal_update
        found[language] = UpdatePreview(heading.format(title=state["title"][language]), text)
    return found
