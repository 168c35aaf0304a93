"""Resolves the host name of a destination in threads of its own.

The event loop has few threads for that, which Kafka's clients use too: a handful of destinations whose name servers
give no answer would keep all others from connecting. And the process would wait for them before it ends.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from aiohttp.resolver import ThreadedResolver

#: A second one, while a lookup that nobody waits for any more has not ended.
_THREADS = 2


class _Lookups:
    """What a resolver needs of a loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_THREADS)

    async def getaddrinfo(self, *args: object, **kwargs: object) -> Any:
        return await self._run(partial(cast(Any, socket.getaddrinfo), *args, **kwargs))

    async def getnameinfo(self, *args: object) -> Any:
        return await self._run(partial(cast(Any, socket.getnameinfo), *args))

    async def _run(self, look_up: Callable[[], Any]) -> Any:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()

        def over(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if found.done():  # nobody waits for it any more
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = look_up()
            except Exception as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(over, result, error)

        try:
            threading.Thread(target=work, name="name-lookup", daemon=True).start()
        except RuntimeError as error:  # the process may have no more threads
            self._free.release()
            raise OSError(str(error)) from error
        return await found


class NameLookups(ThreadedResolver):
    """Of one destination."""

    def __init__(self) -> None:
        super().__init__(cast(asyncio.AbstractEventLoop, _Lookups()))
