"""`/live`, `/ready` and `/metrics` of the board, as the other processes have them (streams/service_process.py)."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from streams.service_process import Reasons, liveness, readiness


def health_router(
    engine: Engine,
    registry: CollectorRegistry,
    unready: Callable[[], Reasons],
    crash: Callable[[], BaseException | None],
) -> APIRouter:
    """The three addresses. The board is not ready while its database can't be read, or `unready` has reasons."""
    router = APIRouter()

    @router.get("/live")
    @router.get("/healthz")
    async def live() -> Response:
        status, body = liveness(crash())
        return JSONResponse(body, status)

    @router.get("/ready")
    def ready() -> Response:
        status, body = readiness([*_database_problem(engine), *unready()])
        return JSONResponse(body, status)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _database_problem(engine: Engine) -> Reasons:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return [{"database": engine.url.render_as_string(), "reason": str(getattr(error, "orig", None) or error)}]
    return []
