"""aiokafka's consumer over the fake broker: positions, fetches, questions about offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka import errors as kafka
from aiokafka.structs import OffsetAndTimestamp, TopicPartition

from .assignment import Assignment, Position
from .broker import Broker
from .membership import Membership
from .partition_log import PartitionLog, Record

_RETRY_S = 0.1


class Consumer:
    """AIOKafkaConsumer that commits what it is told to, and starts at the first record."""

    def __init__(
        self,
        broker: Broker,
        group_id: str | None = None,
        isolation_level: str = "read_uncommitted",
        session_timeout_ms: int = 10_000,
        heartbeat_interval_ms: int = 1_000,
        request_timeout_ms: int = 10_000,
        **_: object,
    ) -> None:
        self._broker = broker
        self._committed_only = isolation_level == "read_committed"
        self._request_s = request_timeout_ms / 1_000
        self._assignment: Assignment | None = None
        self._arrived = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None
        self._topics: tuple[str, ...] = ()
        self._member = None if group_id is None else Membership(
            broker, group_id, session_timeout_ms / 1_000, heartbeat_interval_ms / 1_000, self._assigned
        )  # fmt: skip
        # What `streams.kafka` uses of aiokafka's private parts: texts of commits, and what closes a consumer that does
        # not stop in time.
        self._coordinator = SimpleNamespace(
            fetch_committed_offsets=self._member and self._member.committed,
            _stop_heartbeat_task=self._nothing,
            _stop_commit_offsets_refresh_task=self._nothing,
        )
        self._fetcher = self._client = SimpleNamespace(close=self._end)

    async def _nothing(self) -> None: ...

    # -- start and stop ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._broker.net.call("meta", lambda: None, 5.0)
        self._fetching = asyncio.create_task(self._fetch())
        if self._member is not None:
            self._member.start()
            while self._topics and self._assignment is None:
                await asyncio.sleep(0.02)
        elif self._topics:
            self._assign_all()

    async def stop(self) -> None:
        if self._member is not None:
            await self._member.leave()
        await self._end()

    async def _end(self) -> None:
        if self._member is not None:
            await self._member.end()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    # -- partitions ----------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Iterable[str], listener: Any = None) -> None:
        self._topics = tuple(topics)
        if self._member is not None:
            self._member.topics, self._member.listener = self._topics, listener
        elif self._fetching is not None:
            self._assign_all()

    def unsubscribe(self) -> None:
        self._assigned(None)
        self._topics = ()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._assigned(Assignment(partitions))

    def _assign_all(self) -> None:
        self.assign(TopicPartition(topic, each) for topic in self._topics for each in self._broker.partitions)

    def _assigned(self, assignment: Assignment | None) -> None:
        if self._assignment is not None:
            self._assignment.over.set()
        self._assignment = assignment

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    @property
    def _positions(self) -> Mapping[TopicPartition, Position]:
        return {} if self._assignment is None else self._assignment.positions

    def _position(self, where: TopicPartition) -> Position:
        found = self._positions.get(where)
        if found is None:
            raise kafka.IllegalStateError(f"Partition {where} is not assigned")
        return found

    def paused(self) -> set[TopicPartition]:
        return {where for where, each in self._positions.items() if each.paused}

    def pause(self, *partitions: TopicPartition) -> None:
        for each in partitions:
            self._position(each).paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        for each in partitions:
            self._position(each).paused = False

    # -- positions and commits -----------------------------------------------------------------------------------------

    def seek(self, where: TopicPartition, offset: int) -> None:
        self._position(where).seek(offset)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        for where, start in (await self._ask(partitions, lambda log: log.start)).items():
            if where in self._positions:
                self._position(where).seek(start)

    async def position(self, where: TopicPartition) -> int:
        while True:
            found, assignment = self._position(where), self._assignment
            if found.next is not None:
                return found.next
            assert assignment is not None
            waits = [asyncio.ensure_future(each.wait()) for each in (found.known, assignment.over)]
            await asyncio.wait(waits, timeout=self._request_s, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()

    async def committed(self, where: TopicPartition) -> int | None:
        assert self._member is not None
        found = await self._member.committed([where])
        return found[where].offset if where in found else None

    async def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        """With the generation of the moment at which it is sent, as aiokafka does."""
        if self._assignment is None or self._member is None:
            raise kafka.IllegalStateError("No partitions assigned")
        for each in offsets:
            self._position(each)
        await self._member.commit(dict(offsets))

    # -- records -------------------------------------------------------------------------------------------------------

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, list[Record]]:
        until = asyncio.get_running_loop().time() + timeout_ms / 1_000
        while True:
            if self._member is not None:
                await self._member.until_assigned()
            found: dict[TopicPartition, list[Record]] = {}
            left = 10**9 if max_records is None else max_records
            for where, position in self._positions.items():
                if not position.paused and (not partitions or where in partitions):
                    if records := position.take(left):
                        found[where] = records
                    left -= len(records)
            now = asyncio.get_running_loop().time()
            if found or now >= until:
                return found
            self._arrived.clear()
            try:
                async with asyncio.timeout(until - now):
                    await self._arrived.wait()
            except TimeoutError:
                return {}

    async def _fetch(self) -> None:
        while True:
            if not await self._fetch_once():
                await asyncio.sleep(_RETRY_S)

    async def _fetch_once(self) -> bool:
        """Whether something came."""
        assignment = self._assignment
        if assignment is None:
            return False
        if self._member is None:
            for each in assignment.positions.values():
                if each.next is None:
                    each.seek(0)
        wanted = {where: each.fetch for where, each in assignment.positions.items() if each.wants}
        if not wanted:
            return False
        try:
            found = await self._broker.net.call(
                "fetch",
                lambda: self._broker.fetch(wanted, committed=self._committed_only),
                line=(id(self), "fetch"),
            )
        except kafka.KafkaError:
            return False
        came = False
        for where, answer in found.items() if self._assignment is assignment else ():
            position = assignment.positions[where]
            if position.fetch != wanted[where] or position.has_fetched:
                continue  # somebody has moved it meanwhile
            if answer is None:
                self._broker.note("offset_out_of_range", where=f"{where.topic}/{where.partition}", at=wanted[where])
                log = self._broker.logs.get(where)
                position.seek(0 if log is None else log.start)
            else:
                position.fetched(*answer)
                came = True
        if came:
            self._arrived.set()
        return came

    # -- questions -----------------------------------------------------------------------------------------------------

    async def topics(self) -> set[str]:
        return set(await self._broker.net.call("meta", lambda: set(self._broker.ids)))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(self._broker.partitions) if topic in self._broker.ids else None

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return await self._ask(partitions, lambda log: log.stable if self._committed_only else log.end)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return await self._ask(partitions, lambda log: log.start)

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, OffsetAndTimestamp | None]:
        def first(log: PartitionLog, at: int) -> OffsetAndTimestamp | None:
            found = next((each for each in log.records if each.timestamp >= at), None)
            return None if found is None else OffsetAndTimestamp(found.offset, found.timestamp)

        logs = await self._ask(times, lambda log: log)
        return {where: first(log, times[where]) for where, log in logs.items()}

    async def _ask(
        self, partitions: Iterable[TopicPartition], answer: Callable[[PartitionLog], Any]
    ) -> Mapping[TopicPartition, Any]:
        """Of each partition. Raises KafkaTimeoutError."""
        wanted = list(partitions)

        def answers() -> Mapping[TopicPartition, Any]:
            if any(each not in self._broker.logs for each in wanted):
                raise kafka.RequestTimedOutError
            return {each: answer(self._broker.logs[each]) for each in wanted}

        try:
            async with asyncio.timeout(self._request_s):
                return dict(await self._broker.net.call_until_answered("fetch", answers)) if wanted else {}
        except TimeoutError:
            raise kafka.KafkaTimeoutError from None
