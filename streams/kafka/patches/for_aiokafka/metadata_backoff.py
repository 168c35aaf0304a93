"""Spaces out requests for metadata that a client repeats for as long as a partition has no leader, or may not be seen.

aiokafka's fetcher asks again as soon as it has an answer: one such partition costs hundreds of requests a second, of
each consumer, until a broker leads it again. A few in a row are still sent at once, as a start or a change of leaders
needs them. Without the patch brokers and processes are busy with these requests while they have other trouble.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

from aiokafka.client import AIOKafkaClient

_AT_ONCE: Final = 5
_WITHIN_S: Final = 1.0
"""No more than so many updates are forced in so many seconds."""


def _force_metadata_update(self: Any) -> asyncio.Future[Any]:
    """What the replaced method does, later where the last ones were too many."""
    if self._md_update_fut is None:
        self._md_update_fut = self._loop.create_future()
        forced = self.__dict__.setdefault("_sla_forced_updates", deque(maxlen=_AT_ONCE))
        now = self._loop.time()
        at = max(now, forced[0] + _WITHIN_S) if len(forced) == _AT_ONCE else now
        forced.append(at)
        if at > now:
            self._loop.call_at(at, _wake, self._md_update_waiter)
        else:
            _wake(self._md_update_waiter)
    return asyncio.shield(self._md_update_fut)


def _wake(waiter: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):
        waiter.set_result(None)


def apply() -> None:
    """Make every aiokafka client of this process space out its updates. Raises AttributeError where it has other
    parts."""
    _ = AIOKafkaClient._md_synchronizer
    AIOKafkaClient.force_metadata_update = _force_metadata_update
