"""Rejected input: the list, and one reject with its original and the command that retries it."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from board.access.requirement import requires
from board.dependencies import Context, ReadConnection
from board.originals import decoded_original
from board.pages.action_texts import action_page_phrases
from board.pages.errors import error_page
from board.pages.rejected_texts import rejected_phrases
from board.pages.render import is_part, page
from board.pages.retry import retry_section
from board.queries.rejects import RejectFilter, RejectKey, RejectRow, count_rejects, get_reject, list_rejects
from board.viewer import viewer
from connect.actions.permissions import Permission
from streams.hex_dump import hex_dump
from streams.sla.events import REJECT_CODES

router = APIRouter(dependencies=[requires(Permission.READ_REJECTS)])

_PAGE_ROWS = 100
_DUMP_BYTES = 512


@router.get("/rejected")
def rejected(
    request: Request, connection: ReadConnection, code: str | None = None, after: str | None = None
) -> HTMLResponse:
    """The list, the latest first; for htmx with `after`: the rows that follow."""
    chosen = RejectFilter(code=code or None)
    found = list_rejects(connection, chosen, after=_cursor(after), limit=_PAGE_ROWS)
    key = found.after
    values: dict[str, Any] = {
        "phrases": rejected_phrases(viewer(request).language),
        "rejects": found.rejects,
        "chosen": chosen,
        "next_page": None if key is None else f"{key.rejected_at}~{key.partition}~{key.offset}",
    }
    if is_part(request) and after is not None:
        return page(request, "rejected/rows.html", **values)
    counts = count_rejects(connection)
    return page(request, "rejected/page.html", active="rejected", counts=counts, codes=REJECT_CODES, **values)


@router.get("/rejected/{partition}/{offset}")
def reject(
    request: Request,
    context: Context,
    connection: ReadConnection,
    partition: Annotated[int, Path(ge=0, lt=2**31)],
    offset: Annotated[int, Path(ge=0, lt=2**63)],
) -> HTMLResponse:
    """One reject, by its place in the topic `rejected`."""
    phrases = rejected_phrases(viewer(request).language)
    found = get_reject(connection, partition, offset)
    if found is None:
        title = phrases.absent.format(place=f"{partition}/{offset}")
        return error_page(request, 404, title=title, hint=phrases.absent_hint)
    event = decoded_original(context.codec, found.original)
    return page(
        request,
        "rejected/detail.html",
        active="rejected",
        phrases=phrases,
        row=found.row,
        headers=found.headers,
        event=None if event is None else json.dumps(event, ensure_ascii=False, indent=2, default=str),
        dump=None if found.original is None else "\n".join(hex_dump(found.original[:_DUMP_BYTES])),
        size=found.row.original_size,
        dumped=_DUMP_BYTES,
        retry=_retry_command(found.row),
        section=retry_section(request, context, found, event),
        action_phrases=action_page_phrases(viewer(request).language),
    )


def _retry_command(row: RejectRow) -> str | None:
    """The command that sends a reject again; None for what never was in a topic."""
    place = row.original_place
    if place is None:
        return None
    backfill = " --backfill" if row.code == "too_late" and row.agent == "incidents" else ""
    return f"sla rejected retry {shlex.quote(place)}{backfill}"


def _cursor(after: str | None) -> RejectKey | None:
    try:
        rejected_at, partition, offset = (int(part) for part in (after or "").split("~"))
    except ValueError:
        return None
    return RejectKey(*(max(min(each, 2**63 - 1), 0) for each in (rejected_at, partition, offset)))
