"""GET /api/v1/changes: server-sent events that say which rows have changed."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from board.access.requirement import requires
from board.access.sign_in import sign_in_of
from board.api.problems import described
from board.api.route import ApiRoute
from board.changes import Change
from board.dependencies import Context, Scope, narrowing
from board.event_stream import EventStream, event_stream, reader_of
from connect.actions.permissions import Permission

router = APIRouter(
    route_class=ApiRoute, tags=["changes"], dependencies=[requires(Permission.READ_INCIDENTS, scoped=True)]
)

_Position = Annotated[int, Query(ge=0, le=2**63 - 1, description="A position: the id of an event.")]
_LastId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=2**63 - 1, description="The position reached; sent by browsers.")
]


@router.get(
    "/changes",
    response_class=EventStream,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events, until closed."},
        **described(400, 503),
    },
    summary="Follow changes",
)
async def changes(
    request: Request, context: Context, scope: Scope, after: _Position | None = None, last_event_id: _LastId = None
) -> EventStream:
    """Server-sent events. `change` names incidents and tenant months that changed, and says whether rejects or
    notifications did; an incident is named too when a proposal about it was made or decided. `resync` says that the
    names are incomplete: load again what you show.

    The id of each event is the position of the read model. With `Last-Event-ID`, or `after`, the first event has what
    changed since that position, or is `resync` if that is no longer known. A comment comes every 15 s without changes.
    """
    return event_stream(
        context.changes,
        last_event_id if last_event_id is not None else after,
        encode_change,
        reader=reader_of(request),
        narrow=narrowing(context, scope),
        still_allowed=sign_in_of(request).still_vouches(request),
    )


def encode_change(change: Change) -> str:
    """The lines `event:` and `data:` of a change."""
    data = {
        "position": change.position,
        "incidents": sorted(change.incidents),
        "tenant_months": [{"tenant_id": tenant, "month": month} for tenant, month in sorted(change.tenant_months)],
        "rejects": change.rejects,
        "notifications": change.notifications,
    }
    return f"event: {'resync' if change.resync else 'change'}\ndata: {json.dumps(data, separators=(',', ':'))}"
