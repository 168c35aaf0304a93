"""`/live`, `/ready` and `/metrics` of the board, as the other processes have them (streams/service_process.py)."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from board.access.requirement import open_to_all
from board.incident_gauges import IncidentGauges
from board.ingest.status import IngestStatus
from board.metrics import BoardMetrics
from streams.service_process import Reasons, liveness, readiness

HEALTH_PATHS = frozenset({"/live", "/healthz", "/ready", "/metrics"})


def health_router(
    engine: Engine, measured: BoardMetrics, ingest: Callable[[], IngestStatus], topics: Callable[[], str | None]
) -> APIRouter:
    """The three addresses. The board is not ready while its database can't be read, while the topics can't or have a
    shape that loses records (`topics` says which), or before the topics were read to their end once.
    """
    router = APIRouter(dependencies=[open_to_all()])
    incidents = IncidentGauges(engine, measured)

    @router.get("/live")
    @router.get("/healthz")
    async def live() -> Response:
        status, body = liveness(None)
        return JSONResponse(body, status)

    @router.get("/ready")
    def ready() -> Response:
        status, body = readiness([*_database_problem(engine), *(_ingest_problem(ingest()) or _topic_problem(topics()))])
        return JSONResponse(body, status)

    @router.get("/metrics")
    def metrics() -> Response:
        incidents.refresh()
        return Response(generate_latest(measured.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _database_problem(engine: Engine) -> Reasons:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return [{"database": engine.url.render_as_string(), "reason": str(getattr(error, "orig", None) or error)}]
    return []


def _topic_problem(problem: str | None) -> Reasons:
    return [] if problem is None else [{"reason": problem}]


def _ingest_problem(status: IngestStatus) -> Reasons:
    if status.failure is not None:
        return [{"reason": status.failure}]
    if not status.reached_end:
        return [{"reason": "the topics have not been read to their end yet", "read": status.read, "of": status.total}]
    return []
