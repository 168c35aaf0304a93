"""The system page: how far the read model is, overdue timers, policy versions, rejects, notifications."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from board.access.requirement import requires
from board.dependencies import Context, ReadConnection
from board.ingest.status import IngestStatus
from board.pages.rejected_texts import rejected_phrases
from board.pages.render import page
from board.pages.system_texts import system_phrases
from board.queries.notifications import count_notifications
from board.queries.rejects import count_rejects
from board.queries.system import (
    TIMER_DELAY,
    PartitionProgress,
    overdue_by_partition,
    overdue_timers,
    read_position,
    read_progress,
    versions_in_use,
)
from board.viewer import viewer
from board.workers import partition_health
from connect.actions.permissions import Permission

router = APIRouter(dependencies=[requires(Permission.READ_SYSTEM)])


@router.get("/system")
def system(request: Request, context: Context, connection: ReadConnection) -> HTMLResponse:
    """The page."""
    language = viewer(request).language
    now = context.time_source.now()
    progress = read_progress(connection)
    reading, workers = context.ingest(), context.workers()
    return page(
        request,
        "system.html",
        active="system",
        phrases=system_phrases(language),
        reject_codes=rejected_phrases(language).codes,
        now=now,
        applied=read_position(connection),
        reading=reading,
        percent=100 * reading.read // max(reading.total, 1),
        lags=_lags(progress, reading),
        topics=[(topic, list(rows)) for topic, rows in groupby(progress, lambda each: each.topic)],
        workers=workers,
        health=partition_health(workers, overdue_by_partition(connection, now - TIMER_DELAY)),
        timers=overdue_timers(connection, now - TIMER_DELAY),
        versions=versions_in_use(connection, context.policies),
        rejects=count_rejects(connection),
        notifications=count_notifications(connection),
    )


def _lags(progress: Iterable[PartitionProgress], reading: IngestStatus) -> dict[str, int]:
    """Records of each topic that are not applied yet, as far as the ends of its partitions are known."""
    lags: dict[str, int] = {}
    for each in progress:
        end = reading.ends.get((each.topic, each.partition), each.next_offset)
        lags[each.topic] = lags.get(each.topic, 0) + max(end - each.next_offset, 0)
    return lags
