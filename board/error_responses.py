"""Errors as answers: problem details below /api/, pages elsewhere."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from board.api.problems import ApiError, problem_response
from board.pages.errors import error_page, refusal_page
from connect.actions.permissions import Denied


def add_error_handlers(app: FastAPI) -> None:
    """Let every error that is expected end as an answer that says what was wrong."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_page_request)
    app.add_exception_handler(SQLAlchemyError, _on_database_error)


def _answer(request: Request, status: int, detail: str) -> Response:
    if request.url.path.startswith("/api/"):
        return problem_response(ApiError(status, detail))
    return error_page(request, status)


def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_response(error)


def _on_http_error(request: Request, error: Exception) -> Response:
    """Errors of routing: no such address, or a method that it does not have; and what pages raise."""
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is no address {request.url.path!r}; /api/openapi.json lists those of the API"
    response = _answer(request, error.status_code, detail)
    response.headers.update(error.headers or {})
    return response


def _on_wrong_page_request(request: Request, _: Exception) -> Response:
    return _answer(request, HTTPStatus.BAD_REQUEST, "a parameter has a wrong value")


def _on_database_error(request: Request, error: Exception) -> Response:
    structlog.get_logger("board").error("database_failed", path=request.url.path, reason=str(error).partition("\n")[0])
    return _answer(request, HTTPStatus.SERVICE_UNAVAILABLE, "the board's database does not answer; try again")


def refusal_answer(
    request: Request, status: int, detail: str, *, denied: Denied | None = None, retry_after: int | None = None
) -> Response:
    """The answer to a request that sign-in or permissions refuse."""
    accepted = request.headers.get("accept", "*/*")
    if request.url.path.startswith("/api/") or not ("text/html" in accepted or "*/*" in accepted):
        response = problem_response(ApiError(status, detail))
    else:
        response = refusal_page(request, status, detail, denied)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="sla board"'
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def answer_to_bug(request: Request, error: Exception) -> Response:
    """The answer to a request that ended in an unexpected error, which is logged."""
    structlog.get_logger("board").error("request_failed", path=request.url.path, exc_info=error)
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "an error in the board; its log has the details")
