"""Tells people what became of their actions, where the answer to the request can't: Slack shows no answer's text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import structlog

from connect.intake.byte_budget import ByteBudget
from connect.intake.formats.registry import format_of
from connect.intake.mapping.rules import Source
from connect.intake.outcome import Reply, RequestOutcome
from connect.intake.translate import Translation
from connect.intake.web.body_threads import BodyThreads
from connect.intake.web.parsed_memory import parsed_size
from connect.intake.web.responses import RequestRejected, retry_after
from streams.log_damper import CrashLog
from streams.sla.instants import SECOND

#: Replies on their way; further ones are dropped, and the person sees no confirmation.
_MAX_POSTS = 50
#: What the bodies that they are about may take, parsed; 50 of what Slack sends take less.
_MAX_BYTES = 32 * 1024 * 1024
#: A larger body is no interaction of Slack, which shows at most 50 blocks of 3,000 characters: nobody waits for it.
_LARGEST_BODY = 1024 * 1024
_TIMEOUT_S = 5.0

#: Posts a reply; the status of its answer. Raises OSError, TimeoutError, aiohttp.ClientError.
Post = Callable[[Reply], Awaitable[int]]


async def post_reply(reply: Reply) -> int:
    """Post over a connection of its own: no redirects, no proxies, no cookies."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "sla-intake"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
        session.post(reply.url, data=reply.body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


class Requested:
    """One request: what it was translated to, once Kafka has it."""

    translation: Translation | None = None


class Replies:
    """Sends replies in the background. Nothing waits for them, and none is repeated."""

    def __init__(self, post: Post, retry_after_s: int, threads: BodyThreads) -> None:
        self._post = post
        self._threads = threads
        self._retry_after_s = retry_after_s
        self._posts: set[asyncio.Task[None]] = set()
        self.budget = ByteBudget(_MAX_BYTES)
        """About how much memory the bodies take that replies are about."""
        self._log = structlog.get_logger("connect.intake")
        self._crashes = CrashLog(self._log, "reply_failed")

    @asynccontextmanager
    async def about(self, source: Source, content: bytes) -> AsyncIterator[Requested]:
        """A block that publishes a request of a source. It ends in time for the sender: RequestRejected 503 is raised
        where the format needs an answer earlier. Then what became of the request is posted, where the format says."""
        requested, limit = Requested(), format_of(source).answer_within
        try:
            async with asyncio.timeout(None if limit is None else limit / SECOND):
                yield requested
        except TimeoutError:
            self._reply(source, content, RequestOutcome(unavailable=True))
            reason = f"Kafka has not acknowledged within {(limit or 0) / SECOND:g} s; the events may still be stored"
            raise retry_after(503, reason, self._retry_after_s) from None
        except RequestRejected as rejected:
            if rejected.status == 503:
                self._reply(source, content, RequestOutcome(unavailable=True))
            raise
        if requested.translation is not None:
            self._reply(source, content, _outcome_of(requested.translation))

    def _reply(self, source: Source, content: bytes, outcome: RequestOutcome) -> None:
        if format_of(source).reply is None:
            return
        # The bound on the body comes first: measuring a large one here would let requests wait.
        size = parsed_size(content) if len(content) <= _LARGEST_BODY else _MAX_BYTES + 1
        if len(self._posts) >= _MAX_POSTS or not self.budget.reserve(size):
            self._log.warning(
                "reply_dropped", source=source.name, on_their_way=len(self._posts), body_bytes=len(content)
            )
            return
        task = asyncio.create_task(self._send(source, content, outcome))
        self._posts.add(task)

        def done(ended: asyncio.Task[None]) -> None:
            self._posts.discard(ended)
            self.budget.release(size)

        task.add_done_callback(done)

    async def _send(self, source: Source, content: bytes, outcome: RequestOutcome) -> None:
        try:
            reply = await self._threads.run(len(content), partial(_reply_to, source, content, outcome))
        except Exception as error:  # a defect: the events are published, so the answer must not fail
            self._crashes.caught(error, source=source.name)
            return
        if reply is None:
            return
        try:
            status = await self._post(reply)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._log.warning("reply_not_delivered", source=source.name, error=type(error).__name__)
            return
        if not 200 <= status < 300:
            self._log.warning("reply_not_delivered", source=source.name, status=status)

    async def close(self) -> None:
        """Wait for the replies on their way, which takes a few seconds at most."""
        await asyncio.gather(*self._posts)


def _reply_to(source: Source, content: bytes, outcome: RequestOutcome) -> Reply | None:
    form = format_of(source)
    return None if form.reply is None else form.reply(form.parse(content), source, outcome)


def _outcome_of(translation: Translation) -> RequestOutcome:
    problems = [each.reason for each in translation.ignored] + [each.reason for each in translation.rejected]
    return RequestOutcome(tuple((each.event_type, each.subject) for each in translation.events), tuple(problems))
