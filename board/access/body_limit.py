"""The size of a request's body, checked while it is read: parsers of forms and of JSON have no limit of their own."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive


def limited_receive(receive: Receive, most: int) -> Receive:
    """`receive` for a body of at most `most` bytes; reading more raises HTTPException (413)."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {most:,} bytes")
        return message

    return receive_limited
