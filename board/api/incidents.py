"""GET /api/v1/incidents: the list, and one incident with its state and timeline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import described, not_found
from board.api.route import ApiRoute, json_response
from board.api.types import (
    CursorText,
    EvidenceBody,
    Id,
    InstantText,
    PageSize,
    PolicyVersionBody,
    SearchText,
    TitleBody,
    decode_cursor,
    encode_cursor,
    instant_text,
    wrong_cursor,
)
from board.dependencies import Context, ReadConnection, Scope
from board.queries.incidents import (
    IncidentFilter,
    IncidentKey,
    IncidentRow,
    Sort,
    Status,
    get_incident,
    list_incidents,
)
from board.queries.tenant_scope import EVERY_TENANT
from board.queries.timeline import TimelineKey, TimelineRow, read_timeline
from connect.actions.permissions import Permission
from streams.sla.instants import format_rfc3339
from streams.sla.severity import Severity

router = APIRouter(
    route_class=ApiRoute, tags=["incidents"], dependencies=[requires(Permission.READ_INCIDENTS, scoped=True)]
)


_TEXT = (
    "In id, titles, summary or ticket id, of open incidents and of the latest 5,000; a whole incident id or ticket id "
    "is found among all."
)


@dataclass(slots=True)
class NextBody:
    """What happens next if nobody acts."""

    what: Annotated[str, Field(description="deadline, warning or reminder.")]
    metric: str
    instance: int
    at: InstantText


@dataclass(slots=True)
class IncidentBody:
    """The present state of an incident, as lists have it."""

    incident_id: str
    revision: int
    status: Annotated[str, Field(description="open, resolved, merged or annulled.")]
    waiting: Annotated[str | None, Field(description="Whom it waits for: customer or third_party.")]
    severity: str
    covered: bool
    rule: Annotated[str, Field(description="The policy rule that decided the severity.")]
    scope: Annotated[str, Field(description="tenants or platform.")]
    tenant_ids: Annotated[list[str], Field(description="The tenants concerned; empty for scope platform.")]
    component: str
    impact: str
    title: TitleBody
    summary: str | None
    ticket_id: str | None
    opened_at: InstantText
    started_at: InstantText
    restored_at: InstantText | None
    ended_at: InstantText | None
    responded_at: InstantText | None
    updated_at: Annotated[InstantText | None, Field(description="The last public update.")]
    next_deadline: Annotated[InstantText | None, Field(description="The earliest deadline of a running clock.")]
    next: NextBody | None
    breaches: Annotated[int, Field(description="Clocks with a breach that stands.")]
    backfill: bool
    policy: PolicyVersionBody
    changed_at: InstantText


class IncidentListBody(BaseModel):
    """A page of incidents."""

    incidents: list[IncidentBody]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class TimelineEntryBody(BaseModel):
    """An event about an incident, input or output."""

    type: str
    id: str
    source: str
    time: InstantText = Field(description="When it was true.")
    arrived_at: InstantText
    backfill: bool
    evidence: EvidenceBody
    data: dict[str, Any] = Field(description="As the event's `data` in the JSON form of the contract.")


class TimelineBody(BaseModel):
    """A page of a timeline, by event time."""

    entries: list[TimelineEntryBody]
    next_cursor: str | None


class IncidentDetailBody(BaseModel):
    """An incident with everything that is known of it."""

    incident: IncidentBody
    state: dict[str, Any] = Field(description="`data` of its event incident.state, in the JSON form of the contract.")
    timeline: TimelineBody


@router.get("/incidents", response_model=IncidentListBody, responses=described(400), summary="List incidents")
def incidents(
    connection: ReadConnection,
    scope: Scope,
    status: Annotated[tuple[Status, ...], Query(description="Repeat it for several.", max_length=10)] = (),
    severity: Annotated[tuple[Severity, ...], Query(description="Repeat it for several.", max_length=10)] = (),
    component: Annotated[tuple[Id, ...], Query(description="Repeat it for several.", max_length=50)] = (),
    tenant: Annotated[Id | None, Query(description="A tenant that the incident concerns.")] = None,
    q: Annotated[SearchText | None, Query(description=_TEXT)] = None,
    breached: Annotated[bool | None, Query(description="Whether a breach stands.")] = None,
    backfill: Annotated[bool | None, Query(description="Whether it was loaded as history.")] = None,
    sort: Annotated[Sort, Query(description="Earliest deadline first; else latest first.")] = "next_deadline",
    limit: Annotated[PageSize, Query()] = 50,
    cursor: Annotated[CursorText | None, Query()] = None,
) -> Response:
    """Incidents by nearest deadline. Without filters also those that ended.

    A cursor stays valid while incidents change: those that do not change are neither skipped nor repeated.
    """
    chosen = IncidentFilter(status, severity, component, tenant, q, breached, backfill, scope)
    about = blake2b(repr((replace(chosen, scope=EVERY_TENANT), sort)).encode(), digest_size=8).hexdigest()
    after = None
    if cursor is not None:
        given, value, incident_id = decode_cursor(cursor, str, (int, type(None)), str)
        if given != about or (value is None and sort != "next_deadline"):
            raise wrong_cursor()
        after = IncidentKey(value, incident_id)
    page = list_incidents(connection, chosen, sort, after=after, limit=limit)
    following = None if page.after is None else encode_cursor(about, page.after.value, page.after.incident_id)
    return json_response(
        IncidentListBody.model_construct(
            incidents=[incident_body(each) for each in page.incidents], next_cursor=following
        )
    )


@router.get(
    "/incidents/{incident_id:path}",
    response_model=IncidentDetailBody,
    responses=described(400, 404),
    summary="Show an incident",
)
def incident(
    context: Context,
    connection: ReadConnection,
    scope: Scope,
    incident_id: Annotated[Id, Path()],
    limit: Annotated[PageSize, Query(description="Entries of the timeline, at most.")] = 200,
    cursor: Annotated[CursorText | None, Query(description="Continues the timeline: its `next_cursor`.")] = None,
) -> Response:
    """An incident with its state, and its timeline of facts and outputs with their coordinates in Kafka."""
    found = get_incident(connection, incident_id, scope)
    if found is None:
        raise not_found(f"there is no incident {incident_id!r}")
    context.actions.seen.note(found, scope)
    after = None
    if cursor is not None:
        after = TimelineKey(*decode_cursor(cursor, int, int, str, int, int))
    entries = read_timeline(connection, incident_id, after=after, limit=limit + 1, scope=scope)
    following = None
    if len(entries) > limit:
        entries = entries[:limit]
        key = entries[-1].key
        following = encode_cursor(key.occurred_at, key.arrived_at, key.topic, key.partition, key.offset)
    timeline = TimelineBody.model_construct(
        entries=[timeline_entry_body(each) for each in entries], next_cursor=following
    )
    return json_response(
        IncidentDetailBody.model_construct(incident=incident_body(found), state=dict(found.state), timeline=timeline)
    )


def incident_body(row: IncidentRow) -> IncidentBody:
    """An incident as the API shows it."""
    following = row.next
    return IncidentBody(
        incident_id=row.incident_id,
        revision=row.revision,
        status=row.status,
        waiting=row.waiting,
        severity=row.severity,
        covered=row.covered,
        rule=row.rule,
        scope=row.scope,
        tenant_ids=list(row.tenant_ids),
        component=row.component,
        impact=row.impact,
        title=TitleBody(en=row.title_en, ja=row.title_ja),
        summary=row.summary,
        ticket_id=row.ticket_id,
        opened_at=format_rfc3339(row.opened_at),
        started_at=format_rfc3339(row.started_at),
        restored_at=instant_text(row.restored_at),
        ended_at=instant_text(row.ended_at),
        responded_at=instant_text(row.responded_at),
        updated_at=instant_text(row.updated_at),
        next_deadline=instant_text(row.next_deadline),
        next=None
        if following is None
        else NextBody(
            what=following.what,
            metric=following.metric,
            instance=following.instance,
            at=format_rfc3339(following.at),
        ),
        breaches=row.breached,
        backfill=row.backfill,
        policy=PolicyVersionBody(name=row.policy, version=row.policy_version),
        changed_at=format_rfc3339(row.changed_at),
    )


def timeline_entry_body(row: TimelineRow) -> TimelineEntryBody:
    """An event as the API shows it."""
    return TimelineEntryBody.model_construct(
        type=row.type,
        id=row.event_id,
        source=row.source,
        time=format_rfc3339(row.occurred_at),
        arrived_at=format_rfc3339(row.arrived_at),
        backfill=row.backfill,
        evidence=EvidenceBody.model_construct(topic=row.topic, partition=row.partition, offset=row.offset),
        data=dict(row.data),
    )
