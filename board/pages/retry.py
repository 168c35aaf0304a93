"""The form that sends a rejected input again, as it was or corrected, on the page of the reject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from board.access.requirement import requires
from board.actions.form_views import Entered, read_form
from board.dependencies import BoardContext, Context
from board.originals import decoded_original
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
from board.pages.errors import error_page
from board.pages.rejected_texts import rejected_phrases
from board.queries.rejects import RejectDetail, RejectRow, get_reject
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS
from connect.actions.permissions import PLATFORM, Permission
from streams.serde.cloudevents_json import json_of

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.RETRY_REJECTED)])

_ACTION = ACTIONS["retry-rejected"]
#: The largest corrected event, with room for what a browser adds.
_LARGEST_FORM = 4 * 1024 * 1024


def retry_section(
    request: Request,
    context: BoardContext,
    found: RejectDetail,
    event: Mapping[str, object] | None,
    answered: AnsweredForm = NO_FORM_SENT,
) -> ActionSection | None:
    """What the page of a reject offers to those who may retry it. The form starts with the event as it was."""
    row, seen_by = found.row, viewer(request)
    if row.original_place is None or not may_act(request, _ACTION.name, PLATFORM):
        return None
    forms: tuple[SectionForm, ...] = ()
    if not answered.done:
        start = {"backfill": "yes"} if row.code == "too_late" and row.agent == "incidents" else {}
        if event is not None:
            start["corrected"] = _as_text(event)
        fields = context.actions.service.describe(_ACTION.name)
        form = answered.form(request, _ACTION, fields, Entered(raw=start))
        facts = (action_page_phrases(seen_by.language).retry_hint,)
        forms = (SectionForm(form, f"{_address(row)}/retry", facts),)
    title = rejected_phrases(seen_by.language).detail_title.format(
        reason=rejected_phrases(seen_by.language).codes.get(row.code, row.code)
    )
    return ActionSection(title, _address(row), forms, answered.message)


@router.post("/rejected/{partition}/{offset}/retry")
async def retry_rejected(
    request: Request,
    context: Context,
    partition: Annotated[int, Path(ge=0, lt=2**31)],
    offset: Annotated[int, Path(ge=0, lt=2**63)],
) -> Response:
    """Send a rejected input again. An event that was not changed goes as it was."""
    found = await run_in_threadpool(_reject, context, partition, offset)
    subject = None if found is None else found.row.original_place
    if found is None or subject is None:
        return error_page(request, HTTPStatus.NOT_FOUND)
    event = await run_in_threadpool(decoded_original, context.codec, found.original)
    entered = await read_form(request, _ACTION, most_bytes=_LARGEST_FORM)
    corrected = str(entered.values.get("corrected", ""))
    values = entered.values
    if corrected and _same(corrected, event):
        values = {name: value for name, value in values.items() if name != "corrected"}
    outcome = await perform_form(request, context, _ACTION, subject, replace(entered, values=values))
    return await section_answer(
        request,
        context,
        answered_form(request, _ACTION, entered, outcome),
        lambda _, answered: retry_section(request, context, found, event, answered),
    )


def _reject(context: BoardContext, partition: int, offset: int) -> RejectDetail | None:
    with context.engine.connect() as connection:
        return get_reject(connection, partition, offset)


def _same(corrected: str, event: Mapping[str, object] | None) -> bool:
    """Whether it is the event as the form showed it."""
    return event is not None and json_of(corrected) == json_of(_as_text(event))


def _as_text(event: Mapping[str, object]) -> str:
    return json.dumps(event, ensure_ascii=False, indent=2, default=str)


def _address(row: RejectRow) -> str:
    return f"/rejected/{row.partition}/{row.offset}"
