"""The form on a tenant's page that erases the tenant: its id is typed again, with a reason."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from board.access.requirement import requires
from board.actions.form_views import Entered, read_form
from board.dependencies import BoardContext, Context, Scope
from board.pages.action_sections import (
    ActionSection,
    FormMessage,
    SectionForm,
    SentForm,
    may_act,
    outcome_message,
    perform_form,
    section_answer,
    section_form,
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
    sent: SentForm | None = None,
    message: FormMessage | None = None,
) -> ActionSection | None:
    """What a tenant's page offers to those who may erase it; after it was done, no form."""
    if not may_act(request, _ACTION.name, {tenant}):
        return None
    address = f"/tenants/{segment(tenant)}"
    forms: tuple[SectionForm, ...] = ()
    if message is None or message.tone != "fine":
        fields = context.actions.service.describe(_ACTION.name)
        form = section_form(request, fields, sent or SentForm(_ACTION, Entered()), opened=sent is not None)
        forms = (SectionForm(form, f"{address}/erase"),)
    return ActionSection(tenant, address, forms, message or FormMessage())


@router.post("/tenants/{tenant_id:path}/erase")
async def erase_tenant(request: Request, context: Context, scope: Scope) -> Response:
    """Erase a tenant; the answer says what came of it."""
    match path_segments(request)[1:]:
        case [tenant, "erase"] if scope.sees(tenant):
            entered = await read_form(request, _ACTION, most_bytes=_LARGEST_FORM)
            outcome = await perform_form(request, context, _ACTION, tenant, entered)
            sent = SentForm.after(_ACTION, entered, outcome)
            section = erasure_section(request, context, tenant, sent, outcome_message(request, _ACTION, outcome))
            if section is not None:
                return section_answer(request, section, outcome)
    return error_page(request, HTTPStatus.NOT_FOUND)
