"""The form that proposes what takes two people about an incident."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from board.access.identity import CurrentPerson, sender_of
from board.access.requirement import requires
from board.actions.form_views import ActionForm, Entered, action_form, read_form
from board.actions.offers import proposal_offers
from board.actions.runner import ActionAttempt
from board.dependencies import BoardContext, Context, ReadConnection, Scope
from board.pages.access_texts import access_phrases
from board.pages.action_texts import action_page_phrases
from board.pages.errors import error_page
from board.pages.incident_texts import incident_phrases
from board.pages.proposal_texts import proposal_phrases
from board.pages.render import page
from board.pages.state_changes import shown_changes
from board.proposals.decisions import Written
from board.proposals.view import proposing
from board.queries.incidents import IncidentRow, get_incident
from board.queries.tenant_scope import TenantScope
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.outcome import FormProblem, Invalid, Moved, Unchanged
from connect.actions.permissions import Denied, Permission
from connect.actions.person import Person
from connect.actions.texts import labels_of, problem_text

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.PROPOSE, scoped=True)])

_LARGEST_FORM = 64 * 1024


@dataclass(frozen=True, slots=True)
class NotProposed:
    """A form that was sent and is shown again, and why nothing was proposed. `changes` are those of the incident."""

    action: Action
    entered: Entered
    message: str
    problems: tuple[FormProblem, ...] = ()
    changes: tuple[tuple[str, str, str], ...] = ()


@router.get("/proposals/new")
def new_proposal(
    request: Request, context: Context, connection: ReadConnection, scope: Scope, person: CurrentPerson, incident: str
) -> Response:
    """The forms for an incident: `?incident=ID`."""
    row = get_incident(connection, incident, scope)
    if row is None:
        return _absent(request, incident)
    return _page(request, context, person, row)


@router.post("/proposals/new/{action_name}")
async def propose(request: Request, context: Context, scope: Scope, action_name: str) -> Response:
    """Write the proposal to the audit log; the form again when something is wrong with it."""
    action = ACTIONS.get(action_name)
    if action is None or not action.two_persons:
        return error_page(request, HTTPStatus.NOT_FOUND)
    entered = await read_form(request, action, most_bytes=_LARGEST_FORM, other=("incident",))
    return await run_in_threadpool(_propose, request, context, scope, action, entered)


def _propose(
    request: Request,
    context: BoardContext,
    scope: TenantScope,
    action: Action,
    entered: Entered,
) -> Response:
    sender, incident_id = sender_of(request), entered.other["incident"]
    with context.engine.connect() as connection:
        row = get_incident(connection, incident_id, scope)
    if row is None:
        return _absent(request, incident_id)
    attempt = ActionAttempt(action.name, incident_id, entered.values, entered.action_id, entered.revision)
    outcome = proposing(context).propose(sender, attempt, now=context.time_source.now())
    if isinstance(outcome, Written):
        return RedirectResponse(f"/proposals/{outcome.proposal_id}?sent=proposed", HTTPStatus.SEE_OTHER)
    status, again = _not_proposed(request, sender.person, action, entered, outcome)
    return _page(request, context, sender.person, row, again, status)


def _not_proposed(
    request: Request, person: Person, action: Action, entered: Entered, outcome: Denied | Invalid | Unchanged | Moved
) -> tuple[HTTPStatus, NotProposed]:
    language = viewer(request).language
    phrases, title = action_page_phrases(language), labels_of(action.name, language).title

    def message(kind: str, reason: str = "") -> str:
        return phrases.outcomes[kind].format(action=title, reason=reason)

    match outcome:
        case Denied():
            text = message("denied", access_phrases(language).denied_hint(outcome, person))
            return HTTPStatus.FORBIDDEN, NotProposed(action, entered, text)
        case Invalid(problems):
            again = NotProposed(action, entered, message("invalid"), tuple(problems))
            return HTTPStatus.UNPROCESSABLE_ENTITY, again
        case Unchanged(reason):
            text = message("unchanged", problem_text(reason, language))
            return HTTPStatus.CONFLICT, NotProposed(action, entered, text)
        case Moved(changes=changes):
            found = shown_changes(changes or (), viewer(request))
            text = message("moved" if found else "moved_unknown")
            return HTTPStatus.CONFLICT, NotProposed(action, entered, text, changes=found)


def _page(
    request: Request,
    context: BoardContext,
    person: Person,
    row: IncidentRow,
    again: NotProposed | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    seen_by = viewer(request)
    offers = list(proposal_offers(person, row.incident_id, row.state))
    if again is not None and again.action not in offers:
        offers.insert(0, again.action)
    forms: list[ActionForm] = []
    for action in offers:
        fields = context.actions.service.describe(action.name)
        if again is not None and again.action == action:
            forms.append(action_form(action, fields, seen_by.language, again.entered, again.problems))
        else:
            forms.append(action_form(action, fields, seen_by.language))
    return page(
        request,
        "proposals/new.html",
        status_code=status,
        active="proposals",
        phrases=proposal_phrases(seen_by.language),
        action_phrases=action_page_phrases(seen_by.language),
        row=row,
        title=row.title_ja if seen_by.language == "ja" else row.title_en,
        forms=forms,
        again=again,
    )


def _absent(request: Request, incident_id: str) -> Response:
    phrases = incident_phrases(viewer(request).language)
    title = phrases.absent.format(id=incident_id)
    return error_page(request, HTTPStatus.NOT_FOUND, title=title, hint=phrases.absent_hint)
