"""Requests that change something must carry the token of their session: `X-CSRF-Token`, or a field of the form."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

HEADER: Final = "x-csrf-token"
FIELD: Final = "csrf_token"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
#: A form is read into memory to find the token in it; files of contracts are the largest.
LARGEST_FORM: Final = 8 * 1024 * 1024


class FormTooLarge(Exception):  # noqa: N818 -- it names what is wrong
    """The form has more than LARGEST_FORM bytes."""


async def carries_token(scope: Scope, receive: Receive, expected: str) -> tuple[bool, Receive]:
    """Whether a request carries the token, and what to read its body from afterwards. Raises FormTooLarge and
    ClientDisconnect."""
    headers = Headers(scope=scope)
    given = headers.get(HEADER)
    if given is not None:
        return _equal(given, expected), receive
    if headers.get("content-type", "").partition(";")[0].strip().lower() not in _FORMS:
        return False, receive
    body = await _read(receive)
    try:
        async with Request(scope, _replayed(body, receive)).form(max_part_size=LARGEST_FORM) as form:
            value = form.get(FIELD)
    except (HTTPException, MultiPartException, ValueError):
        value = None
    return isinstance(value, str) and _equal(value, expected), _replayed(body, receive)


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


async def _read(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_FORM:
            raise FormTooLarge
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what follows on the connection."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
