"""Composes the board: the JSON API, the pages, and what protects the viewer's browser."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from board import static_files
from board.api import changes, incidents
from board.api.openapi import API_PREFIX, openapi_of
from board.api.problems import ApiError, problem_response
from board.changes import Changes
from board.dependencies import BoardContext
from board.pages import incident, live
from board.pages.errors import error_page
from board.security import HEADERS, BrowserProtection
from board.settings import BoardSettings
from streams.settings import Settings
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource, TimeSource

_API: tuple[APIRouter, ...] = (changes.router, incidents.router)
#: Each page's router; the live page is `/`.
_PAGES: tuple[APIRouter, ...] = (static_files.router, live.router, incident.router)


def create_app(
    engine: Engine,
    settings: BoardSettings,
    *,
    kafka: Settings,
    policies: Policies,
    time_source: TimeSource | None = None,
    changes: Changes | None = None,
) -> FastAPI:
    """The application over a migrated database; it reads the database and Kafka's settings, and connects to nothing."""
    app = FastAPI(
        title="SLA board", version="1", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.context = BoardContext(
        engine, settings, kafka, policies, time_source or SystemTimeSource(), changes or Changes()
    )
    for router in _API:
        app.include_router(router, prefix=API_PREFIX)
    for router in _PAGES:
        app.include_router(router, include_in_schema=False)
    app.add_api_route("/api/openapi.json", lambda: openapi_of(app), include_in_schema=False)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, _on_database_error)
    app.add_exception_handler(Exception, _on_defect)
    app.add_middleware(BrowserProtection)
    return app


def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_response(error)


def _on_http_error(request: Request, error: Exception) -> Response:
    """Errors of routing: no such address, or a method that it does not have."""
    assert isinstance(error, HTTPException)
    if not _is_api(request):
        return error_page(request, error.status_code)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is no address {request.url.path!r}; /api/openapi.json lists those of the API"
    response = problem_response(ApiError(error.status_code, detail))
    response.headers.update(error.headers or {})
    return response


def _on_invalid(request: Request, error: Exception) -> Response:
    """Parameters of a page that have a wrong form; the API refuses its own earlier."""
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return error_page(request, HTTPStatus.BAD_REQUEST, detail=detail)


def _on_database_error(request: Request, error: Exception) -> Response:
    """The database is away, or too busy."""
    structlog.get_logger("board").error("database_failed", path=request.url.path, error=str(error).splitlines()[0])
    if _is_api(request):
        detail = "the board's database does not answer; try again once it does (SLA_BOARD_DATABASE_URL)"
        return problem_response(ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail))
    return error_page(request, HTTPStatus.SERVICE_UNAVAILABLE)


def _on_defect(request: Request, _: Exception) -> Response:
    """A defect of the board. The server logs the error after this answer, which no middleware sees any more."""
    if _is_api(request):
        detail = "the board failed to answer; its log has the reason"
        response = problem_response(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
    else:
        response = error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)
    response.headers.update(HEADERS)
    return response


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")
