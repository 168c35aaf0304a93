"""Sections of pages with forms of actions: what came of the form that was sent, and the forms again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fastapi import Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from board.access.identity import identity_of, sender_of
from board.actions.form_views import ActionForm, Entered, action_form, new_action_id
from board.actions.runner import ActionAttempt, Confirm
from board.dependencies import BoardContext
from board.pages.access_texts import access_phrases
from board.pages.action_texts import action_page_phrases
from board.pages.errors import error_page
from board.pages.render import is_part, page
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.form import FormField, FormValue
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    FormProblem,
    Invalid,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    Unchanged,
)
from connect.actions.permissions import Allowed, Concerned, Denied, allowed
from connect.actions.texts import labels_of, problem_text, warning_text

STATUS: Mapping[type, int] = {
    Moved: 409,
    Denied: 403,
    Invalid: 422,
    RejectedByWorker: 422,
    ActionUnavailable: 503,
    NotReadYet: 202,
}


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form that was sent and is shown again: `entered` is what was in it, `action_id` None for a new attempt."""

    action: Action
    entered: Entered
    problems: Sequence[FormProblem] = ()
    action_id: str | None = None


@dataclass(frozen=True, slots=True)
class FormMessage:
    """What came of the form that was just sent; `tone` is fine, warning or danger. `warnings` are what was accepted and
    is rarely meant."""

    text: str = ""
    tone: str = "fine"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredForm:
    """What came of the form that was just sent: the message, and the form where it is shown again. `outcome` is None
    where none was sent, as when a page is opened."""

    outcome: Outcome | None = None
    message: FormMessage = FormMessage()
    sent: SentForm | None = None

    @property
    def done(self) -> bool:
        """Whether it has done its work. What was just accepted may not be in the read model yet."""
        return isinstance(self.outcome, Accepted | Unchanged)

    def form(self, request: Request, action: Action, fields: Sequence[FormField], start: Entered) -> ActionForm:
        """The form of an action: open with what was entered where it was the one that was sent, else with `start`."""
        again = self.sent is not None and self.sent.action == action
        shown = self.sent if self.sent is not None and again else SentForm(action, start)
        found = action_form(
            action, fields, viewer(request).language, shown.entered, shown.problems, shown.action_id or None
        )
        return replace(found, opened=again)


#: The page was opened.
NO_FORM_SENT = AnsweredForm()


@dataclass(frozen=True, slots=True)
class SectionForm:
    """A form and where it goes. `facts` are shown above its fields; `button` is its own label where it has one."""

    form: ActionForm
    address: str
    facts: tuple[str, ...] = ()
    button: str = ""


@dataclass(frozen=True, slots=True)
class ActionSection:
    """The section of a page: `title` and `back` name the page and its address. `notes` say why there is no form."""

    title: str
    back: str
    forms: tuple[SectionForm, ...] = ()
    message: FormMessage = FormMessage()
    notes: tuple[str, ...] = ()
    #: Of forms in one group one is open. A new one for each rendering, as on the incident page.
    group: str = field(default_factory=new_action_id)


def may_act(request: Request, action_name: str, concerned: Concerned) -> bool:
    """Whether the person of a request is offered an action on what concerns these tenants."""
    identity = identity_of(request)
    if identity is None or identity.person is None or not identity.person.signed_in:
        return False
    return isinstance(allowed(identity.person, ACTIONS[action_name].permission, concerned), Allowed)


async def perform_form(
    request: Request,
    context: BoardContext,
    action: Action,
    subject: str,
    entered: Entered,
    *,
    more: Mapping[str, FormValue] | None = None,
    confirm: Confirm = lambda _: None,
) -> Outcome:
    """Do what a form asks for; `more` are fields that its address has."""
    values = {**entered.values, **(more or {})}
    return await context.actions.perform(
        sender_of(request), ActionAttempt(action.name, subject, values, entered.action_id, entered.revision, confirm)
    )


def outcome_message(request: Request, action: Action, outcome: Outcome) -> FormMessage:
    """What came of an action, in the language of the viewer."""
    seen_by = viewer(request)
    phrases = action_page_phrases(seen_by.language)
    title = labels_of(action.name, seen_by.language).title
    kind, reason, tone = "accepted", "", "fine"
    match outcome:
        case Unchanged():
            kind, reason = "unchanged", problem_text(outcome.reason, seen_by.language)
        case NotReadYet():
            kind, tone = "not_read_yet", "warning"
        case RejectedByWorker():
            kind, reason, tone = "rejected", f"{outcome.code}: {outcome.message}", "danger"
        case Moved():
            kind, tone = "moved" if outcome.changes or outcome.recent else "moved_unknown", "warning"
        case Denied():
            identity = identity_of(request)
            person = None if identity is None else identity.person
            kind, tone = "denied", "danger"
            reason = access_phrases(seen_by.language).denied_hint(outcome, person)
        case Invalid():
            kind, tone = "invalid", "warning"
        case ActionUnavailable():
            kind, reason, tone = "unavailable", outcome.reason, "danger"
    warnings: tuple[str, ...] = ()
    if isinstance(outcome, Accepted | NotReadYet) and outcome.warnings:
        warnings, tone = tuple(warning_text(each, seen_by.language) for each in outcome.warnings), "warning"
    return FormMessage(phrases.outcomes[kind].format(action=title, reason=reason), tone, warnings)


def answered_form(request: Request, action: Action, entered: Entered, outcome: Outcome) -> AnsweredForm:
    """A form that was sent, with its outcome."""
    message = outcome_message(request, action, outcome)
    if isinstance(outcome, Accepted | Unchanged):
        return AnsweredForm(outcome, message)
    same = isinstance(outcome, NotReadYet | ActionUnavailable)  # the event may be there: only the same id is safe
    problems = outcome.problems if isinstance(outcome, Invalid) else ()
    return AnsweredForm(outcome, message, SentForm(action, entered, problems, entered.action_id if same else None))


async def section_answer(
    request: Request,
    context: BoardContext,
    answered: AnsweredForm,
    section_of: Callable[[Connection, AnsweredForm], ActionSection | None],
) -> Response:
    """The answer to a form: with htmx the section that `section_of` makes of it, else a page of it. Where there are no
    forms for the person, what came of it as an error."""
    return await run_in_threadpool(_section_answer, request, context, answered, section_of)


def _section_answer(
    request: Request,
    context: BoardContext,
    answered: AnsweredForm,
    section_of: Callable[[Connection, AnsweredForm], ActionSection | None],
) -> Response:
    with context.engine.connect() as connection:
        section = section_of(connection, answered)
    if section is None:
        return error_page(request, STATUS.get(type(answered.outcome), 404), hint=answered.message.text)
    return page(
        request,
        "actions/section_part.html" if is_part(request) else "actions/section_page.html",
        status_code=STATUS.get(type(answered.outcome), 200),
        active=None,
        section=section,
        action_phrases=action_page_phrases(viewer(request).language),
    )
