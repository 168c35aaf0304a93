"""The incident page: why it has its severity, what is due, its clocks, its life as a picture and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from board.access.four_eyes import token_denied
from board.access.identity import Identity, identity_of
from board.access.requirement import requires
from board.actions.offers import proposal_offers
from board.charts.timeline import EventKind, shape
from board.dependencies import BoardContext, Context, ReadConnection, Scope
from board.pages.action_texts import action_page_phrases
from board.pages.errors import error_page
from board.pages.incident_actions import actions_view
from board.pages.incident_chart import incident_chart
from board.pages.incident_events import EventWords
from board.pages.incident_reason import component_title, severity_reason
from board.pages.incident_texts import incident_phrases
from board.pages.proposal_texts import proposal_phrases
from board.pages.render import id_in_address, is_part, page
from board.pages.texts import board_phrases
from board.pages.urgency import deadline_of, nearest
from board.proposals.listing import proposals_about
from board.proposals.proposal import Proposal, Status
from board.queries.incident_state import ClockRow
from board.queries.incidents import IncidentRow, get_incident
from board.queries.notifications import notifications_of
from board.queries.timeline import TimelineKey, TimelineRow, read_timeline
from board.viewer import Viewer, viewer
from connect.actions.permissions import Denied, Permission, may_read
from connect.actions.texts import labels_of
from streams.policy.phrases import policy_phrases

router = APIRouter(dependencies=[requires(Permission.READ_INCIDENTS, scoped=True)])

#: Events of one page of the table; the picture has those of the first.
_PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True)
class MergeLink:
    """Another incident that this one is linked with: `relation` is merged_into or merged_from."""

    relation: str
    incident_id: str


@router.get("/incidents/{incident_id:path}")
def incident(
    request: Request,
    context: Context,
    connection: ReadConnection,
    scope: Scope,
    id: str | None = None,
    after: str | None = None,
) -> HTMLResponse:
    """The page of an incident. For htmx with `after`: the events that follow."""
    wanted = id_in_address(request, "/incidents/") or id or ""
    seen_by = viewer(request)
    phrases = incident_phrases(seen_by.language)
    row = get_incident(connection, wanted, scope)
    if row is None:
        title = phrases.absent.format(id=wanted)
        return error_page(request, 404, title=title, hint=phrases.absent_hint)
    context.actions.seen.note(row, scope)
    timeline = read_timeline(connection, wanted, after=_cursor(after), limit=_PAGE_EVENTS + 1, scope=scope)
    found, more = timeline[:_PAGE_EVENTS], len(timeline) > _PAGE_EVENTS
    words = EventWords(phrases, board_phrases(seen_by.language), seen_by)
    # Of one instant what was said comes before what followed from it.
    shown = sorted(found, key=lambda each: (each.occurred_at, each.arrived_at, each.topic != "incident-events"))
    events = [words.view(each) for each in shown]
    part: dict[str, Any] = {
        "phrases": phrases,
        "events": events,
        "next_events": _next_events(timeline[_PAGE_EVENTS - 1]) if more else None,
        "sign": shape,
    }
    if is_part(request) and after is not None:
        return page(request, "incident/events.html", **part)
    now = context.time_source.now()
    policy = context.policies.exact(row.policy, row.policy_version)
    kinds: Sequence[EventKind] = sorted({each.kind for each in events})
    return page(
        request,
        "incident/page.html",
        active=None,
        row=row,
        heading=row.summary or _title(row, seen_by),
        title=_title(row, seen_by),
        component=component_title(policy, row.component, seen_by.language),
        policy_known=policy is not None,
        impacts=policy_phrases(seen_by.language).impacts,
        reason=severity_reason(row, context.policies, shown, phrases, seen_by.language),
        words=words,
        now=now,
        deadline=nearest(row.clocks) if row.status == "open" else None,
        clocks=_by_start(row.clocks),
        deadline_of=deadline_of,
        links=_links(row, shown),
        chart=incident_chart(row, events, words, now),
        kinds=kinds,
        notifications=notifications_of(connection, wanted) if scope.tenants is None else (),
        shortened=_PAGE_EVENTS if more else None,
        acts=actions_view(context, identity_of(request), row, seen_by),
        action_phrases=action_page_phrases(seen_by.language),
        propose_text=_propose_text(request, context, row, seen_by),
        proposals=_proposals(connection, identity_of(request), wanted, now),
        proposal_texts=proposal_phrases(seen_by.language),
        title_of=lambda name: labels_of(name, seen_by.language).title,
        **part,
    )


def _propose_text(request: Request, context: BoardContext, row: IncidentRow, seen_by: Viewer) -> str | None:
    """The text of the link to the forms that propose; None where the viewer can propose nothing."""
    identity = identity_of(request)
    if identity is None or token_denied(identity, context.settings, Permission.PROPOSE) is not None:
        return None
    offers = proposal_offers(identity.person, row.incident_id, row.state)
    return proposal_phrases(seen_by.language).propose_link if offers else None


def _proposals(
    connection: Connection, identity: Identity | None, incident_id: str, now: int
) -> list[tuple[Proposal, Status]]:
    """The proposals about the incident that the viewer may see, the latest first, with how they stand."""
    person = None if identity is None else identity.person
    if person is None or isinstance(may_read(person, Permission.READ_PROPOSALS, scoped=True), Denied):
        return []
    return [(each, each.status(now)) for each in proposals_about(connection, person, incident_id)]


def _title(row: IncidentRow, seen_by: Viewer) -> str:
    title = row.title_ja if seen_by.language == "ja" else row.title_en
    return title.removeprefix(f"{row.severity} ")


def _by_start(clocks: Sequence[ClockRow]) -> list[ClockRow]:
    """Those that run first, then the latest."""
    return sorted(clocks, key=lambda clock: (clock.ended_at is not None, -clock.started_at))


def _links(row: IncidentRow, timeline: Sequence[TimelineRow]) -> list[MergeLink]:
    """Links that stand: the last word on each pair counts."""
    standing: dict[tuple[str, str], bool] = {}
    revisions: dict[tuple[str, str], int] = {}
    for each in timeline:
        if each.type != "incident.link_changed":
            continue
        other = each.data.get("other")
        if other is None:  # an incident that the viewer may not see
            continue
        key = (str(each.data["relation"]), str(other))
        revision = int(each.data.get("link_revision", 0))
        if revision >= revisions.get(key, -1):
            standing[key], revisions[key] = bool(each.data.get("standing", True)), revision
    merged_into = row.state.get("merged_into")
    if merged_into:
        standing["merged_into", str(merged_into)] = True
    return [MergeLink(*key) for key, stands in sorted(standing.items()) if stands]


def _next_events(last: TimelineRow) -> str:
    key = last.key
    return f"{key.occurred_at}~{key.arrived_at}~{key.topic}~{key.partition}~{key.offset}"


def _cursor(after: str | None) -> TimelineKey | None:
    """The key of a row's cursor; anything else starts at the beginning."""
    parts = (after or "").split("~")
    try:
        occurred_at, arrived_at, topic, partition, offset = parts
        return TimelineKey(int(occurred_at), int(arrived_at), topic, int(partition), int(offset))
    except ValueError:
        return None
