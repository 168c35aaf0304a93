"""Signing in and out."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from board.access.identity import Identity, identity_of
from board.access.oidc import OidcProblem
from board.access.requirement import open_to_all
from board.access.sign_in import Refused, SignIn, sign_in_of
from board.pages.access_texts import access_phrases
from board.pages.errors import error_page
from board.pages.render import page
from board.viewer import viewer

LONGEST_NEXT = 2048
#: An error page that is shown here would need its query: the address of a page is enough.
_Next = Annotated[str, Query(max_length=LONGEST_NEXT)]

router = APIRouter(include_in_schema=False, dependencies=[open_to_all()])


@router.get("/sign-in")
def sign_in_page(request: Request, next: _Next = "/", signed_out: bool = False) -> Response:
    """How to sign in; for who is signed in: as whom."""
    return _page(request, next, signed_out=signed_out)


@router.post("/sign-in")
def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=256)],
    next: Annotated[str, Form(max_length=LONGEST_NEXT)] = "/",
) -> Response:
    """Begin a session with a token."""
    service = sign_in_of(request)
    if service.settings.sign_in != "local":
        return error_page(request, HTTPStatus.NOT_FOUND)
    address = _identity(request).address
    found = service.check_token(token.strip(), address)
    if isinstance(found, Refused):
        texts = access_phrases(viewer(request).language).failed
        limited = found.retry_after is not None
        problem = texts["limited"].format(seconds=found.retry_after) if limited else texts["unknown"]
        response = _page(request, next, problem=problem, status=found.status)
        if limited:
            response.headers["Retry-After"] = str(found.retry_after)
        return response
    person, digest = found
    return signed_in(request, service, service.begin(person, address, "token", token=digest), next)


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session, here and for whoever has its cookie, and lead to the sign-out of the provider."""
    service, identity = sign_in_of(request), _identity(request)
    id_token = service.end(identity)
    address = None
    if service.oidc is not None:
        with suppress(OidcProblem):  # signed out here in any case
            address = service.oidc.end_address(id_token)
    response = RedirectResponse(address or "/sign-in?signed_out=1", HTTPStatus.SEE_OTHER)
    response.delete_cookie(service.session_cookie, secure=service.settings.secure, httponly=True, samesite="lax")
    return response


def signed_in(request: Request, service: SignIn, secret: str, next_page: str) -> Response:
    """Lead to the page that was asked for, with the cookie of a new session. A session that the browser had before
    ends."""
    service.end(_identity(request))
    response = RedirectResponse(local_address(next_page), HTTPStatus.SEE_OTHER)
    response.set_cookie(service.session_cookie, secret, secure=service.settings.secure, httponly=True, samesite="lax")
    return response


def local_address(text: str) -> str:
    """An address of the board itself; `/` for anything else, so that a link can't lead to a foreign page."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    fine = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and text.isascii()
    return text if fine and not parts.scheme and not parts.netloc and "\\" not in text else "/"


def _identity(request: Request) -> Identity:
    found = identity_of(request)
    assert found is not None
    return found


def _page(
    request: Request, next_page: str, *, problem: str = "", signed_out: bool = False, status: int = HTTPStatus.OK
) -> Response:
    settings = sign_in_of(request).settings
    next_page = local_address(next_page)
    return page(
        request,
        "sign_in.html",
        status_code=status,
        active=None,
        mode=settings.sign_in,
        next=next_page,
        start=f"/sign-in/start?{urlencode({'next': next_page})}",
        provider=urlsplit(settings.oidc_issuer).netloc,
        public_url=settings.public_url,
        problem=problem,
        signed_out=signed_out,
    )
