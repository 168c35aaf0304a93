"""The claim of a month's credit on the month's page: whether it can be claimed, until when, and the form."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

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
from board.pages.action_texts import action_page_phrases
from board.pages.addresses import path_segments
from board.pages.errors import error_page
from board.pages.render import local, segment
from board.pages.tenant_texts import tenant_phrases
from board.queries import statements
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS
from connect.actions.claims import ClaimedStatement, statement_problem
from connect.actions.permissions import Permission
from connect.actions.texts import problem_text
from streams.money import formatted
from streams.sla.events import Money
from streams.sla.limits import InvalidInputError, check_month

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.CLAIM_CREDIT, scoped=True)])

_ACTION = ACTIONS["claim-credit"]
_LARGEST_FORM = 16 * 1024


def claim_section(
    request: Request,
    context: BoardContext,
    connection: Connection,
    tenant: str,
    month: str,
    answered: AnsweredForm = NO_FORM_SENT,
) -> ActionSection | None:
    """What the month's page offers to those who may claim; None where there is nothing to claim, or to say."""
    known = statements.revisions(connection, tenant, month)
    if not known or not may_act(request, _ACTION.name, {tenant}):
        return None
    terms = known[-1].terms
    policy = context.policies.exact(*terms.policy[:2])
    if answered.outcome is None and policy is not None and policy.credit.claim == "automatic":
        return None
    seen_by = viewer(request)
    phrases = action_page_phrases(seen_by.language)
    credit = Money(terms.credit, terms.currencies[0])
    statement = ClaimedStatement(terms.status, terms.revision, credit, terms.claimable_until)
    problem = statement_problem(statement, tenant, month, context.time_source.now())
    zero = problem is not None and problem.code == "claim_zero"
    notes: list[str] = []
    forms: tuple[SectionForm, ...] = ()
    claimed = statements.claims(connection, tenant, month, standing=True)
    if claimed:
        notes.append(phrases.claimed.format(time=local(claimed[0].occurred_at, seen_by, "%Y-%m-%d %H:%M")))
    elif problem is not None and not zero:
        notes.append(problem_text(problem, seen_by.language))
    elif not answered.done:
        facts = [phrases.claim_amount.format(amount=formatted(credit.amount_minor, credit.currency))]
        if terms.claimable_until is not None:
            until = f"{local(terms.claimable_until, seen_by, '%Y-%m-%d %H:%M')} ({seen_by.zone.key})"
            facts.append(phrases.claim_until.format(until=until))
        if problem is not None:
            facts.append(problem_text(problem, seen_by.language))
        fields = [
            each
            for each in context.actions.service.describe(_ACTION.name)
            if each.name == "although_zero" and (zero or answered.sent is not None)
        ]
        form = answered.form(request, _ACTION, fields, Entered())
        forms = (SectionForm(form, f"{_back(tenant, month)}/claim", tuple(facts)),)
    title = tenant_phrases(seen_by.language).month_title.format(tenant=tenant, month=month)
    return ActionSection(title, _back(tenant, month), forms, answered.message, tuple(notes))


@router.post("/tenants/{tenant_id:path}/{month}/claim")
async def claim_credit(request: Request, context: Context, scope: Scope) -> Response:
    """Claim the credit of a month; the answer says what came of it."""
    match path_segments(request)[1:]:
        case [tenant, month, "claim"] if scope.sees(tenant) and _is_month(month):
            entered = await read_form(request, _ACTION, most_bytes=_LARGEST_FORM)
            outcome = await perform_form(request, context, _ACTION, tenant, entered, more={"month": month})
            return await section_answer(
                request,
                context,
                answered_form(request, _ACTION, entered, outcome),
                lambda connection, answered: claim_section(request, context, connection, tenant, month, answered),
            )
    return error_page(request, HTTPStatus.NOT_FOUND)


def _is_month(text: str) -> bool:
    try:
        return bool(check_month(text))
    except InvalidInputError:
        return False


def _back(tenant: str, month: str) -> str:
    return f"/tenants/{segment(tenant)}/{month}"
