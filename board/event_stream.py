"""Server-sent events for one connection: changes as they come, a comment as a heartbeat when there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

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


class EventStream(StreamingResponse):
    """The answer of an event stream. Its connection is counted by `changes` until it ends."""

    media_type = "text/event-stream"


def event_stream(
    changes: Changes,
    after: int | None,
    encode: Callable[[Change], str],
    *,
    narrow: Callable[[Change], Change | None] | None = None,
    still_allowed: Callable[[], bool] = lambda: True,
    heartbeat: Callable[[], str] = lambda: ": no change",
    heartbeat_s: float | None = None,
) -> EventStream:
    """The changes after position `after` (None: from now on) as events; `encode` gives the lines `event:` and `data:`.

    The id of an event is its position: a browser that reconnects sends it as Last-Event-ID. What `heartbeat` gives is
    sent after `heartbeat_s` (default: HEARTBEAT_S) without changes. `narrow` gives what of a change the reader may see,
    None where that is nothing; without it, everything. The stream ends when `still_allowed` does not hold any more. A
    thread calls both, as they may read the database. Raises ApiError when there are too many streams.
    """
    if changes.subscribers >= MOST_STREAMS:
        raise ApiError(503, f"{MOST_STREAMS} event streams are open, the limit; close some and try again")
    return EventStream(_events(changes, after, encode, narrow, still_allowed, heartbeat, heartbeat_s or HEARTBEAT_S))


async def _events(
    changes: Changes,
    after: int | None,
    encode: Callable[[Change], str],
    narrow: Callable[[Change], Change | None] | None,
    still_allowed: Callable[[], bool],
    heartbeat: Callable[[], str],
    heartbeat_s: float,
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    checked = sent = loop.time()
    with changes.subscribe(after) as subscription:
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
