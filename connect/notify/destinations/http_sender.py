"""One try: a POST request, bounded in time and size, and what its answer means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
import structlog

from connect.notify.destinations.payloads import Secrets, plain, prepare
from connect.notify.destinations.ssrf_guard import PrivateAddress, guarded_socket
from connect.notify.page import Message
from connect.notify.routing.rules import Destination, Kind
from streams.sla.instants import SECOND, to_micros
from streams.time_source import TimeSource

_LARGEST_ANSWER = 4096
_SHOWN = 200
_RETRIED = frozenset({408, 425, 429})
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It may or may not have it; to be tried again. `asked`: what Retry-After says, in microseconds. `refusing`: it
    answers, but has had too much."""

    reason: str
    asked: int | None = None
    refusing: bool = False


@dataclass(frozen=True, slots=True)
class Final:
    """It will never take this message; `gone`: nor any other."""

    reason: str
    gone: bool = False


Outcome = Delivered | Failed | Final


class Sender(Protocol):
    """What a lane delivers by."""

    async def send(self, incident: str, message: Message) -> Outcome:
        """Try once."""
        ...

    async def close(self) -> None:
        """No more tries."""
        ...


def judge(kind: Kind, status: int, retry_after: str | None, answer: str, now: int) -> Outcome:
    """What an answer means. `answer` is the beginning of its body, without secrets."""
    if 200 <= status < 300:
        return Delivered()
    told = f"HTTP {status}: {plain(answer, _SHOWN)}" if answer.strip() else f"HTTP {status}"
    if status == 410 and kind == "webhook":
        return Final(told, gone=True)
    if 400 <= status < 500 and status not in _RETRIED:
        return Final(told)
    asked = None if retry_after is None else _asked(retry_after.strip(), now)
    return Failed(told, asked, refusing=status == 429)


def _asked(retry_after: str, now: int) -> int | None:
    """Microseconds of Retry-After, seconds or a date (RFC 9110, 10.2.3); None for anything else."""
    if _SECONDS.fullmatch(retry_after):
        return int(retry_after) * SECOND
    try:
        moment = parsedate_to_datetime(retry_after)
        return max(to_micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now, 0)
    except (ValueError, TypeError, OverflowError):
        return None


class HttpSender:
    """Sends to one destination over connections of its own: no redirects, no proxies, no cookies."""

    def __init__(self, destination: Destination, secrets: Secrets, clock: TimeSource) -> None:
        self._destination = destination
        self._secrets = secrets
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._log = structlog.get_logger("connect.notify")

    async def send(self, incident: str, message: Message) -> Outcome:
        try:
            prepared = prepare(self._destination, self._secrets, incident, message, self._clock.now())
            async with self._connection().post(
                prepared.url, data=prepared.body, headers=prepared.headers, allow_redirects=False
            ) as response:
                accepted = 200 <= response.status < 300  # then the body, which may never end, says nothing
                answer = b"" if accepted else await _beginning(response)
                text = self._secrets.hide(answer.decode(errors="replace"))
                retry_after = response.headers.get("Retry-After")
                return judge(self._destination.kind, response.status, retry_after, text, self._clock.now())
        except TimeoutError:
            return Failed(f"no answer within {self._destination.timeout / SECOND:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Failed(_trouble(error))
        except Exception as error:  # what makes the code fail is kept in the parked list, and the lane goes on
            self._log.error("a message can't be sent", destination=self._destination.name, error=type(error).__name__)
            return Final(f"the code failed: {type(error).__name__}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            guard = None if self._destination.allow_private else guarded_socket
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=guard, ttl_dns_cache=30),
                timeout=aiohttp.ClientTimeout(total=self._destination.timeout / SECOND),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body; the connection is given up where there are more."""
    found = b""
    while len(found) < _LARGEST_ANSWER:
        chunk = await response.content.read(_LARGEST_ANSWER - len(found))
        if not chunk:
            return found
        found += chunk
    response.close()
    return found


def _trouble(error: Exception) -> str:
    """What went wrong, without addresses, which may be secrets."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddress):
            return str(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.InvalidURL):
        return "its address can't be used"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its TLS certificate is not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({type(error.os_error).__name__})"
    return f"the connection broke ({type(error).__name__})"
