"""Takes requests in: who is it, how much, is it signed; nothing of a body is looked at before that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from connect.intake.mapping.rules import Source
from connect.intake.web import signatures
from connect.intake.web.limits import Budget
from connect.intake.web.responses import RequestRejected, later, unauthorized
from connect.intake.web.signatures import Secrets
from streams.sla.instants import SECOND
from streams.time_source import TimeSource

_ZENDESK_SIGNATURE = "X-Zendesk-Webhook-Signature"
_ZENDESK_TIMESTAMP = "X-Zendesk-Webhook-Signature-Timestamp"
_JIRA_SIGNATURE = "X-Hub-Signature"
_CHUNK_BYTES = 64 * 1024
_RETRY_SOON_S = 1
_UNPROVEN_SHARE = 8


class Reader:
    """Reads bodies within their limits; holds their bytes until the request is over."""

    def __init__(self, max_body: int, budget: Budget, timeout_us: int) -> None:
        self.budget = budget
        self.unproven = Budget(max(budget.limit // _UNPROVEN_SHARE, max_body))
        """For bodies that prove their sender: anyone may begin to send one."""
        self._max_body = max_body
        self._timeout_s = timeout_us / SECOND

    def reserve(self, request: web.Request, budget: Budget) -> int:
        """Room for the body: its length, or the largest when it is not told. Raises Turned 413, 415, 503."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RequestRejected(
                415, "Content-Encoding: send the body as it is; signatures and limits are over its bytes"
            )
        size = self._max_body if request.content_length is None else request.content_length
        if size > self._max_body:
            raise RequestRejected(413, f"the body has {size:,} bytes; at most {self._max_body:,} are allowed")
        if not budget.take(size):
            raise later(503, "too many requests are being read; send it again", _RETRY_SOON_S)
        return size

    async def read(self, request: web.Request) -> bytes:
        """The body. Raises Turned 408, 413."""
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._max_body:
                        raise RequestRejected(
                            413, f"the body has more than {self._max_body:,} bytes", {"Connection": "close"}
                        )
                    chunks.append(chunk)
        except TimeoutError:
            told = f"the body did not arrive within {self._timeout_s:g} s"
            raise RequestRejected(408, told, {"Connection": "close"}) from None
        return b"".join(chunks)


class Guard:
    """Who may send: tokens before a body is read, signatures over it."""

    def __init__(self, secrets: Secrets, clock: TimeSource) -> None:
        self._secrets = secrets
        self._clock = clock

    def caller(self, request: web.Request, sources: Iterable[Source]) -> Source:
        """The source whose token this is. Raises Turned 401. Every token is compared, whichever fits."""
        given = request.headers.get("Authorization")
        found = [source for source in sources if signatures.bearer(self._secrets[source.name], given)]
        if not found:
            raise unauthorized("the token is missing or unknown; send `Authorization: Bearer TOKEN`")
        return found[0]

    def may_be_signed(self, request: web.Request, source: Source) -> None:
        """What can be told before the body is read. Raises Turned 401."""
        if source.format == "jira" and _JIRA_SIGNATURE not in request.headers:
            raise unauthorized(f"{_JIRA_SIGNATURE} is missing; set the webhook's secret")
        if source.format == "zendesk" and _ZENDESK_SIGNATURE not in request.headers:
            raise unauthorized(f"{_ZENDESK_SIGNATURE} is missing; set the webhook's signing secret")

    def signed(self, request: web.Request, source: Source, content: bytes) -> None:
        """Raises Turned 401 unless the body is signed, and lately where the signature has a time."""
        secrets, headers = self._secrets[source.name], request.headers
        if source.format == "jira":
            if not signatures.hub(secrets, headers.get(_JIRA_SIGNATURE), content):
                raise unauthorized(f"{_JIRA_SIGNATURE} is missing or does not fit; set the webhook's secret")
        elif source.format == "zendesk":
            timestamp = headers.get(_ZENDESK_TIMESTAMP)
            if not signatures.zendesk(secrets, headers.get(_ZENDESK_SIGNATURE), timestamp, content):
                raise unauthorized(f"{_ZENDESK_SIGNATURE} is missing or does not fit; set the webhook's signing secret")
            if not signatures.fresh(timestamp or "", self._clock.now(), source.replay_window):
                window = source.replay_window // SECOND
                raise unauthorized(f"{_ZENDESK_TIMESTAMP} is not within {window} s of now; is this clock right?")
