"""The live page: open incidents by nearest deadline, filters in the address, changed rows on demand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from board.access.requirement import requires
from board.access.sign_in import sign_in_of
from board.changes import Change
from board.dependencies import BoardContext, Context, ReadConnection, Scope, narrowing
from board.event_stream import EventStream, event_stream, reader_of
from board.ingest.status import IngestStatus
from board.pages.live_rows import live_phrases, row_html
from board.pages.render import is_part, page
from board.queries.incidents import (
    STATUSES,
    IncidentFilter,
    IncidentKey,
    IncidentPage,
    IncidentRow,
    Sort,
    count_by_severity,
    get_incidents,
    list_incidents,
)
from board.queries.tenant_scope import TenantScope
from board.viewer import Viewer, viewer
from connect.actions.permissions import Permission
from streams.sla.severity import SEVERITIES

router = APIRouter(dependencies=[requires(Permission.READ_INCIDENTS, scoped=True)])

#: Rows of one page of the list, and the most that are loaded again at once after many changes.
PAGE_ROWS = 100
_MOST_ROWS = 400
#: The most ids whose rows one request asks for; the browser loads the list again after larger changes.
MOST_IDS = 500
_STATUS_EVERY_S = 2.0
#: Offsets that are not read yet, below which the rows count as current: less than a second's work.
_USUAL_LAG = 1000
#: `?status=any` shows incidents of every status.
ANY = "any"
#: Publishes an incident of everybody, from a shell.
_FIRST_INCIDENT = """\
echo '{"specversion":"1.0","id":"first-1","type":"incident.opened","source":"/me","subject":"first",\
"time":"'$(date -u +%FT%TZ)'","data":{"scope":"platform","component":"api","impact":"complete_outage",\
"channel":"monitor","summary":"a first incident"}}' | sla publish -"""
_LONGEST_TEXT = 256


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """What the viewer chose. Empty: no restriction; without a status: open incidents."""

    severities: tuple[str, ...] = ()
    component: str = ""
    tenant: str = ""
    status: str = "open"
    text: str = ""

    @property
    def sort(self) -> Sort:
        """Open incidents by deadline; those that ended by their last change."""
        return "next_deadline" if self.status in {"open", ANY} else "changed_at"

    @property
    def is_default(self) -> bool:
        """Whether nothing was chosen."""
        return self == LiveFilter()

    def selection(self, scope: TenantScope) -> IncidentFilter:
        """The filter of the read model, for who may see `scope`."""
        return IncidentFilter(
            statuses=() if self.status == ANY else (self.status,),
            severities=self.severities,
            components=(self.component,) if self.component else (),
            tenant=self.tenant or None,
            text=self.text or None,
            scope=scope,
        )

    def address(self, path: str = "/", **more: str | int) -> str:
        """The address that shows this selection, without what was not chosen."""
        query: list[tuple[str, str | int]] = [("severity", severity) for severity in self.severities]
        query += [
            (name, value)
            for name, value in (("component", self.component), ("tenant", self.tenant), ("q", self.text))
            if value
        ]
        if self.status != "open":
            query.append(("status", self.status))
        query += more.items()
        return f"{path}?{urlencode(query)}" if query else path

    def toggled(self, severity: str) -> LiveFilter:
        """With a severity added, or taken away."""
        chosen = set(self.severities) ^ {severity}
        return replace(self, severities=tuple(each for each in SEVERITIES if each in chosen))


def live_filter(request: Request) -> LiveFilter:
    """The filter of an address; what is not known or too long is ignored."""
    query = request.query_params
    given = set(query.getlist("severity"))
    status = query.get("status", "open")
    return LiveFilter(
        severities=tuple(severity for severity in SEVERITIES if severity in given),
        component=query.get("component", "").strip()[:_LONGEST_TEXT],
        tenant=query.get("tenant", "").strip()[:_LONGEST_TEXT],
        status=status if status in {*STATUSES, ANY} else "open",
        text=query.get("q", "").strip()[:_LONGEST_TEXT],
    )


@router.get("/")
def live(
    request: Request,
    context: Context,
    connection: ReadConnection,
    scope: Scope,
    after: str | None = None,
    rows: Annotated[int, Query(ge=1)] = PAGE_ROWS,
) -> HTMLResponse:
    """The page; for htmx its list, or with `after` (the cursor of a row) what follows that row."""
    chosen = live_filter(request)
    found = list_incidents(
        connection, chosen.selection(scope), chosen.sort, after=_cursor(after), limit=min(rows, _MOST_ROWS)
    )
    values = _values(request, context, found.incidents, chosen)
    values["next_page"] = _next_page(chosen, found)
    if is_part(request) and after is not None:
        return page(request, "live/rows.html", **values)
    values |= _counts(connection, chosen, scope)
    if not is_part(request):
        return page(request, "live/page.html", active="live", components=_components(context, request), **values)
    response = page(request, "live/list.html", **values)
    response.headers["HX-Replace-Url"] = chosen.address()
    return response


@router.post("/live/changed")
def changed(
    request: Request,
    context: Context,
    connection: ReadConnection,
    scope: Scope,
    ids: Annotated[list[str], Body(embed=True, max_length=MOST_IDS)],
) -> HTMLResponse:
    """The rows of those of some incidents that the filter of the address has, and how many there are of each
    severity."""
    chosen = live_filter(request)
    found = get_incidents(connection, ids, chosen.selection(scope))
    values = _values(request, context, found, chosen) | _counts(connection, chosen, scope)
    return page(request, "live/changed.html", next_page=None, **values)


@router.get("/live/changes")
async def follow(
    request: Request,
    context: Context,
    scope: Scope,
    after: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, lt=2**63)] = None,
) -> EventStream:
    """Server-sent events for this page, from the position that it shows (`after`) or has reached: `change` and `resync`
    as those of the API, and `status` without changes. Each says whether the read model is `current`, and if not since
    when (milliseconds)."""

    def encode(change: Change) -> str:
        data = {"incidents": sorted(change.incidents), **_freshness(context.ingest())}
        return f"event: {'resync' if change.resync else 'change'}\ndata: {json.dumps(data)}"

    def status() -> str:
        return f"event: status\ndata: {json.dumps(_freshness(context.ingest()))}"

    return event_stream(
        context.changes,
        last_event_id if last_event_id is not None else after,
        encode,
        reader=reader_of(request),
        narrow=narrowing(context, scope),
        still_allowed=sign_in_of(request).still_vouches(request),
        heartbeat=status,
        heartbeat_s=_STATUS_EVERY_S,
    )


def _freshness(status: IngestStatus) -> dict[str, Any]:
    current = status.failure is None and status.reached_end and status.lag <= _USUAL_LAG
    since = None if current or status.applied_at is None else status.applied_at // 1000
    return {"current": current, "since": since}


def _values(request: Request, context: BoardContext, rows: Iterable[IncidentRow], chosen: LiveFilter) -> dict[str, Any]:
    now = context.time_source.now()
    seen_by = viewer(request)
    return {
        "phrases": live_phrases(seen_by.language),
        "rows": [row_html(row, seen_by, chosen.sort, now) for row in rows],
        "chosen": chosen,
        "now": now,
        "severities": SEVERITIES,
        "statuses": (*STATUSES, ANY),
        "first_incident": _FIRST_INCIDENT,
    }


def _counts(connection: Connection, chosen: LiveFilter, scope: TenantScope) -> dict[str, Any]:
    """How many incidents of each severity there are under the other filters, and in all that are chosen."""
    counts = count_by_severity(connection, replace(chosen, severities=()).selection(scope))
    total = sum(count for severity, count in counts.items() if not chosen.severities or severity in chosen.severities)
    return {"counts": counts, "total": total}


def _components(context: BoardContext, request: Request) -> Sequence[tuple[str, str]]:
    """Ids and titles of the components of all policies."""
    found: dict[str, str] = {}
    seen_by: Viewer = viewer(request)
    for policy in (each for versions in context.policies.by_name.values() for each in versions):
        for name, component in policy.components.items():
            found.setdefault(name, component.title.ja if seen_by.language == "ja" else component.title.en)
    return sorted(found.items(), key=lambda item: item[1])


def _next_page(chosen: LiveFilter, found: IncidentPage) -> str | None:
    if found.after is None:
        return None
    value = "" if found.after.value is None else str(found.after.value)
    return chosen.address(after=f"{value}~{found.after.incident_id}")


def _cursor(after: str | None) -> IncidentKey | None:
    """The key of `123~inc-1`, or of `~inc-1` for a row without deadline. Anything else starts at the beginning."""
    value, separator, incident_id = (after or "").partition("~")
    if not separator or not (value == "" or (value.lstrip("-").isascii() and value.lstrip("-").isdigit())):
        return None
    return IncidentKey(int(value[:17]) if value else None, incident_id)
