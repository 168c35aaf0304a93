"""The size of an action's body."""

from __future__ import annotations

from starlette.requests import Request

from board.access.body_limit import limited_receive


def limited(request: Request, most: int) -> Request:
    """The request with a body of at most `most` bytes; reading more raises HTTPException (413)."""
    return Request(request.scope, limited_receive(request.receive, most))
