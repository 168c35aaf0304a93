"""Notices that Kafka refuses a worker's heartbeats or its joins, and has the worker try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from streams.kafka.group_errors import GroupLeft
from streams.runtime.errors import GroupStalled
from streams.runtime.lasting_failures import LastingFailures

#: A refused heartbeat is sent again so soon that the session does not end meanwhile.
_LOOK_S: Final = 1.0
_OVER_AFTER_S: Final = 10.0


class GroupWatch:
    """What keeps the worker out of its consumer group."""

    def __init__(self, heartbeat_s: float, seconds: Callable[[], float] = monotonic) -> None:
        # The next heartbeat shows whether a failure goes on.
        over_after_s = max(_OVER_AFTER_S, 3 * heartbeat_s)
        what = "the worker can't stay in its consumer group"
        self._failures = LastingFailures(what, "group_refused", over_after_s, seconds)

    async def keep_looking(self, group_error: Callable[[], Awaitable[BaseException | None]]) -> None:
        """Look at what `streams.kafka.group_errors` says of the worker's consumer. Raises GroupStalled when only a new
        worker can join."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                error = await group_error()
            except GroupLeft as left:
                raise GroupStalled(f"the consumer takes part in no rebalance any more: {left}") from left
            if error is not None:
                self._failures.failed(error)

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        return self._failures.problems()
