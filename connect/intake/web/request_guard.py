"""Authenticates requests: tokens before a body is read, signatures over the body that was read."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from connect.intake import signatures
from connect.intake.formats.registry import format_of, signature_header_of
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping.rules import Source
from connect.intake.signatures import Secrets
from connect.intake.web.responses import unauthorized
from streams.time_source import PresentTime


class RequestGuard:
    """Identifies the sender of a request. Each format's own module defines how its senders authenticate."""

    def __init__(self, secrets: Secrets, clock: PresentTime) -> None:
        self._secrets = secrets
        self._clock = clock

    def caller(self, request: web.Request, sources: Iterable[Source]) -> Source:
        """The source whose token the request carries. Raises RequestRejected 401. Every token is compared."""
        by_name = {source.name: source for source in sources}
        found = signatures.bearers(self._secrets, by_name, request.headers.get("Authorization"))
        if not found:
            raise unauthorized("the token is missing or unknown; send `Authorization: Bearer TOKEN`")
        return by_name[found[0]]

    def check_headers(self, request: web.Request, source: Source) -> None:
        """What can be checked before the body is read. Raises RequestRejected 401."""
        header = signature_header_of(source)
        if header is None:
            self.check(request, source, b"")
        elif header not in request.headers:
            raise unauthorized(f"{header} is missing; set the webhook's signing secret")

    def check(self, request: web.Request, source: Source, content: bytes) -> None:
        """Raises RequestRejected 401 unless the request proves that the source sent it."""
        credentials = Credentials(
            request.headers,
            content,
            self._secrets[source.name],
            self._clock.now(),
            source.replay_window,
            request.query.get("token"),
            source.authentication,
            request.remote,
        )
        try:
            format_of(source).authenticate(credentials)
        except AuthenticationError as error:
            raise unauthorized(str(error)) from None
