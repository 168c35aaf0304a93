"""The audit log: who signed in, and who did or was refused what; also as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from sqlalchemy import Engine

from board.access.requirement import requires
from board.dependencies import Context, ReadConnection
from board.pages.access_texts import access_phrases
from board.pages.audit_texts import AuditPhrases, audit_phrases
from board.pages.render import is_part, page
from board.queries.audit import TYPES, AuditFilter, AuditKey, AuditRow, every_audit_event, list_audit
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS
from connect.actions.permissions import Permission
from connect.actions.texts import labels_of
from streams.csv_text import csv_text
from streams.i18n.catalogues import Language
from streams.sla.instants import format_rfc3339, to_micros

router = APIRouter(dependencies=[requires(Permission.READ_AUDIT)])

_PAGE_ROWS = 100
_LONGEST = 256
#: Outcomes after which nothing has changed.
_WITHOUT_EFFECT: Final = frozenset({"failed", "denied", "rejected", "moved", "invalid", "refused", "unavailable"})
#: Columns of the CSV; new ones are appended. Lists are separated by spaces.
COLUMNS: Final = (
    *("time", "type", "person", "roles", "tenants", "address", "way", "action", "permission", "about_kind", "about"),
    *("outcome", "reason", "proposal_id", "events", "event_ids", "event_id"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form of filters has: as it was entered, and as a filter. `wrong` are days that are none."""

    entered: dict[str, str]
    chosen: AuditFilter
    wrong: tuple[str, ...]

    @property
    def query(self) -> str:
        """As parameters of an address."""
        return urlencode({name: value for name, value in self.entered.items() if value})


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A row of the page: `roles`, `kind` and `outcome` in words; `what` was done, where that says more."""

    row: AuditRow
    roles: str
    kind: str
    what: str
    outcome: str
    without_effect: bool


@router.get("/audit")
def audit(request: Request, connection: ReadConnection, after: str | None = None) -> HTMLResponse:
    """The list, the latest first; for htmx with `after`: the rows that follow."""
    seen_by = viewer(request)
    asked, phrases = _asked(request, seen_by.zone), audit_phrases(seen_by.language)
    found = list_audit(connection, asked.chosen, after=_cursor(after), limit=_PAGE_ROWS)
    key = found.after
    following = None if key is None else urlencode({"after": f"{key.occurred_at}~{key.event_id}"})
    values: dict[str, Any] = {
        "phrases": phrases,
        "lines": [_line(row, phrases, seen_by.language) for row in found.events],
        "next_page": following and "&".join(filter(None, (asked.query, following))),
    }
    if is_part(request) and after is not None:
        return page(request, "audit/rows.html", **values)
    return page(
        request,
        "audit/page.html",
        active="audit",
        asked=asked,
        kinds=[(each, phrases.kinds[each.partition(".")[2]]) for each in TYPES],
        **values,
    )


@router.get("/audit/events.csv")
def audit_csv(request: Request, context: Context) -> StreamingResponse:
    """Everything that the filters leave."""
    asked = _asked(request, viewer(request).zone)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(_csv(context.engine, asked.chosen), media_type="text/csv; charset=utf-8", headers=headers)


def _asked(request: Request, zone: ZoneInfo) -> Asked:
    entered = {
        name: request.query_params.get(name, "").strip()[:_LONGEST]
        for name in ("person", "type", "tenant", "from", "to")
    }
    days = {name: _day(entered[name]) for name in ("from", "to")}
    wrong = tuple(entered[name] for name, day in days.items() if entered[name] and day is None)
    since, last = days["from"], days["to"]
    chosen = AuditFilter(
        _text(entered["person"]),
        entered["type"] if entered["type"] in TYPES else None,
        _text(entered["tenant"]),
        None if since is None else _midnight(since, zone),
        None if last is None else _midnight(last + timedelta(days=1), zone),
    )
    return Asked(entered, chosen, wrong)


def _text(entered: str) -> str | None:
    """An id to look for, as a database takes it."""
    return entered.replace("\0", "") or None


def _day(entered: str) -> date | None:
    try:
        found = date.fromisoformat(entered)
    except ValueError:
        return None
    return found if date(1970, 1, 2) <= found < date(9999, 1, 1) else None


def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_micros(datetime.combine(day, time(), zone))


def _line(row: AuditRow, phrases: AuditPhrases, language: Language) -> AuditLine:
    action = row.action or row.data.get("proposed")
    what = row.data.get("what", "") if row.type == "audit.denied" else ""
    if action is not None:
        what = phrases.decisions.get(action) or (labels_of(action, language).title if action in ACTIONS else action)
    elif what:
        what = phrases.permission.format(permission=what)
    names = access_phrases(language).roles
    return AuditLine(
        row,
        ", ".join(names.get(role, role) for role in row.data.get("roles", ())),
        phrases.kinds[row.type.partition(".")[2]],
        what,
        phrases.outcomes.get(row.outcome, row.outcome),
        row.outcome in _WITHOUT_EFFECT,
    )


def _csv(engine: Engine, chosen: AuditFilter) -> Iterator[str]:
    """A header, then the rows as they are read."""
    first = True
    for rows in every_audit_event(engine, chosen):
        text = csv_text(COLUMNS, map(_csv_row, rows))
        yield text if first else text.partition("\r\n")[2]
        first = False


def _csv_row(row: AuditRow) -> dict[str, object]:
    data = row.data
    return {
        "time": format_rfc3339(row.occurred_at),
        "type": row.type,
        "person": row.person,
        "roles": " ".join(data.get("roles", ())),
        "tenants": " ".join(data.get("tenants", ())),
        "address": row.address,
        "way": row.way,
        "action": row.action,
        "permission": data.get("what") if row.type == "audit.denied" else None,
        "about_kind": row.about_kind,
        "about": row.about,
        "outcome": row.outcome,
        "reason": data.get("reason"),
        "proposal_id": data.get("proposal_id"),
        "events": data.get("events"),
        "event_ids": " ".join(data.get("event_ids", ())),
        "event_id": row.event_id,
    }


def _cursor(after: str | None) -> AuditKey | None:
    occurred_at, _, event_id = (after or "").partition("~")
    try:
        return AuditKey(max(min(int(occurred_at), 2**63 - 1), 0), event_id.replace("\0", ""))
    except ValueError:
        return None
