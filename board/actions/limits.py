"""The size of a request's body, checked while it is read."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message


def limited(request: Request, most: int) -> Request:
    """The request with a body of at most `most` bytes; reading more raises HTTPException (413)."""
    size = 0
    receive = request.receive

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {most:,} bytes")
        return message

    return Request(request.scope, receive_limited)
