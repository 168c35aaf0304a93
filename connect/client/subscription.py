"""Consumes the outputs of the product: committed events only, each id once, committed to Kafka after handling."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from connect.client.errors import BrokerUnavailable, ClientError, UndecodableRecord
from connect.client.opened_in import ProcessOf
from connect.client.received import ReceivedEvent, incident_of
from streams.errors import RegistryUnavailable
from streams.kafka.records import UnreadBatch
from streams.schema_registry.schema_source import backoff
from streams.serde.cloudevents_headers import extensions_of
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Decode, decode
from streams.sla.events import Position, Rejection

_LOG = logging.getLogger(__name__)
_MOVED = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
_POLL_MS = 500
#: Kafka revokes the partitions of a consumer that does not poll for max_poll_interval_ms (5 minutes). With so few
#: records a poll, a handler may take 15 s for each.
_MOST_RECORDS = 20
_COMMIT_EVERY_S = 1.0
_COMMIT_MS = 5_000
SHUTDOWN_MS = 5_000
REMEMBERED = 10_000

#: Outputs about an incident's clocks: each may be published again after it was taken back.
_PUBLISHED_AGAIN = frozenset(["sla.breached", "sla.breach_retracted", "sla.met", "incident.closed"])

OnUndecodable = Callable[[UndecodableRecord], None]


class Consumer(Protocol):
    """The part of kafka.KafkaConsumer that is used."""

    def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> Mapping[Any, list[Any]]: ...
    def commit(self, offsets: Mapping[Any, Any] | None = None, timeout_ms: int | None = None) -> None: ...
    def assignment(self) -> set[Any]: ...
    def close(self, autocommit: bool = True, timeout_ms: int | None = None) -> None: ...


class Subscription:
    """The events of a topic for one consumer group: iterate over it, in a `with` that closes it. One thread at a time.

    An event counts as handled when the loop asks for the next one; its offset is committed then, at most a second
    later, and at the end. **At least once**: after a crash, or when the loop is left by an exception or `break`, what
    was not committed comes again, also the event of that moment. Records that come again within this process are left
    out (the latest 10,000), and so are other records with the id of a credit or statement. What must not be done twice
    by another process either keeps the id where it keeps its effect (examples/billing.py). `stop`, from a signal
    handler or another thread, ends the loop after the current event.

    Raises UndecodableRecord for a record that is no event of this release, unless `on_undecodable` takes it, and
    BrokerUnavailable when Kafka refuses, RegistryRefused when a schema registry does. While neither answers it waits.
    """

    def __init__(
        self,
        consumer: Consumer,
        *,
        on_undecodable: OnUndecodable | None = None,
        decode: Decode = decode,
        remember: int = REMEMBERED,
        states: bool = False,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._on_undecodable = on_undecodable
        self._decode = decode
        self._remember = remember
        self._states = states
        self._seconds = seconds
        self._recent: OrderedDict[tuple[str, str], Position] = OrderedDict()
        """Events by id and subject, each with the position where it was read last."""
        self._handled: dict[Any, int] = {}
        self._committed_at = seconds()
        self._stopped = threading.Event()
        self._closed = False
        self._process = ProcessOf("subscription")

    def stop(self) -> None:
        """End the loop once the current event is handled; without one, within half a second."""
        self._stopped.set()

    def close(self) -> None:
        """Commit what was handled and leave the group. Does nothing in a process that was forked since."""
        if self._closed or self._process.left:
            return
        self._closed = True
        try:
            self._commit(SHUTDOWN_MS)
        except BrokerUnavailable as problem:
            _LOG.warning("%s", problem)
        finally:
            self._consumer.close(autocommit=False, timeout_ms=SHUTDOWN_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[ReceivedEvent]:
        if self._closed:
            raise ClientError("the subscription is closed: it ends with its loop; open another one")
        try:
            while not self._stopped.is_set():
                yield from self._poll_once()
        finally:
            self.close()

    def _poll_once(self) -> Iterator[ReceivedEvent]:
        """The events of one poll. Handled events are committed before the next poll, which may revoke partitions."""
        self._process.check()
        try:
            polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
        except KafkaError as error:
            if not error.retriable:
                raise BrokerUnavailable(f"Kafka refuses to send events: {error or type(error).__name__}") from error
            _LOG.warning("poll_failed: it is tried again: %s", error or type(error).__name__)
            self._stopped.wait(_POLL_MS / 1_000)
            return
        for partition, records in polled.items():
            for record in records:
                try:
                    event = self._event(record)
                except RegistryUnavailable:  # stopped before the registry answered
                    return
                if event is not None:
                    yield event
                    self._recent[event.id, event.subject] = event.position
                    self._recent.move_to_end((event.id, event.subject))
                    if len(self._recent) > self._remember:
                        self._recent.popitem(last=False)
                self._handled[partition] = record.offset + 1
                overdue = self._seconds() - self._committed_at >= _COMMIT_EVERY_S
                if (overdue and not self._commit(_COMMIT_MS)) or self._stopped.is_set():
                    return
        self._commit(_COMMIT_MS)

    def _event(self, record: Any) -> ReceivedEvent | None:
        """The event of a record; None for one to skip."""
        position = Position(record.topic, record.partition, record.offset)
        if record.value is None and self._states and (incident := incident_of(record.key)) is not None:
            deletion = ReceivedEvent.deletion(incident, record.timestamp, position)
            return None if self._known(deletion) else deletion
        decoded = self._decoded(record.value)
        if isinstance(decoded, Rejection):
            problem = UndecodableRecord(position, decoded, record.value)
            if self._on_undecodable is None:
                raise problem
            self._on_undecodable(problem)
            return None
        event = ReceivedEvent(to_json(*decoded) | extensions_of(record.headers), position)
        return None if self._known(event) else event

    def _known(self, event: ReceivedEvent) -> bool:
        """Whether it was handled. What late evidence has taken back of an incident and later evidence brings back is
        published again, with the same id (R3): only its position tells it from a record that comes again."""
        last = self._recent.get((event.id, event.subject))
        if self._states:  # absolute: what comes again does no harm, and an incident's id may be used anew
            return last == event.position  # a handler slower than max_poll_interval_ms would get it for ever
        if last is None or event.type not in _PUBLISHED_AGAIN:
            return last is not None
        return last[:2] == event.position[:2] and event.position.offset <= last.offset

    def _decoded(self, value: bytes | None) -> tuple[str, dict[str, object]] | Rejection:
        """Waits for the schema registry; raises RegistryUnavailable only when it is stopped meanwhile."""
        if isinstance(value, UnreadBatch):
            return Rejection(value.code, value.message)
        for wait_s in backoff():
            try:
                return self._decode(value, len(value or b""))
            except RegistryUnavailable as problem:
                _LOG.warning("schema_registry_unavailable: an event waits: %s", problem)
                if self._stopped.wait(wait_s):
                    raise
        raise AssertionError("backoff() never ends")

    def _commit(self, timeout_ms: int) -> bool:
        """Commit what was handled; False when the partitions were revoked, so that the rest of the poll is not ours."""
        ours = self._consumer.assignment() if self._handled else set()
        offsets = {where: OffsetAndMetadata(offset, "", -1) for where, offset in self._handled.items() if where in ours}
        self._committed_at = self._seconds()
        try:
            if offsets:
                self._consumer.commit(offsets, timeout_ms=timeout_ms)
        except _MOVED as error:
            _LOG.warning("commit_skipped: partitions were revoked, their new owner reads the events again: %s", error)
            self._handled.clear()
            return False
        except KafkaError as error:
            if not error.retriable:
                reason = error or type(error).__name__
                message = f"Kafka refuses the commit: {reason}; handled events will be read again"
                raise BrokerUnavailable(message) from error
            _LOG.warning("commit_postponed: %s", error or type(error).__name__)
            return True
        self._handled.clear()
        return True
