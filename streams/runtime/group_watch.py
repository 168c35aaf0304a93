"""Notices that Kafka refuses a worker's heartbeats or its joins, and has the worker try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import structlog

from streams.kafka.causes import cause_of
from streams.kafka.group_errors import GroupLeft
from streams.log_damper import LogDamper
from streams.runtime.errors import GroupStalled
from streams.runtime.lasting_failures import LastingFailures

#: A refused heartbeat is sent again so soon that the session does not end meanwhile.
_LOOK_S: Final = 1.0
_OVER_AFTER_S: Final = 10.0
_LOG_EVERY_S: Final = 60.0


class GroupWatch:
    """What keeps the worker out of its consumer group."""

    def __init__(self, heartbeat_s: float, seconds: Callable[[], float] = monotonic) -> None:
        # The next heartbeat shows whether a failure goes on.
        over_after_s = max(_OVER_AFTER_S, 3 * heartbeat_s)
        self._seconds = seconds
        self._damper = LogDamper(_LOG_EVERY_S)
        self._failures = LastingFailures("the worker can't stay in its consumer group", over_after_s, seconds)
        self._logger = structlog.get_logger(__name__)

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
                self._report(error)
                self._failures.failed(error)

    def _report(self, error: BaseException) -> None:
        left_out = self._damper.admit(type(error).__name__, self._seconds())
        if left_out is not None:
            self._logger.warning("group_refused", error=repr(error), reason=cause_of(error).text, left_out=left_out)

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready."""
        return self._failures.problems()
