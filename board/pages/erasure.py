"""The form on a tenant's page that erases the tenant: its id is typed again, with a reason."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from board.access.requirement import requires
from board.actions.form_views import Entered, read_form
from board.dependencies import BoardContext, Context, Scope
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
from board.pages.addresses import path_segments
from board.pages.errors import error_page
from board.pages.render import segment
from connect.actions.catalogue import ACTIONS
from connect.actions.permissions import Permission

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.ERASE_TENANT, scoped=True)])

_ACTION = ACTIONS["erase-tenant"]
_LARGEST_FORM = 64 * 1024


def erasure_section(
    request: Request,
    context: BoardContext,
    tenant: str,
    answered: AnsweredForm = NO_FORM_SENT,
) -> ActionSection | None:
    """What a tenant's page offers to those who may erase it; after it was done, no form."""
    if not may_act(request, _ACTION.name, {tenant}):
        return None
    address = f"/tenants/{segment(tenant)}"
    forms: tuple[SectionForm, ...] = ()
    if not answered.done:
        fields = context.actions.service.describe(_ACTION.name)
        form = answered.form(request, _ACTION, fields, Entered())
        forms = (SectionForm(form, f"{address}/erase"),)
    return ActionSection(tenant, address, forms, answered.message)


@router.post("/tenants/{tenant_id:path}/erase")
async def erase_tenant(request: Request, context: Context, scope: Scope) -> Response:
    """Erase a tenant; the answer says what came of it."""
    match path_segments(request)[1:]:
        case [tenant, "erase"] if scope.sees(tenant):
            entered = await read_form(request, _ACTION, most_bytes=_LARGEST_FORM)
            outcome = await perform_form(request, context, _ACTION, tenant, entered)
            return await section_answer(
                request,
                context,
                answered_form(request, _ACTION, entered, outcome),
                lambda _, answered: erasure_section(request, context, tenant, answered),
            )
    return error_page(request, HTTPStatus.NOT_FOUND)
