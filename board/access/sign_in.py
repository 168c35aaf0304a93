"""Finds out who sends a request: by a token, a session's cookie, or the headers of the reverse proxy."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from sqlalchemy import Engine
from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.types import Scope

from board.access.addresses import client_address, peer_of, within
from board.access.audit import AuditLog
from board.access.identity import Identity, identity_of
from board.access.oidc import Oidc
from board.access.proxy import HeaderProblem, identity_headers, person_of_headers
from board.access.rate_limit import FailureLimit
from board.access.sessions import Session, Sessions, csrf_token
from board.access.tokens import TOKEN_PREFIX, TokensFile
from board.settings import BoardSettings
from connect.actions.person import ANONYMOUS, Person
from streams.time_source import TimeSource

_BEARER: Final = "bearer "
_MOST_STRAYS: Final = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody can be identified: the status of the answer, why, and for 429 the seconds to wait."""

    status: HTTPStatus
    detail: str
    retry_after: int | None = None


class SignIn:
    """The sign-in of one board. Methods read files and the database; they may be called from any thread."""

    def __init__(self, engine: Engine, settings: BoardSettings, time_source: TimeSource, audit: AuditLog) -> None:
        self.settings = settings
        self.audit = audit
        self.tokens = TokensFile(settings.tokens)
        self.failures = FailureLimit(time_source)
        self.sessions = Sessions(engine, time_source, idle=settings.session_idle, lifetime=settings.session_lifetime)
        #: `__Host-`: a browser takes such a cookie only from this host, by https, for all paths.
        prefix = "__Host-" if settings.secure else ""
        self.session_cookie = f"{prefix}board_session"
        self.browser_cookie = f"{prefix}board_browser"
        self.attempt_cookie = f"{prefix}board_attempt"
        self.oidc = Oidc(settings, time_source) if settings.sign_in == "oidc" else None
        #: Returns from the provider that no browser asked for: which of them are logged.
        self.strays = FailureLimit(time_source, per_address=1, in_total=_MOST_STRAYS)
        if settings.sign_in == "oidc" and settings.secure and not settings.proxy_networks:
            structlog.get_logger("board").warning(
                "proxy_networks_missing",
                consequence="every client has the address of the TLS proxy: limits of failed sign-ins hold for all "
                "people together, and the audit log lacks their addresses",
                remedy="set SLA_BOARD_PROXY_NETWORKS to the networks that the TLS proxy sends from",
            )

    def identify(self, scope: Scope) -> Identity | Refused:
        """The identity of a request, or why it is refused whatever it asks for."""
        headers = Headers(scope=scope)
        address = client_address(scope, self.settings.proxy_networks)
        token = _bearer(headers, self.settings)
        if token is not None:
            return self._by_token(token, address)
        if self.settings.sign_in == "proxy":
            return self._by_headers(scope, headers, address)
        secret = cookie_of(headers, self.session_cookie)
        found = None if secret is None else self._session(secret)
        if found is not None and secret is not None:
            return Identity(found.person, "session", address, csrf_token(secret), found.key, found.token)
        return Identity(ANONYMOUS if self.settings.sign_in == "local" else None, "none", address)

    def check_token(self, token: str, address: str) -> tuple[Person, str] | Refused:
        """The person of a token, and the token's digest; or why it is refused. Failures are limited and audited; the
        limit does not hold for valid tokens: nobody guesses 256 bits, and whoever shares an address with somebody who
        tries would be locked out."""
        entry = self.tokens.find(token)
        if entry is None:
            wait = self.failures.retry_after(address)
            if wait is not None:
                self.audit.sign_in_limited()
                return Refused(
                    HTTPStatus.TOO_MANY_REQUESTS, f"too many wrong tokens from {address}; try again in {wait} s", wait
                )
            self.failures.failed(address)
            self.audit.sign_in_failed(address, "token", "unknown token")
            return Refused(
                HTTPStatus.UNAUTHORIZED,
                "the token is not known; it may have been removed. `sla board tokens add NAME --role ROLE` makes one",
            )
        self.failures.succeeded(address)
        return entry.person, entry.sha256

    def begin(
        self, person: Person, address: str, way: str, *, token: str | None = None, id_token: str | None = None
    ) -> str:
        """Begin a session, with its line in the audit log, and return its id."""
        return self.sessions.begin(
            person,
            token=token,
            id_token=id_token,
            also=lambda connection: self.audit.signed_in(connection, person, address, way),
        )

    def end(self, identity: Identity) -> str | None:
        """End the session of a request, with its line in the audit log; without effect when there is none. The id token
        of the provider with which it began, if one did."""
        person, key = identity.person, identity.session
        if key is None or person is None:
            return None
        return self.sessions.end(key, lambda connection: self.audit.signed_out(connection, person, identity.address))

    def still_vouches(self, request: Request) -> Callable[[], bool]:
        """Whether what vouched for the person of a request still does, for answers that take long. Does not count as
        use of the session."""
        identity = identity_of(request)

        def vouches() -> bool:
            if identity is None:
                return False
            if identity.token is not None and self.tokens.find_digest(identity.token) is None:
                return False
            return identity.session is None or self.sessions.runs(identity.session)

        return vouches

    def _by_token(self, token: str, address: str) -> Identity | Refused:
        found = self.check_token(token, address)
        return found if isinstance(found, Refused) else Identity(found[0], "token", address, token=found[1])

    def _by_headers(self, scope: Scope, headers: Headers, address: str) -> Identity | Refused:
        given = identity_headers(headers, self.settings)
        if not within(peer_of(scope), self.settings.proxy_networks):
            if not given:
                return Identity(None, "none", address)
            if self.failures.retry_after(address) is None:
                self.failures.failed(address)
                self.audit.sign_in_failed(address, "proxy", "identity headers from an untrusted address")
            else:
                self.audit.sign_in_limited()
            return Refused(
                HTTPStatus.FORBIDDEN,
                f"{', '.join(given)} came from {peer_of(scope)}, which is in none of SLA_BOARD_PROXY_NETWORKS; open "
                "the board through its reverse proxy",
            )
        if self.settings.proxy_user_header not in headers:
            return Identity(None, "none", address)
        try:
            person = person_of_headers(headers, self.settings)
        except HeaderProblem as problem:
            return Refused(HTTPStatus.FORBIDDEN, str(problem))
        browser = cookie_of(headers, self.browser_cookie)
        fresh = secrets.token_urlsafe(32) if browser is None else None
        return Identity(person, "proxy", address, csrf_token(f"{person.id}\0{browser or fresh}"), browser=fresh)

    def _session(self, secret: str) -> Session | None:
        """The session of a cookie. One that a token began ends with the token, and has the roles of its present
        entry."""
        found = self.sessions.find(secret)
        if found is None or found.token is None:
            return found
        entry = self.tokens.find_digest(found.token)
        return None if entry is None else Session(found.key, entry.person, found.token, found.id_token)


def sign_in_of(request: Request) -> SignIn:
    """The board's sign-in."""
    found: SignIn = request.app.state.sign_in
    return found


def _bearer(headers: Headers, settings: BoardSettings) -> str | None:
    """The token of `Authorization: Bearer`. A reverse proxy may pass on tokens of its own, which are not for the
    board."""
    given = headers.get("authorization", "")
    if given[: len(_BEARER)].lower() != _BEARER:
        return None
    token = given[len(_BEARER) :].strip()
    return None if settings.sign_in == "proxy" and not token.startswith(TOKEN_PREFIX) else token


def cookie_of(headers: Headers, name: str) -> str | None:
    """The value of a cookie; None where there are several of the name: one of them may be planted."""
    values = []
    for header in headers.getlist("cookie"):
        values += [cookie_parser(part)[name] for part in header.split(";") if name in cookie_parser(part)]
    return values[0] if len(values) == 1 and values[0] else None
