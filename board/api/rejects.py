"""GET /api/v1/rejects: rejected input with its reason and its original."""

from __future__ import annotations

from base64 import b64encode
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import described, not_found
from board.api.route import ApiRoute, json_response
from board.api.types import CursorText, Id, InstantText, PageSize, decode_cursor, encode_cursor, wrong_cursor
from board.dependencies import Context, ReadConnection
from board.originals import decoded_original
from board.queries.rejects import RejectFilter, RejectKey, RejectRow, get_reject, list_rejects
from connect.actions.permissions import Permission
from streams.sla.instants import format_rfc3339

router = APIRouter(route_class=ApiRoute, tags=["rejects"], dependencies=[requires(Permission.READ_REJECTS)])

_Place = Annotated[int, Path(ge=0, le=2**63 - 1)]
_Partition = Annotated[int, Path(ge=0, le=2**31 - 1)]


class OriginalBody(BaseModel):
    """Where the original stands; `topic` without prefix, or `intake/SOURCE` for what never came to Kafka."""

    topic: str | None
    partition: int | None
    offset: int | None
    size: int | None = Field(description="Bytes; null where the original was too large to be copied.")


class RejectBody(BaseModel):
    """A reject."""

    partition: int = Field(description="Its own place in the topic `rejected`.")
    offset: int
    rejected_at: InstantText
    code: str
    message: str
    agent: str | None = Field(description="incidents, ledger or intake.")
    event_type: str | None = Field(description="Of the original, where it could be decoded.")
    subject: str | None = Field(description="Incident, tenant or maintenance window.")
    original: OriginalBody


class RejectListBody(BaseModel):
    """A page of rejects, the latest first."""

    rejects: list[RejectBody]
    next_cursor: str | None


class HeaderBody(BaseModel):
    """A header of the record."""

    name: str
    value: str


class RejectDetailBody(BaseModel):
    """A reject with its original."""

    reject: RejectBody
    headers: list[HeaderBody]
    value_base64: str | None = Field(description="The original's value; null where it was not copied.")
    event: dict[str, Any] | None = Field(description="The original in the JSON form, where it is an event.")


@router.get("/rejects", response_model=RejectListBody, responses=described(400), summary="List rejected input")
def rejects(
    connection: ReadConnection,
    code: Annotated[Id | None, Query(description="The reason's code, such as invalid or too_late.")] = None,
    agent: Annotated[Id | None, Query(description="Who rejected it: incidents, ledger or intake.")] = None,
    subject: Annotated[Id | None, Query(description="Incident, tenant or maintenance window.")] = None,
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """Rejected input, the latest first."""
    chosen = RejectFilter(code, agent, subject)
    about = blake2b(repr(chosen).encode(), digest_size=8).hexdigest()
    after = None
    if cursor is not None:
        given, rejected_at, partition, offset = decode_cursor(cursor, str, int, int, int)
        if given != about:
            raise wrong_cursor()
        after = RejectKey(rejected_at, partition, offset)
    page = list_rejects(connection, chosen, after=after, limit=limit)
    key = page.after
    following = None if key is None else encode_cursor(about, key.rejected_at, key.partition, key.offset)
    return json_response(RejectListBody(rejects=[reject_body(each) for each in page.rejects], next_cursor=following))


@router.get(
    "/rejects/{partition}/{offset}",
    response_model=RejectDetailBody,
    responses=described(400, 404),
    summary="Show rejected input",
)
def reject(context: Context, connection: ReadConnection, partition: _Partition, offset: _Place) -> Response:
    """A reject with the original's value, also decoded where it is an event."""
    found = get_reject(connection, partition, offset)
    if found is None:
        raise not_found(f"there is no reject at partition {partition}, offset {offset}")
    event = decoded_original(context.codec, found.original)
    return json_response(
        RejectDetailBody(
            reject=reject_body(found.row),
            headers=[HeaderBody(name=name, value=value) for name, value in found.headers],
            value_base64=None if found.original is None else b64encode(found.original).decode(),
            event=None if event is None else dict(event),
        )
    )


def reject_body(row: RejectRow) -> RejectBody:
    """A reject as the API shows it."""
    return RejectBody(
        partition=row.partition,
        offset=row.offset,
        rejected_at=format_rfc3339(row.rejected_at),
        code=row.code,
        message=row.message,
        agent=row.agent,
        event_type=row.event_type,
        subject=row.subject,
        original=OriginalBody(
            topic=row.original_topic,
            partition=row.original_partition,
            offset=row.original_offset,
            size=row.original_size,
        ),
    )
