"""One log line per rejected input, held to a pace: bad input must not slow the stream by what is said about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from streams.runtime.processor import Record
from streams.sla.events import Rejection

EVERY_S = 1.0
_SHOWN_CHARACTERS = 256


class RejectLog:
    """Logs the first reject of each code per second, with how many of that code went unsaid since the line before."""

    def __init__(self, agent: str, partition: int, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = structlog.get_logger("agents.reject_log").bind(agent=agent, partition=partition)
        self._now = now
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def rejected(self, record: Record, rejection: Rejection, about: Mapping[str, str]) -> None:
        """`about` names the incident, tenant or maintenance of the input, where it could be read."""
        code, now = rejection.code, self._now()
        said = self._said.get(code)
        if said is not None and now - said < EVERY_S:
            self._unsaid[code] = self._unsaid.get(code, 0) + 1
            return
        self._said[code] = now
        known: dict[str, object] = {what: name[:_SHOWN_CHARACTERS] for what, name in about.items()}
        unsaid = self._unsaid.pop(code, 0)
        if unsaid:
            known["suppressed"] = unsaid
        self._logger.warning(
            "rejected",
            topic=record.topic,
            input_partition=record.partition,
            offset=record.offset,
            code=code,
            message=rejection.message[:_SHOWN_CHARACTERS],
            **known,
        )


def about(event_type: str, subject: object) -> dict[str, str]:
    """What the subject of an input names, for the log."""
    room = event_type.partition(".")[0]
    return {room if room in {"incident", "maintenance"} else "tenant": str(subject)}
