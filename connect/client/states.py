"""The newest state of every incident, followed in the background: what a service looks up while it works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from kafka import TopicPartition
from kafka.errors import KafkaError

from connect.client.consume import open_consumer
from connect.client.errors import BrokerUnavailable, ClientError, UndecodableRecord
from connect.client.opened_in import ProcessOf
from connect.client.received import ReceivedEvent, incident_of
from connect.client.subscription import SHUTDOWN_MS
from streams.errors import SlaError
from streams.schema_registry.client import SchemaRegistry
from streams.schema_registry.schema_source import reading_codec
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Decode
from streams.sla.events import Position, Rejection

_POLL_MS = 200
_MOST_RECORDS = 500
#: How long one request of the registry is retried.
_REGISTRY_S = 30.0

Keep = Callable[[ReceivedEvent], bool]


class StateConsumer(Protocol):
    """The part of kafka.KafkaConsumer that is used."""

    def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> Mapping[Any, list[Any]]: ...
    def end_offsets(self, partitions: list[Any]) -> Mapping[Any, int]: ...
    def position(self, partition: Any) -> int | None: ...
    def close(self, autocommit: bool = True, timeout_ms: int | None = None) -> None: ...


class _Stored(NamedTuple):
    position: Position
    value: bytes


class _Items(ItemsView[str, ReceivedEvent]):
    def __init__(self, states: Mapping[str, ReceivedEvent]) -> None:
        super().__init__(states)
        self._states = states

    def __iter__(self) -> Iterator[tuple[str, ReceivedEvent]]:
        for incident in self._states:
            state = self._states.get(incident)
            if state is not None:
                yield incident, state


class _Values(ValuesView[ReceivedEvent]):
    def __init__(self, states: Mapping[str, ReceivedEvent]) -> None:
        super().__init__(states)
        self._states = states

    def __iter__(self) -> Iterator[ReceivedEvent]:
        return (state for _, state in self._states.items())

    def __contains__(self, value: object) -> bool:
        return any(each == value for each in self)


class IncidentStates(Mapping[str, ReceivedEvent]):
    """The newest state of every incident by its id, read-only, in a `with` that closes it. Thread-safe.

        with IncidentStates("kafka:9092") as states:
            states.wait_until_caught_up(timeout=60)
            state = states.get("inc-43")

    A thread of its own reads the whole topic, without a consumer group, and follows it. States are stored encoded, in
    less than 1 KB for most incidents, and decoded on access. `keep` tells which to store, such as those that are open;
    with more than `limit` of them the view fails. Incidents that the product no longer retains vanish.

    When reading fails, every access raises the reason: BrokerUnavailable, UndecodableRecord, ClientError. While no
    broker answers, the view stays as it is.
    """

    def __init__(
        self,
        brokers: str,
        *,
        prefix: str = "sla",
        keep: Keep | None = None,
        limit: int = 1_000_000,
        kafka: Mapping[str, object] | None = None,
        schema_registry: SchemaRegistry | None = None,
    ) -> None:
        """`brokers` is `host:port,…`; `kafka` goes to kafka.KafkaConsumer. Raises BrokerUnavailable."""
        topic = f"{prefix}.incident-state"
        given = {"group_id": None, "client_id": "sla-states"}
        decode = reading_codec(schema_registry, _REGISTRY_S).decode
        consumer, numbers = open_consumer(brokers, topic, given, kafka or {}, "earliest")
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        self._follow(consumer, partitions, decode, keep, limit)

    def _follow(
        self, consumer: StateConsumer, partitions: list[Any], decode: Decode, keep: Keep | None, limit: int
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._decode = decode
        self._keep = keep
        self._limit = limit
        self._stored: dict[str, _Stored] = {}
        self.records_read = 0
        """How many records of the topic have been read."""
        self._failure: SlaError | None = None
        self._caught_up = False
        self._ended = threading.Event()
        """Everything is read, or nothing more will be."""
        self._stopped = threading.Event()
        self._process = ProcessOf("view of states")
        self._thread = threading.Thread(target=self._run, name="incident-states", daemon=True)
        self._thread.start()

    # -- access ------------------------------------------------------------------------------------------------------

    def wait_until_caught_up(self, timeout: float | None = None) -> None:
        """Wait until everything is read that the topic held when the view was opened. `timeout` in seconds; raises
        TimeoutError after it, and ClientError where the view was closed before."""
        self._process.check()
        done = self._ended.wait(timeout)
        self._check()
        if not done:
            raise TimeoutError(f"the states were not read to their end within {timeout:g} s")
        if not self._caught_up:
            raise ClientError("the view was closed before the states were read to their end: what it has is incomplete")

    def __getitem__(self, incident: str) -> ReceivedEvent:
        self._check()
        stored = self._stored[incident]
        return self._event(stored)

    def __iter__(self) -> Iterator[str]:
        self._check()
        return iter(list(self._stored))

    def items(self) -> ItemsView[str, ReceivedEvent]:
        """The states with their incidents. One that vanishes while they are gone through is left out."""
        return _Items(self)

    def values(self) -> ValuesView[ReceivedEvent]:
        """The states. One that vanishes while they are gone through is left out."""
        return _Values(self)

    def __len__(self) -> int:
        self._check()
        return len(self._stored)

    def __contains__(self, incident: object) -> bool:
        self._check()
        return incident in self._stored

    def close(self) -> None:
        """Stop following; the states read so far can still be looked up."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        self._process.check()
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # else it grows with each access

    # -- following -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            ends: Mapping[Any, int] | None = None
            while not self._stopped.is_set():
                try:
                    if ends is None:
                        ends = self._consumer.end_offsets(self._partitions)
                    self._take(self._consumer.poll(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS))
                    if not self._caught_up and self._reached(ends):
                        self._caught_up = True
                        self._ended.set()
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    time.sleep(_POLL_MS / 1_000)
        except SlaError as error:
            self._failure = error
        except KafkaError as error:
            self._failure = BrokerUnavailable(f"Kafka refuses to send states: {error or type(error).__name__}")
        except Exception as error:
            self._failure = ClientError(f"states can't be followed: {type(error).__name__}: {error}")
        finally:
            self._ended.set()
            self._consumer.close(autocommit=False, timeout_ms=SHUTDOWN_MS)

    def _reached(self, ends: Mapping[Any, int]) -> bool:
        return all((self._consumer.position(where) or 0) >= end for where, end in ends.items())

    def _take(self, polled: Mapping[Any, list[Any]]) -> None:
        for records in polled.values():
            self.records_read += len(records)
            for record in records:
                incident = incident_of(record.key)
                if incident is None:
                    continue
                stored = _Stored(Position(record.topic, record.partition, record.offset), record.value)
                if record.value is None or not self._wanted(stored):
                    self._stored.pop(incident, None)
                    continue
                self._stored[incident] = stored
                if len(self._stored) > self._limit:
                    raise ClientError(
                        f"there are states of more than {self._limit:,} incidents: raise `limit`, or store fewer of "
                        "them with `keep`"
                    )

    def _wanted(self, stored: _Stored) -> bool:
        """What can't be decoded is stored: whoever looks it up is told."""
        if self._keep is None:
            return True
        try:
            event = self._event(stored)
        except UndecodableRecord:
            return True
        return self._keep(event)

    def _event(self, stored: _Stored) -> ReceivedEvent:
        decoded = self._decode(stored.value, len(stored.value))
        if isinstance(decoded, Rejection):
            raise UndecodableRecord(stored.position, decoded, stored.value)
        return ReceivedEvent(to_json(*decoded), stored.position)
