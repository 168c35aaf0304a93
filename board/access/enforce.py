"""Lets a request through to its address only when the address's requirement is met: before its body is read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from board.access.body_limit import limited_receive
from board.access.csrf import FIELD, HEADER, LARGEST_FORM, FormTooLarge, carries_token
from board.access.four_eyes import token_denied
from board.access.identity import Identity, RequestSender, set_identity
from board.access.requirement import GRANTED, Address, Addresses
from board.access.sign_in import Refused, SignIn
from board.error_responses import refusal_answer
from board.pages.addresses import raw_path
from connect.actions.permissions import Denied, may_read
from connect.actions.person import Person

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where people sign in.
SIGN_IN: Final = "/sign-in"
_STATIC: Final = "/static/"
#: A body to an address that is open to all: a token and an address to go on to.
_LARGEST_OPEN: Final = 16 * 1024


class AccessControl:
    """ASGI middleware. `addresses` says what each address requires; a request to none of them gets through, and is
    answered 404 or 405 by the application."""

    def __init__(self, app: ASGIApp, addresses: Addresses, sign_in: SignIn) -> None:
        self._app = app
        self._addresses = addresses
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_STATIC):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if self._reads_nothing(Headers(scope=scope)):
            identity: Identity | Refused = self._sign_in.identify(scope)
        else:
            identity = await run_in_threadpool(self._sign_in.identify, scope)
        if isinstance(identity, Refused):
            await refusal_answer(request, identity.status, identity.detail, retry_after=identity.retry_after)(
                scope, receive, send
            )
            return
        set_identity(scope.setdefault("state", {}), identity)
        address = self._addresses.find(scope["method"], scope["path"])
        answer = None if address is None else await self._denial(request, address, identity)
        if answer is None and scope["method"] not in SAFE and identity.csrf is not None:
            try:
                carried, receive = await carries_token(scope, receive, identity.csrf)
            except ClientDisconnect:
                return
            except FormTooLarge:
                answer = refusal_answer(
                    request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the form has more than {LARGEST_FORM:,} bytes"
                )
            else:
                answer = None if carried else _without_token(request)
        known = address is not None and address.requirement.permission is not None
        receive = limited_receive(receive, LARGEST_FORM if known else _LARGEST_OPEN)
        await (self._app if answer is None else answer)(scope, receive, self._with_cookie(identity, send))

    def _reads_nothing(self, headers: Headers) -> bool:
        """Whether identifying a request needs neither file nor database."""
        return "authorization" not in headers and "cookie" not in headers and self._sign_in.settings.sign_in != "proxy"

    async def _denial(self, request: Request, address: Address, identity: Identity) -> Response | None:
        """The answer to a request that does not meet the requirement; None when it does."""
        requirement, person = address.requirement, identity.person
        if requirement.permission is None:
            return None
        if person is None:
            return _sign_in_first(request, self._sign_in.settings.sign_in)
        decision = may_read(person, requirement.permission, scoped=requirement.scoped)
        decision = token_denied(identity, self._sign_in.settings, requirement.permission) or decision
        if not isinstance(decision, Denied):
            setattr(request.state, GRANTED, requirement)
            return None
        if person.signed_in:
            await run_in_threadpool(self._audit, request, person, identity, decision)
        return denied_answer(request, decision)

    def _audit(self, request: Request, person: Person, identity: Identity, decision: Denied) -> None:
        subject = f"{request.method} {request.url.path}"
        sender = RequestSender(person, identity.address, identity.way)
        self._sign_in.audit.denied(sender, decision.permission, subject, decision.reason)

    def _with_cookie(self, identity: Identity, send: Send) -> Send:
        """Adds the cookie that tokens for forms follow from, where the browser has none."""
        if identity.browser is None:
            return send
        holder = Response()
        holder.set_cookie(
            self._sign_in.browser_cookie,
            identity.browser,
            secure=self._sign_in.settings.secure,
            httponly=True,
            samesite="lax",
        )

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Set-Cookie", holder.headers["set-cookie"])
            await send(message)

        return sending


def denied_answer(request: Request, decision: Denied) -> Response:
    """The answer to what a person is not allowed to do."""
    status = HTTPStatus.UNAUTHORIZED if decision.cause == "sign_in" else HTTPStatus.FORBIDDEN
    return refusal_answer(request, status, decision.reason, denied=decision)


def _sign_in_first(request: Request, mode: str) -> Response:
    """Pages lead to the sign-in, and from there back; everything else is told that it needs one."""
    how = {
        "local": "send `Authorization: Bearer TOKEN`",
        "oidc": "sign in at /sign-in, or send `Authorization: Bearer TOKEN`",
        "proxy": "open the board through its reverse proxy, or send `Authorization: Bearer TOKEN`",
    }[mode]
    is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if mode == "oidc" and is_page and request.headers.get("hx-request") != "true":
        path = raw_path(request) + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': path})}", HTTPStatus.SEE_OTHER)
    return refusal_answer(request, HTTPStatus.UNAUTHORIZED, f"nobody is signed in; {how}")


def _without_token(request: Request) -> Response:
    return refusal_answer(
        request,
        HTTPStatus.FORBIDDEN,
        f"the request does not carry the token of its session: the form field {FIELD}, or the header {HEADER}. The "
        "page that it comes from may be older than the sign-in; load it again",
    )
