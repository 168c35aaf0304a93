"""Server-sent events for one connection: changes as they come, a comment as a heartbeat when there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from board.access.identity import identity_of
from board.api.problems import ApiError
from board.changes import Change, Changes

#: A comment is sent after this long without changes, so that proxies and browsers keep the connection.
HEARTBEAT_S = 15.0
#: Between two events of a connection, at least: changes within it come as one.
_GAP_S = 0.2
_RECONNECT_MS = 2000
#: An open stream notices within about this time that its session has ended.
CHECK_S = 5.0
MOST_STREAMS = 200
#: Those of one person, or of one address where nobody signs in: nobody takes them from all others.
MOST_OF_ONE = 50


class EventStream(StreamingResponse):
    """The answer of an event stream. Its connection is counted by `changes` until it ends."""

    media_type = "text/event-stream"


def event_stream(
    changes: Changes,
    after: int | None,
    encode: Callable[[Change], str],
    *,
    reader: str = "",
    narrow: Callable[[Change], Change | None] | None = None,
    still_allowed: Callable[[], bool] = lambda: True,
    heartbeat: Callable[[], str] = lambda: ": no change",
    heartbeat_s: float | None = None,
) -> EventStream:
    """The changes after position `after` (None: from now on) as events; `encode` gives the lines `event:` and `data:`.

    The id of an event is its position: a browser that reconnects sends it as Last-Event-ID. What `heartbeat` gives is
    sent after `heartbeat_s` (default: HEARTBEAT_S) without changes. `narrow` gives what of a change the reader may see,
    None where that is nothing; without it, everything. The stream ends when `still_allowed` does not hold any more. A
    thread calls both, as they may read the database. `reader` names whom the stream is counted for (`reader_of`).
    Raises ApiError when there are too many streams.
    """
    if changes.subscribers_of(reader) >= MOST_OF_ONE:
        raise ApiError(503, f"{MOST_OF_ONE} of your event streams are open, the limit; close some and try again")
    if changes.subscribers >= MOST_STREAMS:
        raise ApiError(503, f"{MOST_STREAMS} event streams are open, the limit; close some and try again")
    beat_s = heartbeat_s or HEARTBEAT_S
    return EventStream(_events(changes, after, reader, encode, narrow, still_allowed, heartbeat, beat_s))


def reader_of(request: Request) -> str:
    """Whom a stream is counted for: the person, or the address where nobody has signed in."""
    identity = identity_of(request)
    if identity is not None and identity.person is not None:
        return f"person {identity.person.id}"
    return "" if request.client is None else request.client.host


async def _events(
    changes: Changes,
    after: int | None,
    reader: str,
    encode: Callable[[Change], str],
    narrow: Callable[[Change], Change | None] | None,
    still_allowed: Callable[[], bool],
    heartbeat: Callable[[], str],
    heartbeat_s: float,
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    checked = sent = loop.time()
    with changes.subscribe(after, reader) as subscription:
        yield f"retry: {_RECONNECT_MS}\n\n"
        while not subscription.closed:
            change = await subscription.next(heartbeat_s)
            if loop.time() - checked >= CHECK_S:
                checked = loop.time()
                if not await run_in_threadpool(still_allowed):
                    return
            if change is not None and narrow is not None:
                change = await run_in_threadpool(narrow, change)
                if change is None and loop.time() - sent < heartbeat_s:
                    await asyncio.sleep(_GAP_S)
                    continue
            if change is not None:
                yield f"id: {change.position}\n{encode(change)}\n\n"
                await asyncio.sleep(_GAP_S)
            elif not subscription.closed:
                yield f"{heartbeat()}\n\n"
            sent = loop.time()
