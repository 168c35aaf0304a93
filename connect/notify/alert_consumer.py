"""Reads a lane's alerts: what concerns its destination is kept, handed to delivery, and only then committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import TopicPartition

from connect.notify.close_ordering import Closing, Turns
from connect.notify.delivery_queue import Delivery
from connect.notify.metrics import Metrics
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore
from connect.notify.page_store_rows import TOPIC, Row, prefix_of, read_key, read_message
from connect.notify.routing.rules import Routing
from connect.notify.triggers import PageTrigger, trigger_of
from streams.runtime.processor import RetryLater
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import CONFLUENT, Codec
from streams.sla.events import Rejection

#: Messages that wait in memory, about; the rest waits in Kafka.
MOST_PENDING = 1_000
_MOST_RECORDS = 500
_POLL_MS = 250
_MEASURE_S = 2.0
#: What is on its way may end when partitions move.
FAREWELL_S = 5.0


class Reader(ConsumerRebalanceListener):  # type: ignore[misc]
    """One membership of a lane's consumer group. `ready` is called each time that its partitions are there."""

    def __init__(
        self,
        name: str,
        routing: Routing,
        kafka: PageStore,
        delivery: Delivery,
        metrics: Metrics,
        ready: Callable[[], None],
        codec: Codec,
        *,
        earliest: bool,
    ) -> None:
        self._name = name
        self._codec = codec
        self._routing = routing
        self._kafka = kafka
        self._delivery = delivery
        self._metrics = metrics
        self._ready = ready
        self._earliest = earliest
        self._moves = 0
        self._loaded = asyncio.Event()
        self._turn = asyncio.Lock()
        self._broken: Exception | None = None
        self._measured_at = 0.0
        self._turns: dict[int, Turns] = defaultdict(Turns)
        self._log = structlog.get_logger("connect.notify").bind(destination=name)

    async def read(self) -> None:
        """Until it is cancelled. Raises what Kafka's clients raise."""
        while True:
            await self._loaded.wait()
            if self._broken is not None:
                raise self._broken
            self._pace()
            await self._measure()
            room = MOST_PENDING - self._delivery.pending
            most = min(max(room, 1), _MOST_RECORDS)
            fetched = await self._kafka.consumer.getmany(timeout_ms=_POLL_MS, max_records=most)
            moves = self._moves
            await self._schemas_of(fetched)
            await self._loaded.wait()
            async with self._turn:
                if moves == self._moves:  # else partitions have moved, and these come again to whom they belong to
                    await self._apply(fetched)

    # -- partitions come and go ----------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Before others may get them: nothing of them is on its way any more."""
        async with self._turn:
            self._moves += 1
            self._loaded.clear()
            await self._delivery.forget(FAREWELL_S)
            self._turns.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """What was kept of them is read back."""
        self._moves += 1
        try:
            async with self._turn:
                await self._load(list(assigned))
        except Exception as error:  # aiokafka would only log it
            self._broken = error
        except asyncio.CancelledError:
            self._broken = ConnectionError("a client of Kafka gave up")
            raise
        finally:
            self._loaded.set()

    async def _load(self, assigned: Sequence[TopicPartition]) -> None:
        rows = self._kafka.topic(TOPIC)
        await self._kafka.begin_new([each for each in assigned if each.topic != rows], earliest=self._earliest)
        kept = await self._kafka.kept([each.partition for each in assigned if each.topic == rows], self._name)
        others: dict[str, int] = defaultdict(int)
        for partition, (found, end) in kept.items():
            self._kafka.consumer.seek(TopicPartition(rows, partition), end)
            self._delivery.load(partition, found.pages())
            for incident, message in found.retries.values():
                await self._kafka.write(partition, self._delivery.retry(partition, incident, message))
                self._delivery.kept()
            for name, keys in found.others.items():
                others[name] += len(keys)
            if found.unreadable:
                self._metrics.unreadable.labels(self._name).inc(found.unreadable)
                self._log.warning("rows can't be read", topic=rows, partition=partition, count=found.unreadable)
        self._tell_others(others)
        self._delivery.release()
        self._log.info("partitions are here", partitions=sorted(kept), waiting=self._delivery.pending)
        self._ready()

    def _tell_others(self, others: Mapping[str, int]) -> None:
        """What waits for nobody: a destination was taken out of the routing file. One lane says so."""
        for name, count in others.items():
            if count and name not in self._routing.destinations and self._name == min(self._routing.destinations):
                self._log.warning(
                    "pages and messages wait for a destination that the routing file does not name",
                    absent=name,
                    count=count,
                )

    # -- records -------------------------------------------------------------------------------------------------------

    def _pace(self) -> None:
        """Take nothing more while enough waits, and no more closings while some wait their turn."""
        consumer = self._kafka.consumer
        assigned: set[TopicPartition] = consumer.assignment()
        if self._delivery.disabled is not None or self._delivery.pending >= MOST_PENDING:
            wanted = assigned
        else:
            incidents = self._kafka.topic(INCIDENTS)
            wanted = {each for each in assigned if each.topic == incidents and self._turns[each.partition]}
        paused = consumer.paused()
        consumer.pause(*(wanted - paused))
        consumer.resume(*(paused - wanted))

    async def _measure(self) -> None:
        """How far behind the lane is, now and then: while it takes nothing, Kafka tells it nothing by itself."""
        now = asyncio.get_running_loop().time()
        if now - self._measured_at < _MEASURE_S:
            return
        self._measured_at = now
        places = [each for each in self._kafka.consumer.assignment() if each.topic != self._kafka.topic(TOPIC)]
        if not places:
            return
        try:
            ends = await self._kafka.ends(places)
            behind = [max(ends[where] - await self._kafka.consumer.position(where), 0) for where in places]
        except IllegalStateError:  # partitions are moving
            return
        self._metrics.behind.labels(self._name).set(sum(behind))

    async def _apply(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Rows first, then offsets: a crash in between repeats, and skips nothing."""
        done: dict[TopicPartition, int] = {}
        rows: dict[int, list[Row]] = defaultdict(list)
        alerts, incidents = self._kafka.topic(ALERTS), self._kafka.topic(INCIDENTS)

        def close(partition: int, closings: Iterable[Closing]) -> None:
            for closing in closings:
                if closing.notice is not None:
                    rows[partition] += self._delivery.take(partition, closing.notice)
                done[TopicPartition(incidents, partition)] = closing.offset + 1

        for where in sorted(fetched, key=lambda each: each.topic != incidents):  # closings first, to wait their turn
            turns = self._turns[where.partition]
            for record in fetched[where]:
                if where.topic == alerts:
                    close(where.partition, turns.before(record.timestamp))
                    notice = self._notice(record)
                    if notice is not None:
                        rows[where.partition] += self._taken(where.partition, notice)
                    done[where] = record.offset + 1
                elif where.topic == incidents:
                    turns.wait(Closing(record.timestamp, record.offset, self._notice(record)))
                else:
                    rows[where.partition] += self._retried(where.partition, record)
        for partition, turns in self._turns.items():
            if turns:
                where = TopicPartition(alerts, partition)
                if turns.barrier is None:
                    turns.barrier = (await self._kafka.ends([where]))[where]
                close(partition, turns.read_up_to(await self._kafka.consumer.position(where)))
        await asyncio.gather(*(self._kafka.write(partition, changed) for partition, changed in rows.items()))
        self._delivery.kept()
        if done:
            try:
                await self._kafka.consumer.commit(done)
            except (CommitFailedError, IllegalStateError):
                self._log.info("partitions have moved; their new owner gets the latest records again")

    async def _schemas_of(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Wait for what the schema registry has not told yet: outside the turn, as partitions may move meanwhile."""
        values = (record.value for records in fetched.values() for record in records)
        for value in values:
            while value is not None and value[:1] == CONFLUENT:
                try:
                    self._codec.decode(value)
                except RetryLater as awaited:
                    await asyncio.wait([awaited.answered])
                else:
                    break

    def _notice(self, record: Any) -> PageTrigger | None:
        """None when a record asks for nothing. What can't be read is counted and logged, and never stops a lane."""
        try:
            decoded = self._codec.decode(record.value)
            if isinstance(decoded, Rejection):
                self._unreadable(record, f"{decoded.code}: {decoded.message}")
                return None
            found = trigger_of(to_json(*decoded), record.timestamp)
        except Exception as error:  # a row of some agent's state, say
            self._unreadable(record, f"no event: {type(error).__name__}")
            return None
        return None if isinstance(found, str) else found

    def _taken(self, partition: int, notice: PageTrigger) -> list[Row]:
        if notice.action != "trigger":
            return self._delivery.take(partition, notice)
        languages = self._routing.leads_to(notice)
        return self._delivery.take(partition, notice, languages[self._name]) if self._name in languages else []

    def _retried(self, partition: int, record: Any) -> list[Row]:
        """What an operator asks for; rows of the lanes themselves come by here too."""
        if not (record.key or b"").startswith(prefix_of(self._name)) or record.value is None:
            return []
        found = read_key(record.key)
        if found is None or found.kind != "retry":
            return []
        try:
            incident, message = read_message(record.value)
        except (ValueError, KeyError, TypeError):
            self._unreadable(record, "no message")
            return []
        return self._delivery.retry(partition, incident, message)

    def _unreadable(self, record: Any, why: str) -> None:
        self._metrics.unreadable.labels(self._name).inc()
        where = f"{record.topic}/{record.partition}/{record.offset}"
        self._log.warning("a record can't be read and is passed over", where=where, reason=why[:200])
