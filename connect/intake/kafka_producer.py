"""Publishes records: acknowledged by all replicas or an error in time, in bounded memory, through outages of Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import (
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    PolicyViolationError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from connect.intake.byte_budget import ByteBudget, FairShares
from connect.intake.kafka_records import REJECTED_TOPIC, OutgoingRecord
from connect.intake.kafka_time import KafkaTime
from connect.intake.record_publisher import Unavailable
from streams.errors import SlaError
from streams.kafka import aiokafka_clients
from streams.kafka.cancellation import CLIENT_ENDED, cancelled_by_us
from streams.kafka.causes import explained_error
from streams.kafka.partitioner import partition_of
from streams.kafka.shutdown import end_producer
from streams.kafka.topic_shape import TopicShape
from streams.log_damper import CrashLog, LogDamper
from streams.serde.confluent_framing import Framing
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS
from streams.time_source import PresentTime, SystemTimeSource

_TOPICS = (INCIDENT_EVENTS, CONTRACT_EVENTS, REJECTED_TOPIC)
#: Topics of events; others carry values that are no events.
_FRAMED = frozenset([INCIDENT_EVENTS, CONTRACT_EVENTS])
_LINGER_MS = 2
_BATCH_BYTES = 256 * 1024
_MAX_REQUEST_BYTES = 5 * 1024 * 1024
_CHECK_INTERVAL_S = 1.0
_CONNECT_TIMEOUT_S = 10.0
_LOG_EVERY_S = 60.0
#: Errors that concern one topic, or a partition of it that no broker leads: the producer stays, and requests with other
#: records are not affected.
_ONE_TOPIC = (
    InvalidTimestampError,  # a topic with the times of writers, and a clock of this machine that is an hour ahead
    InvalidTopicError,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    PolicyViolationError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
#: What has to be done where a record is too large.
_LARGER = "the same request fails until `max.message.bytes` of the topic allows it: make it smaller, or raise that"
#: A record unacknowledged for so many timeouts is dropped to free memory: its request got a 503, its sender retries.
_STUCK_TIMEOUTS = 4
#: Requests of at most this many bytes find room that larger ones leave: a quarter of the whole.
_SMALL_REQUEST = 64 * 1024
_LEFT_SHARE = 4
#: For so long an acknowledgement tells that Kafka answers.
_HEARD_S = 10.0
_APPENDED = 1  # what a timestamp means in an acknowledgement


class KafkaPublisher:
    """An idempotent producer that reconnects when it failed. `start` returns at once; `unready` gives the state.

    `make` gives an unstarted producer. `frame` gives the framing of events; it may block and raise SlaError, and is
    retried until it returns. `topics` is asked for problems. Times are in seconds.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        prefix: str,
        limit: int,
        timeout_s: float,
        frame: Callable[[], Framing] = Framing,
        topics: TopicShape | None = None,
        clock: PresentTime | None = None,
    ) -> None:
        self._clock = clock or SystemTimeSource()
        self._time = KafkaTime(self._clock)
        self._topics = topics
        self.in_flight = ByteBudget(limit)
        self._shares = FairShares(self.in_flight)
        self._make = make
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._frame = frame
        self._framing: Framing | None = None
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._waiting: dict[asyncio.Future[Any], float] = {}
        self._unavailable_reason: str | None = "not connected to Kafka yet"
        self._acknowledged_s = self._failed_s = float("-inf")
        """When Kafka last acknowledged a record, and when it last failed to, by the loop's clock."""
        self._broken = False
        self._damper = LogDamper(_LOG_EVERY_S)
        self._supervisor: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("connect.intake")
        self._crashes = CrashLog(self._log, "kafka_connection_failed")

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """Wait a while for records in flight to be acknowledged, then disconnect."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._disconnect()
        self._unavailable_reason = "stopped"

    def unready(self) -> str | None:
        if self._unavailable_reason is not None or self._topics is None:
            return self._unavailable_reason
        # The broker that was asked may hang while others acknowledge.
        heard = asyncio.get_running_loop().time() - self._acknowledged_s <= _HEARD_S
        return None if heard and not self._topics.answered else self._topics.problem

    def kafka_time(self) -> int | None:
        return self._time.now()

    def clock_ahead(self) -> int | None:
        return self._time.machine_ahead()

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        producer = self._producer
        if producer is None:
            raise Unavailable(self._unavailable_reason or "not connected to Kafka")
        sender = records[0].sender if records else ""
        if not self._reserve(sender, sum(record.size for record in records)):
            raise Unavailable(self._without_room(sender), of_request=True)
        sent: list[asyncio.Future[Any]] = []
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s):
                for record in records:
                    sent.append(await self._send(producer, record))
                await asyncio.wait(sent)
            for future in sent:
                future.result()
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            raise Unavailable("the connection to Kafka was replaced") from None
        except TimeoutError:
            reason = f"Kafka has not acknowledged within {self._timeout_s:g} s"
            if producer is not self._producer or self._acknowledged_s > began_s:
                raise self._slow(records, reason) from None
            raise self._failed(reason) from None
        except MessageSizeTooLargeError as error:
            why = f"Kafka refuses a record of that size: {error}"
            raise Unavailable(why, of_request=True, remedy=_LARGER) from error
        except _ONE_TOPIC as error:
            raise self._refused(records, error) from error
        except (KafkaError, AssertionError) as error:  # aiokafka asserts that it knows a partition
            if producer is not self._producer:  # it was replaced meanwhile
                raise Unavailable(explained_error(error)) from error
            self._broken = True
            raise self._failed(explained_error(error)) from error
        finally:
            self._shares.release(sender, sum(record.size for record in records[len(sent) :]))

    def _reserve(self, sender: str, size: int) -> bool:
        """Reserve memory for a request. Large ones together leave some to the small ones, so that senders of batches
        that wait for Kafka do not keep out a single alert; one alone may take all."""
        budget = self.in_flight
        left = budget.limit // _LEFT_SHARE if size > _SMALL_REQUEST and budget.reserved else 0
        return budget.reserved + size + left <= budget.limit and self._shares.reserve(sender, size)

    def _without_room(self, sender: str) -> str:
        whole, own = self.in_flight, self._shares.used(sender)
        total = f"{whole.reserved:,} bytes wait for Kafka; at most {whole.limit:,} are allowed"
        return f"{total}, and {own:,} are of {sender}: each source gets a share of what is left" if sender else total

    async def _send(self, producer: Any, record: OutgoingRecord) -> asyncio.Future[Any]:
        size, framing = record.size, self._framing
        assert framing is not None
        partition = record.partition
        if partition is None:
            partition = partition_of(record.key, self._partitions[record.topic])
        future: asyncio.Future[Any] = await producer.send(
            f"{self._prefix}.{record.topic}",
            value=framing(record.value or b"") if record.topic in _FRAMED else record.value,
            key=record.key.encode(),
            partition=partition,
            headers=record.headers,
        )
        self._waiting[future] = asyncio.get_running_loop().time()
        place, sent_at = (record.topic, partition), self._clock.now()
        future.add_done_callback(lambda done: self._done(done, record.sender, size, place, sent_at))
        return future

    def _done(self, future: asyncio.Future[Any], sender: str, size: int, place: tuple[str, int], sent_at: int) -> None:
        """Bytes stay reserved until Kafka has responded, even after the request timed out, so memory is bounded."""
        self._waiting.pop(future, None)
        self._shares.release(sender, size)
        # Retrieved here, because nothing may await it any more.
        if future.cancelled() or future.exception() is not None:
            return
        acknowledged = future.result()
        self._acknowledged_s = future.get_loop().time()
        # Topics of events have the time at which Kafka appended a record; others have that of its writer.
        if acknowledged.timestamp_type == _APPENDED:
            self._time.appended(acknowledged.timestamp * 1000, place, sent_at)

    def _refused(self, records: Sequence[OutgoingRecord], error: KafkaError) -> Unavailable:
        topics = sorted({f"{self._prefix}.{record.topic}" for record in records})
        kind = type(error).__name__
        left_out = self._damper.admit((*topics, kind), asyncio.get_running_loop().time())
        if left_out is not None:
            self._log.warning("kafka_topic_refused", topics=topics, error=kind, left_out=left_out)
        return Unavailable(f"Kafka refuses a record of {' or '.join(topics)}: {kind}")

    def _slow(self, records: Sequence[OutgoingRecord], reason: str) -> Unavailable:
        """Kafka acknowledges other records meanwhile: a leader of some partitions hangs. Requests for the others go on,
        so this process stays ready."""
        topics = sorted({f"{self._prefix}.{record.topic}" for record in records})
        left_out = self._damper.admit("slow", asyncio.get_running_loop().time())
        if left_out is not None:
            self._log.warning("kafka_acknowledgement_late", topics=topics, reason=reason, left_out=left_out)
        return Unavailable(reason)

    def _failed(self, reason: str) -> Unavailable:
        self._failed_s = asyncio.get_running_loop().time()
        if self._unavailable_reason is None:
            self._log.warning("kafka_acknowledgement_failed", reason=reason)
        self._unavailable_reason = reason
        return Unavailable(reason)

    async def _supervise(self) -> None:
        while True:
            try:
                if self._producer is None:
                    await self._connect()
                elif self._broken or self._stuck():
                    self._log.warning("kafka_reconnecting", reason=self._unavailable_reason)
                    await self._replace()
                elif self._unavailable_reason is not None:
                    await self._fetch_partitions(self._producer)
                    if not self._unacknowledged():
                        self._log_available()
            except (KafkaError, OSError, TimeoutError, ValueError, SlaError) as error:
                reason = str(error) if isinstance(error, SlaError) else explained_error(error)
                if reason != self._unavailable_reason:
                    self._log.warning("kafka_unavailable", reason=reason)
                self._unavailable_reason = reason
            except asyncio.CancelledError:
                if cancelled_by_us():
                    raise
                self._unavailable_reason, self._broken = CLIENT_ENDED, True
                self._log.warning("kafka_unavailable", reason=self._unavailable_reason)
            except Exception as error:  # a defect: it must not end the attempts
                self._unavailable_reason, self._broken = f"internal error: {type(error).__name__}", True
                self._crashes.caught(error)
            await asyncio.sleep(_CHECK_INTERVAL_S)

    async def _connect(self) -> None:
        if self._framing is None:
            self._framing = await asyncio.to_thread(self._frame)
        producer = self._make()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await producer.start()
            await self._fetch_partitions(producer)
        except BaseException:
            await end_producer(producer)
            raise
        self._producer, self._broken = producer, False
        self._log_available()

    async def _replace(self) -> None:
        """Another producer takes over: requests for partitions that work notice nothing. Where there is none, requests
        fail at once from now on, and those that wait do too."""
        old, waiting = self._producer, list(self._waiting)
        try:
            await self._connect()
        except BaseException:
            await self._disconnect()
            raise
        await end_producer(old)
        for future in waiting:
            future.cancel()  # does nothing where it is done

    async def _fetch_partitions(self, producer: Any) -> None:
        """Read the partition counts of the topics; creates none. Raises SlaError when a topic is missing."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            metadata = await producer.client.fetch_all_metadata()
        found = {name: len(metadata.partitions_for_topic(f"{self._prefix}.{name}") or ()) for name in _TOPICS}
        if absent := [name for name, count in found.items() if not count]:
            raise SlaError(f"there is no topic {self._prefix}.{absent[0]}; `sla topics apply` creates the topics")
        self._partitions = found

    def _log_available(self) -> None:
        if self._unavailable_reason is not None:
            self._log.info("kafka_available", topics=self._prefix)
        self._unavailable_reason = None

    def _unacknowledged(self) -> bool:
        """Whether Kafka has acknowledged nothing since it failed to, though records wait for longer than they may: that
        a broker answers does not say that their leader does."""
        return self._acknowledged_s <= self._failed_s and self._oldest_waits_s() > self._timeout_s

    def _stuck(self) -> bool:
        return self._oldest_waits_s() > _STUCK_TIMEOUTS * self._timeout_s

    def _oldest_waits_s(self) -> float:
        return asyncio.get_running_loop().time() - min(self._waiting.values(), default=float("inf"))

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await end_producer(producer)
        for future in list(self._waiting):
            future.cancel()
        self._waiting.clear()


def kafka_producer(
    bootstrap: Sequence[str], security: Callable[[], Mapping[str, object]], timeout_s: float
) -> Callable[[], Any]:
    """Makes producers for a cluster. `security` is asked for each of them, so a new connection has new credentials."""

    def make() -> Any:
        return aiokafka_clients.idempotent_producer(
            bootstrap,
            security(),
            client_id="sla-intake",
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
            request_timeout_ms=max(int(timeout_s * 1000), 1000),
        )

    return make
