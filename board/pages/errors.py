"""Error pages: what is wrong, and what to do."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from board.access.identity import identity_of
from board.pages.access_texts import access_phrases
from board.pages.render import page
from board.pages.texts import board_phrases
from board.viewer import viewer
from connect.actions.permissions import Denied

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


def refusal_page(request: Request, status_code: int, detail: str, denied: Denied | None) -> HTMLResponse:
    """The page of a request that sign-in or permissions refuse."""
    phrases = access_phrases(viewer(request).language)
    identity = identity_of(request)
    person = None if identity is None else identity.person
    if denied is None:
        kind = "sign_in" if status_code == HTTPStatus.UNAUTHORIZED else "other"
        title, hint = phrases.refused[kind], phrases.refused_hint["other"]
        return error_page(request, status_code, title=title, hint=hint, detail=detail)
    title = phrases.refused["sign_in" if denied.cause == "sign_in" else "permission"]
    return error_page(request, status_code, title=title, hint=phrases.denied_hint(denied, person))
