"""Decodes the records that a destination worker reads: alerts, closings, requests to retry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import structlog

from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import UNREADABLE, prefix_of, read_key, read_message
from connect.notify.read_records import InShort, ReadRecords
from connect.notify.triggers import PageTrigger, page_trigger
from streams.runtime.processor import RetryLater
from streams.serde.cloudevents_headers import extensions_of
from streams.serde.cloudevents_json import format_line, to_json
from streams.serde.codec import CONFLUENT, Codec
from streams.sla.events import Rejection

#: What a topic of outputs holds at most: a closing lists every clock of its incident.
LARGEST_RECORD = 5 * 1024 * 1024
#: What is stored of an event, as JSON in bytes: far more than any event of the workers has, and so little that a row
#: with it can be written. A closing's list of clocks is cut where it is stored, and does not count.
LARGEST_EVENT = 2 * 1024 * 1024
_LONGEST_INCIDENT_ID = 1024
#: JSON may have six bytes for one.
_NEVER_TOO_LARGE = LARGEST_EVENT // 8
#: Records that are decoded, or passed over, without a pause for other tasks of the loop.
_AT_ONCE, _SKIPPED_AT_ONCE = 20, 1_000
#: The first unreadable records are logged one by one, later ones now and then: all of them are counted.
_LOGGED_ONE_BY_ONE = 20
_LOGGED_EVERY = 1_000


class UnreadEnd(NamedTuple):
    """The end of one page of an incident, or of all of them, which is decoded where there is one."""

    incident: str
    record: Any


#: What a record asks for: an alert or an end, an end that is not decoded, or nothing that concerns the destination.
Read = PageTrigger | UnreadEnd | None


class TriggerReader:
    """Decodes records for one destination, unless `known` ones do not concern it. Unreadable ones are counted, logged
    and skipped."""

    def __init__(
        self, destination: str, codec: Codec, metrics: NotifyMetrics, known: ReadRecords | None = None
    ) -> None:
        self._known = ReadRecords() if known is None else known
        self._destination = destination
        self._codec = codec
        self._metrics = metrics
        self._skipped = 0
        self._log = structlog.get_logger("connect.notify").bind(destination=destination)

    async def read(
        self, records: Iterable[Any], concerns: Callable[[Any, InShort], bool] = lambda *_: True
    ) -> list[Read]:
        """What records ask for; of alerts those that `concerns` says so of. Other tasks run meanwhile: with many
        destinations the heartbeats to Kafka wait for them all."""
        found, decoded = list[Read](), 0
        for number, record in enumerate(records, 1):
            short = self._known.in_short(record)
            if short is None or (short.action == "trigger" and concerns(record, short)):
                found.append(self.trigger(record))
                decoded += 1
            elif short.action is None or short.action == "trigger":
                found.append(None)
            elif record.value[:1] == CONFLUENT:  # its schema is known now
                found.append(self.trigger(record))
                decoded += 1
            else:
                found.append(UnreadEnd(short.incident, record))
            if decoded >= _AT_ONCE or number % _SKIPPED_AT_ONCE == 0:
                decoded = 0
                await asyncio.sleep(0)
        return found

    async def await_schemas(self, records: Iterable[Any]) -> None:
        """Wait until the schema registry has answered for every schema that these records need."""
        for record in records:
            value = None if self._known.in_short(record) is not None else record.value
            while value is not None and value[:1] == CONFLUENT:
                try:
                    self._codec.decode(value, LARGEST_RECORD)
                except RetryLater as awaited:
                    await asyncio.wait([awaited.answered])
                else:
                    break

    def trigger(self, record: Any) -> PageTrigger | None:
        """What a record of alerts or incidents asks for; None where it asks for nothing."""
        if (known := self._known.whole(record)) is not None:
            return known[0]
        try:
            decoded = self._codec.decode(record.value, LARGEST_RECORD)
            if isinstance(decoded, Rejection):
                self._skip(record, f"{decoded.code}: {decoded.message}")
                return None
            event = to_json(*decoded) | extensions_of(record.headers)
            if len(record.value) > _NEVER_TOO_LARGE and (why := _too_large(event)) is not None:
                self._skip(record, why)
                return None
            found = page_trigger(event, record.timestamp)
        except Exception as error:  # such as a row of an agent's state
            self._skip(record, f"no event: {type(error).__name__}")
            return None
        trigger = None if isinstance(found, str) else found
        self._known.put(record, trigger)
        return trigger

    def retry_request(self, record: Any) -> tuple[str, Message] | None:
        """The incident and the message that an operator asks to retry; None for the workers' own rows."""
        if not (record.key or b"").startswith(prefix_of(self._destination)) or record.value is None:
            return None
        found = read_key(record.key)
        if found is None or found.kind != "retry":
            return None
        try:
            return read_message(record.value)
        except UNREADABLE:
            self._skip(record, "no message")
            return None

    def _skip(self, record: Any, why: str) -> None:
        self._metrics.unreadable.labels(self._destination).inc()
        self._skipped += 1
        if self._skipped > _LOGGED_ONE_BY_ONE and self._skipped % _LOGGED_EVERY:
            return
        where = f"{record.topic}/{record.partition}/{record.offset}"
        self._log.warning("record_unreadable", where=where, reason=why[:200], skipped=self._skipped)


def _too_large(event: Mapping[str, Any]) -> str | None:
    """Why the rows about an event could not be written, or None."""
    if (length := len(event["subject"])) > _LONGEST_INCIDENT_ID:
        return f"its incident's id has {length:,} characters; at most {_LONGEST_INCIDENT_ID:,} are allowed"
    data = {name: value for name, value in event["data"].items() if name != "clocks"}
    size = len(format_line({**event, "data": data}).encode())
    return f"it has {size:,} bytes; at most {LARGEST_EVENT:,} are allowed" if size > LARGEST_EVENT else None
