"""One attempt to deliver a message: a POST request, bounded in time and size."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
import structlog
from opentelemetry.trace import Tracer

from connect.notify.delivery_spans import DeliverySpans
from connect.notify.destinations.answers import Failed, Outcome, Undeliverable
from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.destinations.name_lookups import NameLookups
from connect.notify.destinations.ssrf_guard import PrivateAddressError, guarded_socket
from connect.notify.message import Message
from streams.sla.instants import SECOND
from streams.time_source import TimeSource
from streams.tracing.context import HEADER

_LARGEST_ANSWER = 4096
#: The status is known before the body.
_LONGEST_READ_S = 2.0

#: OpenSSL's codes; its texts may name the host, which may be a secret.
_CERTIFICATE_ERRORS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its issuer is not known here",
    20: "its issuer is not known here",
    62: "it is for another name",
    64: "it is for another address",
}


class Sender(Protocol):
    """Delivers messages to one destination."""

    async def send(self, incident: str, message: Message) -> Outcome:
        """Make one attempt."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class HttpSender:
    """Sends to one destination over connections of its own: no redirects, no proxies, no cookies."""

    def __init__(
        self, destination: Destination, secrets: Secrets, clock: TimeSource, tracer: Tracer | None = None
    ) -> None:
        self._spans = DeliverySpans(tracer)
        self._destination = destination
        self._secrets = secrets
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._log = structlog.get_logger("connect.notify")

    async def send(self, incident: str, message: Message) -> Outcome:
        with self._spans.attempt(self._destination, incident, message) as attempt:
            attempt.outcome = await self._send(incident, message, attempt.traceparent)
            return attempt.outcome

    async def _send(self, incident: str, message: Message, traceparent: str | None) -> Outcome:
        kind = self._destination.kind
        try:
            request = kind.prepare(self._destination, self._secrets, incident, message, self._clock.now())
            traced = {} if traceparent is None or not kind.continues_traces else {HEADER: traceparent}
            async with self._connection().post(
                request.url, data=request.body, headers={**request.headers, **traced}, allow_redirects=False
            ) as response:
                accepted = 200 <= response.status < 300
                unread = accepted and not kind.reads_answers  # then the body says nothing, and may never end
                answer = b"" if unread else await _read_start(response)
                text = self._secrets.hide(answer.decode(errors="replace"))
                return kind.judge(response.status, response.headers.get("Retry-After"), text, self._clock.now())
        except TimeoutError:
            return Failed(f"no answer within {self._destination.timeout / SECOND:g} s")
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # of a host name that no name can be
            return Failed(_failure_reason(error))
        except Exception as error:  # a bug: the message is parked, and the others are delivered
            self._log.error("message_not_sendable", destination=self._destination.name, error=type(error).__name__)
            return Undeliverable(f"internal error: {type(error).__name__}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            guard = None if self._destination.allow_private else guarded_socket
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=guard, ttl_dns_cache=30, resolver=NameLookups()),
                timeout=aiohttp.ClientTimeout(total=self._destination.timeout / SECOND),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},  # what an answer says is looked at, and told
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _read_start(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body, as far as they arrive in time; the connection is closed where there are more."""
    found = b""
    try:
        async with asyncio.timeout(_LONGEST_READ_S):
            while len(found) < _LARGEST_ANSWER:
                chunk = await response.content.read(_LARGEST_ANSWER - len(found))
                if not chunk:
                    return found
                found += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the outcome is that of the status
    response.close()
    return found


def _failure_reason(error: Exception) -> str:
    """What went wrong, without the address, which may be a secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return str(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return "its address can't be used"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _refused_certificate(error.certificate_error)
    if isinstance(error, aiohttp.ClientSSLError):
        reason = getattr(error.os_error, "reason", None)
        return f"no TLS connection ({reason or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({type(error.os_error).__name__})"
    return f"the connection broke ({type(error).__name__})"


def _refused_certificate(error: Exception) -> str:
    why = _CERTIFICATE_ERRORS.get(getattr(error, "verify_code", 0))
    return "its TLS certificate is not accepted" + (f": {why}" if why else "")
