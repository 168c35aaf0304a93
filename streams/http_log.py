"""What aiohttp's server logs, as events of this product: at most one a minute of each kind of malformed request."""

from __future__ import annotations

import asyncio
import logging
import re

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streams.http_connections import HttpMetrics
from streams.log_damper import LogDamper

_LOG_EVERY_S = 60.0
_MAX_LOGGED_CHARACTERS = 200
#: The part of a request that a reason quotes, to its end: it may hold a token, in a header or in the address.
_QUOTED_REQUEST = re.compile(r"[\s:]*\b(?:bytearray\()?b['\"].*", re.DOTALL)
#: Where the address is quoted as a text. Senders that can set no header have their token in it.
_ADDRESS_TOKEN = re.compile(r"(?i)(\btoken(?:=|%3d))[^&#\s'\"]+")


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The logger of an HTTP server. Everybody may send malformed requests, so these leave no traceback."""

    def __init__(self, measured: HttpMetrics) -> None:
        super().__init__(logging.getLogger("streams.http"))
        self._metrics = measured
        self._damper = LogDamper(_LOG_EVERY_S)
        self._entries = structlog.get_logger("streams.http")

    def exception(self, msg: object, *args: object, **kwargs: object) -> None:
        """A request could not be read, or the code that answers it failed."""
        error = kwargs.get("exc_info")
        if isinstance(error, ConnectionError):
            self._entries.debug("http_client_left", reason=repr(error))
            return
        if not isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._entries.error("http_request_failed", what=str(msg) % args, exc_info=error or True)
            return
        self._metrics.malformed.inc()
        kind = type(error).__name__
        left_out = self._damper.admit(kind, asyncio.get_running_loop().time())
        if left_out is not None:
            unquoted = _QUOTED_REQUEST.sub("", getattr(error, "message", str(error)))
            given = " ".join(unquoted.split())
            reason = _ADDRESS_TOKEN.sub(r"\1…", given)[:_MAX_LOGGED_CHARACTERS]
            self._entries.warning("http_request_malformed", kind=kind, reason=reason, left_out=left_out)
