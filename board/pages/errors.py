"""Error pages: what is wrong, and what to do."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from board.pages.render import page
from board.pages.texts import board_phrases
from board.viewer import viewer

#: The kind of error for a status; others are `invalid` below 500 and `internal` from there on.
_KINDS = {404: "not_found", 503: "unavailable"}


def error_page(
    request: Request, status_code: int, *, title: str | None = None, hint: str | None = None, detail: str | None = None
) -> HTMLResponse:
    """A page for a status from 400 on, in the viewer's language. `title` and `hint` replace the general texts; `detail`
    is shown as it is."""
    phrases = board_phrases(viewer(request).language)
    kind = _KINDS.get(status_code, "invalid" if status_code < 500 else "internal")
    return page(
        request,
        "error.html",
        status_code=status_code,
        active=None,
        code=status_code,
        title=title or phrases.errors[kind],
        hint=hint or phrases.errors[f"{kind}_hint"],
        detail=detail,
    )
