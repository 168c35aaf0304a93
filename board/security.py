"""What protects the viewer's browser: headers of every answer, and the origin of requests.

A browser that reaches the board brings every web page that it shows with it. A page of a foreign site must neither read
the board by pointing its own name at the board's address (DNS rebinding: the Host header tells) nor send it forms (the
Origin header tells).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from board.api.problems import ApiError, problem_response
from board.health import HEALTH_PATHS
from board.settings import BoardSettings, is_loopback

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'{form_targets}",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with `no-referrer` browsers send forms with `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STATIC = "/static/"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class BrowserProtection:
    """ASGI middleware: refuses foreign hosts and origins, and adds the headers to every answer, also to that of an
    unexpected error, which `on_error` makes."""

    def __init__(
        self, app: ASGIApp, settings: BoardSettings, on_error: Callable[[Request, Exception], Response]
    ) -> None:
        self._app = app
        self._public = urlsplit(settings.public_url)
        issuer = urlsplit(settings.oidc_issuer)
        # The form that signs out is led on to the provider.
        targets = f" {issuer.scheme}://{issuer.netloc}" if settings.sign_in == "oidc" else ""
        policy = _CONTENT_SECURITY_POLICY.format(form_targets=targets)
        self._headers = {"Content-Security-Policy": policy, **_HEADERS}
        self._open_paths = frozenset() if settings.sign_in == "local" else HEALTH_PATHS
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cacheable = scope["path"].startswith(_STATIC)
        started = False

        async def send_protected(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if not cacheable:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = None
        if scope["path"] not in self._open_paths:  # probes and scrapers name the board by its address
            refusal = _refusal(scope["method"], Headers(scope=scope), self._public)
        try:
            await (self._app if refusal is None else refusal)(scope, receive, send_protected)
        except Exception as error:
            response = self._on_error(Request(scope), error)
            if started:  # the connection is closed, so that nobody takes the answer for whole
                raise
            await response(scope, receive, send_protected)


def _refusal(method: str, headers: Headers, public: SplitResult) -> Response | None:
    """The answer to a request that a foreign page may have caused; None for others."""
    host = headers.get("host", "").lower()
    named = host == public.netloc != ""
    if len(headers.getlist("host")) != 1 or not (named or is_loopback(_name(host))):
        name = f"{public.netloc}, " if public.netloc else ""
        return problem_response(
            ApiError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"the board answers only to its own names; allowed in the Host header: {name}localhost, 127.0.0.1, "
                "[::1]",
            )
        )
    if method in _SAFE:
        return None
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{public.scheme}://{public.netloc}" if named else f"http://{host}"
    foreign_origin = origin is not None and origin != own
    if foreign_origin or site not in {None, "same-origin", "none"}:
        return problem_response(ApiError(HTTPStatus.FORBIDDEN, "a page of another site sent this request"))
    return None


def _name(host: str) -> str:
    """The name of a Host header, without port and brackets; empty when malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == host and "@" not in host else ""
