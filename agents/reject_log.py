"""One log line per rejected input, rate-limited: logging bad input must not slow the stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from streams.runtime.processor import Record
from streams.sla.events import Rejection

EVERY_S = 1.0
_MAX_FIELD_CHARACTERS = 256


class RejectLog:
    """Logs the first reject of each code per second, with how many of that code were suppressed since the last line."""

    def __init__(self, agent: str, partition: int, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = structlog.get_logger("agents.reject_log").bind(agent=agent, partition=partition)
        self._now = now
        self._logged_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def rejected(self, record: Record, rejection: Rejection, about: Mapping[str, str]) -> None:
        """`about` names the incident, tenant or maintenance of the input, where it could be read."""
        code, now = rejection.code, self._now()
        logged_at = self._logged_at.get(code)
        if logged_at is not None and now - logged_at < EVERY_S:
            self._suppressed[code] = self._suppressed.get(code, 0) + 1
            return
        self._logged_at[code] = now
        fields: dict[str, object] = {what: name[:_MAX_FIELD_CHARACTERS] for what, name in about.items()}
        suppressed = self._suppressed.pop(code, 0)
        if suppressed:
            fields["suppressed"] = suppressed
        self._logger.warning(
            "rejected",
            topic=record.topic,
            input_partition=record.partition,
            offset=record.offset,
            code=code,
            message=rejection.message[:_MAX_FIELD_CHARACTERS],
            **fields,
        )


def about(event_type: str, subject: object) -> dict[str, str]:
    """What the subject of an input names, for the log."""
    family = event_type.partition(".")[0]
    return {family if family in {"incident", "maintenance"} else "tenant": str(subject)}
