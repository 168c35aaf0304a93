"""A small application with the board's base: its static files and error pages, without a database."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from board.pages.errors import error_page
from board.static_files import router


def sample_app() -> FastAPI:
    """`/errors/{code}` shows the page of a status, with the query's `detail`."""
    app = FastAPI()
    app.include_router(router)

    @app.get("/errors/{code}/{rest:path}")
    def error(request: Request, code: int, rest: str, detail: str | None = None) -> HTMLResponse:
        return error_page(request, code, detail=detail)

    return app
