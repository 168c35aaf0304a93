"""Maintenance windows: the list, one window, and the forms that schedule, change and cancel them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from board.access.requirement import requires
from board.actions.form_views import Entered, entered_time, read_form
from board.dependencies import BoardContext, Context, ReadConnection, Scope
from board.pages.action_sections import (
    NO_FORM_SENT,
    ActionSection,
    AnsweredForm,
    SectionForm,
    answered_form,
    may_act,
    perform_form,
    section_answer,
)
from board.pages.action_texts import action_page_phrases
from board.pages.addresses import path_segments
from board.pages.errors import error_page
from board.pages.maintenance_texts import maintenance_phrases
from board.pages.render import page, segment
from board.queries.tenant_scope import TenantScope
from board.queries.windows import STANDINGS, WindowKey, WindowRow, get_window, known_tenants, list_windows
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.form import FormField
from connect.actions.outcome import FormProblem, Invalid, Outcome
from connect.actions.permissions import PLATFORM, Concerned, Permission

router = APIRouter(include_in_schema=False)

_SCHEDULE, _EDIT, _CANCEL = (ACTIONS[f"{verb}-maintenance"] for verb in ("schedule", "edit", "cancel"))
_LARGEST_FORM = 256 * 1024
#: Each chosen tenant and component is one.
_MOST_FIELDS = 1_000
#: The field of the form of a new window that names it; the API has it in the address.
_ID = FormField("maintenance_id", "id", required=True, several=False, choices=(), label="", most=None)
_LIST = "/maintenance"


@router.get("/maintenance", dependencies=[requires(Permission.READ_TENANTS, scoped=True)])
def maintenance_list(
    request: Request, connection: ReadConnection, context: Context, scope: Scope, standing: str = "", after: str = ""
) -> HTMLResponse:
    """The windows: current, upcoming, past, cancelled; with the form that schedules one. `standing` and `after`
    continue one of the lists."""
    now = context.time_source.now()
    chosen = [each for each in STANDINGS if each == standing] or STANDINGS
    found = {each: list_windows(connection, each, now, scope, after=_key(after)) for each in chosen}
    return _page(
        request,
        "maintenance/list.html",
        by_standing={name: each.windows for name, each in found.items() if each.windows},
        more={name: "" if each.after is None else "~".join(map(str, each.after)) for name, each in found.items()},
        section=_schedule_section(request, context, connection, scope),
    )


@router.get("/maintenance/{maintenance_id:path}", dependencies=[requires(Permission.READ_TENANTS, scoped=True)])
def maintenance_window(request: Request, connection: ReadConnection, context: Context, scope: Scope) -> Response:
    """One window, with the forms that change and cancel it."""
    match path_segments(request)[1:]:
        case [name] if (row := get_window(connection, name, scope)) is not None:
            section = _window_section(request, context, connection, scope, row)
            standing = row.standing(context.time_source.now())
            return _page(request, "maintenance/window.html", row=row, standing=standing, section=section)
    return error_page(request, HTTPStatus.NOT_FOUND)


@router.post("/maintenance", dependencies=[requires(Permission.PLAN_MAINTENANCE, scoped=True)])
async def schedule(request: Request, context: Context, scope: Scope) -> Response:
    """Schedule a window."""
    entered = await read_form(request, _SCHEDULE, most_bytes=_LARGEST_FORM, most_fields=_MOST_FIELDS, other=(_ID.name,))
    name = entered.other[_ID.name].strip()
    entered = replace(entered, raw={**entered.raw, _ID.name: name})
    if not name:
        outcome: Outcome = Invalid((FormProblem(_ID.name, "required"),))
    else:
        outcome = await perform_form(request, context, _SCHEDULE, name, entered)
    return await section_answer(
        request,
        context,
        answered_form(request, _SCHEDULE, entered, outcome),
        lambda connection, answered: _schedule_section(request, context, connection, scope, answered),
    )


@router.post(
    "/maintenance/{maintenance_id:path}/{verb}", dependencies=[requires(Permission.PLAN_MAINTENANCE, scoped=True)]
)
async def change_window(request: Request, context: Context, scope: Scope) -> Response:
    """Change or cancel a window."""
    match path_segments(request)[1:]:
        case [name, ("edit" | "cancel") as verb]:
            action = _EDIT if verb == "edit" else _CANCEL
            if await run_in_threadpool(_window, context, name, scope) is not None:
                entered = await read_form(request, action, most_bytes=_LARGEST_FORM, most_fields=_MOST_FIELDS)
                outcome = await perform_form(request, context, action, name, entered)

                def section_of(connection: Connection, answered: AnsweredForm) -> ActionSection | None:
                    row = get_window(connection, name, scope)
                    return None if row is None else _window_section(request, context, connection, scope, row, answered)

                return await section_answer(
                    request, context, answered_form(request, action, entered, outcome), section_of
                )
    return error_page(request, HTTPStatus.NOT_FOUND)


def _window(context: BoardContext, name: str, scope: TenantScope) -> WindowRow | None:
    with context.engine.connect() as connection:
        return get_window(connection, name, scope)


def _schedule_section(
    request: Request,
    context: BoardContext,
    connection: Connection,
    scope: TenantScope,
    answered: AnsweredForm = NO_FORM_SENT,
) -> ActionSection | None:
    if not may_act(request, _SCHEDULE.name, _concerned(scope)):
        return None
    phrases = maintenance_phrases(viewer(request).language)
    fields = [_ID._replace(label=phrases.window_id), *_fields(context, connection, scope, _SCHEDULE)]
    form = answered.form(request, _SCHEDULE, fields, Entered())
    return ActionSection(phrases.heading, _LIST, (SectionForm(form, _LIST),), answered.message)


def _window_section(
    request: Request,
    context: BoardContext,
    connection: Connection,
    scope: TenantScope,
    row: WindowRow,
    answered: AnsweredForm = NO_FORM_SENT,
) -> ActionSection | None:
    """The forms of a window. What was just accepted may not be in the read model yet, so there are none after it."""
    if row.others or not may_act(request, _EDIT.name, PLATFORM if row.scope == "platform" else set(row.tenant_ids)):
        return None
    forms = []
    if not answered.done:
        for action in (_EDIT,) if row.cancelled else (_EDIT, _CANCEL):
            fields = _fields(context, connection, scope, action, row)
            form = answered.form(request, action, fields, _as_it_is(request, row) if action is _EDIT else Entered())
            forms.append(SectionForm(form, f"{_address(row)}/{action.name.partition('-')[0]}"))
    return ActionSection(row.maintenance_id, _address(row), tuple(forms), answered.message)


def _fields(
    context: BoardContext, connection: Connection, scope: TenantScope, action: Action, row: WindowRow | None = None
) -> Sequence[FormField]:
    """The fields of a form; tenants and components are chosen from the known ones, and those that the window has."""
    tenants = known_tenants(connection, scope)
    found = []
    for each in context.actions.service.describe(action.name):
        if each.kind == "tenants" and tenants is not None:
            own = row.tenant_ids if row is not None else ()
            each = each._replace(choices=tuple(sorted({*tenants, *own})))
        found.append(each)
    return found


def _as_it_is(request: Request, row: WindowRow) -> Entered:
    """What the form of a window starts with: times in the zone of the viewer."""
    seen_by = viewer(request)
    raw = {
        "scope": row.scope or "",
        "tenant_ids": "\n".join(row.tenant_ids),
        "components": "\n".join(row.components),
        **{
            name: entered_time(micros, seen_by.zone)
            for name, micros in (("start", row.start), ("end", row.end))
            if micros is not None
        },
    }
    return Entered(raw=raw)


def _concerned(scope: TenantScope) -> Concerned:
    """Whom a new window may concern: a person who is limited to tenants plans for these alone."""
    return PLATFORM if scope.tenants is None else scope.tenants


def _key(after: str) -> WindowKey | None:
    """Where a list goes on; None for a text that no page has as its link."""
    at, found, name = after.partition("~")
    return WindowKey(int(at), name) if found and at.isdecimal() and len(at) <= 18 and "\0" not in name else None


def _address(row: WindowRow) -> str:
    return f"{_LIST}/{segment(row.maintenance_id)}"


def _page(request: Request, template: str, **values: Any) -> HTMLResponse:
    seen_by = viewer(request)
    return page(
        request,
        template,
        active="maintenance",
        phrases=maintenance_phrases(seen_by.language),
        action_phrases=action_page_phrases(seen_by.language),
        **values,
    )
