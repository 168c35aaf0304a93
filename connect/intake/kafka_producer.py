"""The way to Kafka: acknowledged by all replicas or an error in time, in bounded memory, through outages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from connect.intake.kafka_records import REJECTED_TOPIC, Outgoing
from connect.intake.web.limits import Budget
from streams.errors import SlaError
from streams.kafka.partitioner import partition_of
from streams.kafka.rebootstrap import rebootstrap
from streams.kafka.shutdown import end_producer
from streams.serde.confluent_framing import Framing
from streams.serde.input_records import CONTRACT_TOPIC, INCIDENT_TOPIC

_TOPICS = (INCIDENT_TOPIC, CONTRACT_TOPIC, REJECTED_TOPIC)
_LINGER_MS = 2
_BATCH_BYTES = 256 * 1024
_LARGEST_REQUEST = 5 * 1024 * 1024
_LOOK_S = 1.0
_CONNECT_S = 10.0
#: A record that has waited so many timeouts was answered long ago; dropping it makes room. Its sender tries again.
_GIVEN_UP = 4


class Unavailable(SlaError):  # noqa: N818 -- it names what happened
    """Kafka has not acknowledged; the same request is to be sent again later."""


class Publisher(Protocol):
    """What the server needs of Kafka."""

    held: Budget

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Returns when all replicas have every record. Raises Unavailable; some of them may be there then."""
        ...

    def unready(self) -> str | None:
        """Why nothing can be published now, or None."""
        ...


class KafkaPublisher:
    """An idempotent producer that is made anew when it broke. `start` returns at once; `unready` says how it is.

    `make` gives an unstarted producer; `frame` how events are written, it may block and raise SlaError, and is asked
    until it tells. Times in seconds.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        prefix: str,
        limit: int,
        timeout_s: float,
        frame: Callable[[], Framing] = Framing,
    ) -> None:
        self.held = Budget(limit)
        self._make = make
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._frame = frame
        self._framed: Framing | None = None
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._waiting: dict[asyncio.Future[Any], float] = {}
        self._trouble: str | None = "not connected to Kafka yet"
        self._broken = False
        self._keeper: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("connect.intake")

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Let what is under way be acknowledged for a while, then end the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end()
        self._trouble = "stopped"

    def unready(self) -> str | None:
        return self._trouble

    async def publish(self, records: Sequence[Outgoing]) -> None:
        producer = self._producer
        if producer is None:
            raise Unavailable(self._trouble or "not connected to Kafka")
        if not self.held.take(sum(record.size for record in records)):
            raise Unavailable(f"{self.held.taken:,} bytes wait for Kafka already; at most {self.held.limit:,} are held")
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                for record in records:
                    sent.append(await self._send(producer, record))
                await asyncio.wait(sent)
            if any(future.cancelled() for future in sent):
                raise self._failed("the connection to Kafka was made anew")
            for future in sent:
                future.result()
        except TimeoutError:
            raise self._failed(f"Kafka has not acknowledged within {self._timeout_s:g} s") from None
        except MessageSizeTooLargeError as error:
            raise Unavailable(f"Kafka refuses a record of that size: {error}") from error
        except (KafkaError, AssertionError) as error:  # it asserts that it knows a partition
            self._broken = True
            raise self._failed(f"Kafka: {error or type(error).__name__}") from error
        finally:
            self.held.give(sum(record.size for record in records[len(sent) :]))

    async def _send(self, producer: Any, record: Outgoing) -> asyncio.Future[Any]:
        size, framed = record.size, self._framed
        assert framed is not None
        future: asyncio.Future[Any] = await producer.send(
            f"{self._prefix}.{record.topic}",
            value=record.value if record.topic == REJECTED_TOPIC else framed(record.value),
            key=record.key.encode(),
            partition=partition_of(record.key, self._partitions[record.topic]),
            headers=record.headers,
        )
        self._waiting[future] = asyncio.get_running_loop().time()
        future.add_done_callback(lambda done: self._done(done, size))
        return future

    def _done(self, future: asyncio.Future[Any], size: int) -> None:
        """The bytes are held until Kafka has answered, however long ago the request was: so memory is bounded."""
        self._waiting.pop(future, None)
        self.held.give(size)
        if not future.cancelled():
            future.exception()  # whoever waited has it; nobody may

    def _failed(self, reason: str) -> Unavailable:
        if self._trouble is None:
            self._log.warning("Kafka does not acknowledge", reason=reason)
        self._trouble = reason
        return Unavailable(reason)

    async def _keep(self) -> None:
        while True:
            try:
                if self._producer is None:
                    await self._connect()
                elif self._broken or self._stuck():
                    self._log.warning("the connection to Kafka is made anew", reason=self._trouble)
                    await self._end()
                    continue
                elif self._trouble is not None:
                    await self._look(self._producer)
                    self._well()
            except (KafkaError, OSError, TimeoutError, ValueError, SlaError) as error:
                reason = str(error) if isinstance(error, SlaError) else f"Kafka does not answer: {error!r}"
                if reason != self._trouble:
                    self._log.warning("Kafka can't be used", reason=reason)
                self._trouble = reason
            await asyncio.sleep(_LOOK_S)

    async def _connect(self) -> None:
        if self._framed is None:
            self._framed = await asyncio.to_thread(self._frame)
        producer = self._make()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await producer.start()
            await self._look(producer)
        except BaseException:
            await end_producer(producer)
            raise
        self._producer, self._broken = producer, False
        self._well()

    async def _look(self, producer: Any) -> None:
        """Whether Kafka answers and has the topics; how many partitions they have. It makes no topic."""
        async with asyncio.timeout(_CONNECT_S):
            metadata = await producer.client.fetch_all_metadata()
        found = {name: len(metadata.partitions_for_topic(f"{self._prefix}.{name}") or ()) for name in _TOPICS}
        if absent := [name for name, count in found.items() if not count]:
            raise SlaError(f"there is no topic {self._prefix}.{absent[0]}; `sla topics apply` creates the topics")
        self._partitions = found

    def _well(self) -> None:
        if self._trouble is not None:
            self._log.info("Kafka can be used", topics=self._prefix)
        self._trouble = None

    def _stuck(self) -> bool:
        oldest = min(self._waiting.values(), default=None)
        return oldest is not None and asyncio.get_running_loop().time() - oldest > _GIVEN_UP * self._timeout_s

    async def _end(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await end_producer(producer)
        for future in list(self._waiting):
            future.cancel()
        self._waiting.clear()


def kafka_producer(bootstrap: Sequence[str], security: Mapping[str, object], timeout_s: float) -> Callable[[], Any]:
    """Makes producers for a cluster."""
    rebootstrap()

    def make() -> Any:
        return AIOKafkaProducer(
            bootstrap_servers=list(bootstrap),
            client_id="sla-intake",
            acks="all",
            enable_idempotence=True,
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_REQUEST,
            request_timeout_ms=max(int(timeout_s * 1000), 1000),
            **security,
        )

    return make
