"""The actions of the incident page: what is offered, and the answer to a form that was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from board.access.identity import Identity, identity_of, sender_of
from board.access.requirement import requires
from board.actions.form_views import ActionForm, Entered, action_form, new_action_id, read_form
from board.actions.offers import incident_offers
from board.actions.runner import ActionAttempt
from board.dependencies import BoardContext, Context, Scope
from board.pages.action_sections import STATUS, SentForm, answered_form
from board.pages.action_texts import action_page_phrases
from board.pages.errors import error_page
from board.pages.incident_texts import incident_phrases
from board.pages.render import incident_address, is_part, page
from board.pages.state_changes import shown_changes
from board.queries.incidents import IncidentRow, get_incident
from board.queries.tenant_scope import TenantScope
from board.viewer import Viewer, viewer
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.outcome import Accepted, FormProblem, Moved, Outcome
from connect.actions.permissions import Permission
from connect.actions.texts import preview_update

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.WORK_ON_INCIDENTS, scoped=True)])

_LARGEST_FORM = 256 * 1024


@dataclass(frozen=True, slots=True)
class ActionsView:
    """What the section of actions shows. `message` is about the action that was just sent; `tone` is fine, warning or
    danger. `target` is the incident to merge into, with its title."""

    address: str
    title: str
    revision: int
    forms: tuple[ActionForm, ...]
    message: str = ""
    tone: str = "fine"
    warnings: tuple[str, ...] = ()
    changes: tuple[tuple[str, str, str], ...] = ()
    recent: tuple[tuple[str, str], ...] = ()
    preview: tuple[tuple[str, str, str], ...] = ()
    target: tuple[str, str] | None = None
    #: Of forms in one group one is open. A new one for each rendering: a browser closes what is inserted beside an open
    #: one.
    group: str = field(default_factory=new_action_id)


def actions_view(
    context: BoardContext,
    identity: Identity | None,
    row: IncidentRow,
    seen_by: Viewer,
    sent: SentForm | None = None,
    **more: Any,
) -> ActionsView:
    """The actions that a person is offered at an incident, and the form that was sent."""
    person = None if identity is None else identity.person
    offers = list(incident_offers(person, row.incident_id, row.state))
    if sent is not None and sent.action not in offers:
        offers.insert(0, sent.action)
    service, forms = context.actions.service, []
    for action in offers:
        again = sent if sent is not None and sent.action == action else None
        fields = service.describe(action.name)
        if again is None:
            forms.append(action_form(action, fields, seen_by.language))
        else:
            forms.append(action_form(action, fields, seen_by.language, again.entered, again.problems, again.action_id))
    title = row.title_ja if seen_by.language == "ja" else row.title_en
    return ActionsView(incident_address(row.incident_id), title, row.revision, tuple(forms), **more)


@router.post("/incidents/{incident_id:path}/actions/{action_name}")
async def act_on_incident(
    request: Request, context: Context, scope: Scope, incident_id: str, action_name: str
) -> Response:
    """Do it, or show what it would be; with htmx the section of actions, else a page or the incident again."""
    action = ACTIONS.get(action_name)
    if action is None or action.subject != "incident" or action.two_persons:
        return error_page(request, HTTPStatus.NOT_FOUND)
    entered = await read_form(request, action, most_bytes=_LARGEST_FORM, most_fields=100)
    if entered.asks_preview or (action_name == "merge" and entered.confirmed != entered.values.get("into")):
        return await run_in_threadpool(_preview, request, context, scope, incident_id, action, entered)
    attempt = ActionAttempt(action_name, incident_id, entered.values, entered.action_id, entered.revision)
    outcome = await context.actions.perform(sender_of(request), attempt)
    if isinstance(outcome, Accepted) and not outcome.warnings and not is_part(request):
        return RedirectResponse(incident_address(incident_id), HTTPStatus.SEE_OTHER)
    return await run_in_threadpool(_answer, request, context, scope, incident_id, action, entered, outcome)


def _preview(
    request: Request, context: BoardContext, scope: TenantScope, incident_id: str, action: Action, entered: Entered
) -> Response:
    """What an update looks like to its readers, or the incident to merge into; nothing is sent."""
    seen_by = viewer(request)
    with context.engine.connect() as connection:
        row = get_incident(connection, incident_id, scope)
        into = str(entered.values.get("into", ""))
        other = get_incident(connection, into, scope) if action.name == "merge" and into else None
    if row is None:
        return _absent(request, incident_id)
    problems: list[FormProblem] = []
    more: dict[str, Any] = {}
    if action.name == "merge":
        if other is None:
            problems = [FormProblem("into", "incident_unknown", {"incident": into[:60]} if into else {"incident": "–"})]
        else:
            more["target"] = (other.incident_id, other.title_ja if seen_by.language == "ja" else other.title_en)
    elif action.name == "update":
        found = preview_update(
            row.state, str(entered.values.get("visibility", "")), str(entered.values.get("text", ""))
        )
        more["preview"] = tuple((language, each.heading, each.text) for language, each in found.items())
    sent = SentForm(action, entered, problems, entered.action_id)
    view = actions_view(context, identity_of(request), row, seen_by, sent, **more)
    return _section(request, view, 422 if problems else 200)


def _answer(
    request: Request,
    context: BoardContext,
    scope: TenantScope,
    incident_id: str,
    action: Action,
    entered: Entered,
    outcome: Outcome,
) -> Response:
    seen_by = viewer(request)
    with context.engine.connect() as connection:
        row = get_incident(connection, incident_id, scope)
    if row is None:
        return _absent(request, incident_id)
    context.actions.seen.note(row, scope)
    answered = answered_form(request, action, entered, outcome)
    message = answered.message
    more = {"message": message.text, "tone": message.tone, "warnings": message.warnings, **_changes(outcome, seen_by)}
    view = actions_view(context, identity_of(request), row, seen_by, answered.sent, **more)
    return _section(request, view, STATUS.get(type(outcome), 200))


def _changes(outcome: Outcome, seen_by: Viewer) -> dict[str, Any]:
    """What changed at an incident that has moved on."""
    if not isinstance(outcome, Moved):
        return {}
    return {"changes": shown_changes(outcome.changes or (), seen_by), "recent": _recent(outcome, seen_by)}


def _recent(outcome: Moved, seen_by: Viewer) -> tuple[tuple[str, str], ...]:
    events = incident_phrases(seen_by.language).events
    found = []
    for each in outcome.recent:
        data = each.get("data")
        who = data.get("who", {}) if isinstance(data, dict) else {}
        found.append((events.get(str(each["type"]), str(each["type"])), str(who.get("id", "–"))))
    return tuple(found)


def _section(request: Request, view: ActionsView, status: int) -> Response:
    template = "actions/incident_part.html" if is_part(request) else "actions/incident_page.html"
    texts = action_page_phrases(viewer(request).language)
    return page(request, template, status_code=status, active=None, acts=view, action_phrases=texts)


def _absent(request: Request, incident_id: str) -> Response:
    phrases = incident_phrases(viewer(request).language)
    return error_page(request, 404, title=phrases.absent.format(id=incident_id), hint=phrases.absent_hint)
