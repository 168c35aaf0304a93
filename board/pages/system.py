"""The system page: how far the read model is, overdue timers, policy versions, rejects, notifications."""

from __future__ import annotations

from itertools import groupby

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from board.dependencies import Context, ReadConnection
from board.pages.rejected_texts import rejected_phrases
from board.pages.render import page
from board.pages.system_texts import system_phrases
from board.queries.notifications import count_notifications
from board.queries.rejects import count_rejects
from board.queries.system import TIMER_DELAY, overdue_timers, read_position, read_progress, versions_in_use
from board.viewer import viewer

router = APIRouter()


@router.get("/system")
def system(request: Request, context: Context, connection: ReadConnection) -> HTMLResponse:
    """The page."""
    language = viewer(request).language
    now = context.time_source.now()
    progress = read_progress(connection)
    return page(
        request,
        "system.html",
        active="system",
        phrases=system_phrases(language),
        reject_codes=rejected_phrases(language).codes,
        now=now,
        applied=read_position(connection),
        topics=[(topic, list(rows)) for topic, rows in groupby(progress, lambda each: each.topic)],
        timers=overdue_timers(connection, now - TIMER_DELAY),
        versions=versions_in_use(connection, context.policies),
        rejects=count_rejects(connection),
        notifications=count_notifications(connection),
    )
