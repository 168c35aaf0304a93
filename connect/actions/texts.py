"""The texts of actions (streams/i18n/actions.pot): names, fields, choices, problems, and the preview of an update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

from connect.actions.catalogue import ACTION_NAMES, ACTIONS, CHOICES, FIELD_NAMES
from connect.actions.outcome import ActionWarning, FormProblem, State
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
    "instant_twice",
    "instant_never",
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
    "restored_early",
    "started_late",
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
    "other_difference",
    "same_terms",
    "reject_unknown",
    "other_type",
    "not_correctable",
    "other_author",
    "check",
)
#: The code of every warning that an action can have.
WARNINGS = (
    "claim_ahead",
    "claim_no_contract",
    "claim_before",
    "claim_automatic",
    "claim_over",
    "window_late",
    "window_change_late",
    "window_over",
    "window_short",
    "window_long",
    "component_unknown",
    "component_misspelled",
    "more_components",
    "plan_unknown",
    "plan_misspelled",
    "more_plans",
    "tenant_unknown",
    "tenant_misspelled",
    "more_tenants",
    "currency_unknown",
    "tenants_unchecked",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPhrases:
    """The messages of one language; `action` are titles, `does` one sentence each."""

    action: Annotated[Mapping[str, str], ACTION_NAMES]
    does: Annotated[Mapping[str, str], ACTION_NAMES]
    field: Annotated[Mapping[str, str], FIELD_NAMES]
    choice: Annotated[Mapping[str, str], CHOICES]
    problem: Annotated[Mapping[str, str], PROBLEMS]
    warning: Annotated[Mapping[str, str], WARNINGS]
    public_update: str
    internal_update: str


@cache
def action_phrases(language: Language) -> ActionPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(ActionPhrases, "actions", language)


def problem_text(problem: FormProblem, language: Language = "en") -> str:
    """What is wrong, without the name of the field."""
    phrases = action_phrases(language)
    row = {} if problem.row is None else {"problem": problem.row.text(language)}
    return phrases.problem[problem.code].format(**problem.values, **row)


def warning_text(warning: ActionWarning, language: Language = "en") -> str:
    """What is probably not meant."""
    return action_phrases(language).warning[warning.code].format(**warning.values)


class ActionLabels(NamedTuple):
    """The words of an action's form: its title, what it does in one sentence, each field, each choice that has words
    (severities and components have none here)."""

    title: str
    does: str
    fields: Mapping[str, str]
    choices: Mapping[str, str]


def labels_of(action_name: str, language: Language) -> ActionLabels:
    """The words of an action's form in one language. Raises KeyError for an unknown action."""
    phrases = action_phrases(language)
    fields = {field.name: phrases.field[field.name] for field in ACTIONS[action_name].fields}
    choices = {
        choice: phrases.choice[choice]
        for field in ACTIONS[action_name].fields
        for choice in field.choices
        if choice in phrases.choice
    }
    return ActionLabels(phrases.action[action_name], phrases.does[action_name], fields, choices)


class UpdatePreview(NamedTuple):
    """An update as people read it in one language: a heading and the text, which is not translated."""

    heading: str
    text: str


def preview_update(state: State, visibility: str, text: str) -> Mapping[Language, UpdatePreview]:
    """An update of an incident in each language, for its author to read before it is sent."""
    found: dict[Language, UpdatePreview] = {}
    for language in LANGUAGES:
        phrases = action_phrases(language)
        heading = phrases.public_update if visibility == "public" else phrases.internal_update
        found[language] = UpdatePreview(heading.format(title=state["title"][language]), text)
    return found
