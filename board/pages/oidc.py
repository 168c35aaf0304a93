"""Signing in at an OpenID Connect provider, and coming back."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import Headers

from board.access.identity import identity_of
from board.access.oidc import CALLBACK, OidcProblem
from board.access.requirement import open_to_all
from board.access.sign_in import SignIn, cookie_of, sign_in_of
from board.pages.access_texts import access_phrases
from board.pages.errors import error_page
from board.pages.sign_in import LONGEST_NEXT, local_address, signed_in
from board.viewer import viewer

router = APIRouter(include_in_schema=False, dependencies=[open_to_all()])

#: People have this long at the provider.
_ATTEMPT_S: Final = 600


@router.get("/sign-in/start")
def start(request: Request, next: Annotated[str, Query(max_length=LONGEST_NEXT)] = "/") -> Response:
    """Lead to the provider. The browser keeps a secret that the way back is checked with, and the page to show then."""
    service = sign_in_of(request)
    if service.oidc is None:
        return error_page(request, HTTPStatus.NOT_FOUND)
    secret = secrets.token_urlsafe(32)
    try:
        address = service.oidc.start(secret)
    except OidcProblem as problem:
        return _failed(request, service, str(problem))
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    value = f"{secret}.{local_address(next).encode().hex()}"
    response.set_cookie(
        service.attempt_cookie,
        value,
        max_age=_ATTEMPT_S,
        secure=service.settings.secure,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(CALLBACK)
def callback(request: Request) -> Response:
    """Begin a session for whom the provider vouches for."""
    service, identity = sign_in_of(request), identity_of(request)
    assert identity is not None
    if service.oidc is None:
        return error_page(request, HTTPStatus.NOT_FOUND)
    secret, _, next_page = (cookie_of(Headers(scope=request.scope), service.attempt_cookie) or "").partition(".")
    if not secret:
        return _stray(request, service, identity.address)
    wait = service.failures.retry_after(identity.address)
    if wait is not None:
        service.audit.sign_in_limited()
        response: Response = error_page(request, HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(wait)
        return response
    try:
        person, id_token = service.oidc.finish(secret, dict(request.query_params))
    except OidcProblem as problem:
        service.failures.failed(identity.address)
        service.audit.sign_in_failed(identity.address, "oidc", str(problem))
        response = _failed(request, service, str(problem))
    else:
        service.failures.succeeded(identity.address)
        begun = service.begin(person, identity.address, "oidc", id_token=id_token)
        response = signed_in(request, service, begun, _page_of(next_page))
    response.delete_cookie(service.attempt_cookie, secure=service.settings.secure, httponly=True, samesite="lax")
    return response


def _stray(request: Request, service: SignIn, address: str) -> Response:
    """A browser that has begun no sign-in comes back. Any page can have its visitors' browsers ask for this address, so
    it does not count as a failure of theirs, and few are logged."""
    if service.strays.retry_after(address) is None:
        service.strays.failed(address)
        return _failed(request, service, "this browser has begun no sign-in, or too long ago")
    return _failed_page(request)


def _failed(request: Request, service: SignIn, reason: str) -> Response:
    structlog.get_logger("board").warning("sign_in_failed", issuer=service.settings.oidc_issuer, reason=reason)
    return _failed_page(request)


def _failed_page(request: Request) -> Response:
    phrases = access_phrases(viewer(request).language)
    return error_page(request, HTTPStatus.BAD_GATEWAY, title=phrases.oidc_failed, hint=phrases.oidc_failed_hint)


def _page_of(text: str) -> str:
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return "/"
