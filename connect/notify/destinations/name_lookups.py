"""Resolves the host name of a destination in threads of its own.

The event loop has few threads for that, which Kafka's clients use too: a handful of destinations whose name servers
give no answer would keep all others from connecting.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from aiohttp.resolver import ThreadedResolver

#: A second one, while a lookup that nobody waits for any more has not ended.
_THREADS = 2


class _Lookups:
    """What a resolver needs of a loop."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="name-lookup")

    async def getaddrinfo(self, *args: object, **kwargs: object) -> Any:
        return await self._run(partial(cast(Any, socket.getaddrinfo), *args, **kwargs))

    async def getnameinfo(self, *args: object) -> Any:
        return await self._run(partial(cast(Any, socket.getnameinfo), *args))

    async def _run(self, look_up: partial[Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, look_up)


class NameLookups(ThreadedResolver):
    """Of one destination."""

    def __init__(self) -> None:
        self._lookups = _Lookups()
        super().__init__(cast(asyncio.AbstractEventLoop, self._lookups))

    async def close(self) -> None:
        self._lookups.threads.shutdown(wait=False, cancel_futures=True)
        await super().close()
