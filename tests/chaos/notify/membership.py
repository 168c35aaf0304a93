"""The part of the fake consumer that is a member of a group: joining, heartbeats, commits, as aiokafka does it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import errors as kafka
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from tests.chaos.loop import PROCESS

from .assignment import Assignment
from .broker import Broker

_RETRY_S = 0.1


class Membership:
    """`assigned` is given the partitions of each generation."""

    def __init__(
        self,
        broker: Broker,
        group: str,
        session_s: float,
        heartbeat_s: float,
        assigned: Callable[[Assignment], None],
    ) -> None:
        self.topics: Sequence[str] = ()
        self.listener: Any = None
        self._broker = broker
        self._group = group
        self._session_s = session_s
        self._heartbeat_s = heartbeat_s
        self._assigned = assigned
        self._id = ""
        self._generation = -1
        self._places: set[TopicPartition] = set()
        self._places_of = -1
        """The generation in which they were assigned."""
        self._rejoin = asyncio.Event()
        self._rebalanced: asyncio.Event | None = None
        """Set at the end of the rebalance that is under way."""
        self._leaving = False
        self._coordinating: asyncio.Task[None] | None = None
        self._heartbeats: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._rejoin.set()
        self._coordinating = asyncio.create_task(self._coordinate())

    async def leave(self) -> None:
        """Waits for the rebalance that is under way."""
        if self._leaving:
            return
        self._leaving = True
        self._rejoin.set()
        if self._coordinating is not None:
            await asyncio.wait([self._coordinating])
        self._stop_heartbeats()
        if self._generation > 0:
            id_ = self._id
            with contextlib.suppress(kafka.KafkaError):
                await self._call(lambda: self._broker.group(self._group).leave(id_))

    async def end(self) -> None:
        """Without another word to the group."""
        self._leaving = True
        self._stop_heartbeats()
        tasks = [each for each in (self._coordinating, *self._others) if each is not None]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until_assigned(self) -> None:
        """Nothing is given to who reads while a rebalance is under way."""
        if self._rebalanced is not None:
            await self._rebalanced.wait()

    # -- rebalances ----------------------------------------------------------------------------------------------------

    async def _coordinate(self) -> None:
        prepared = False
        while True:
            await self._rejoin.wait()
            if not prepared and not self._leaving:
                self._rebalanced = asyncio.Event()
                await self._tell("on_partitions_revoked", self._places)
                prepared = True
            if self._leaving:
                return
            self._stop_heartbeats()
            self._rejoin.clear()
            places = await self._join()
            if places is None:
                await asyncio.sleep(_RETRY_S)
                continue
            prepared = False
            await self._take_over(places)

    async def _join(self) -> Sequence[TopicPartition] | None:
        """The partitions; None where it has to be tried again."""
        group, process = self._broker.group(self._group), PROCESS.get()
        id_, topics, limit = self._id, self.topics, self._session_s + 5
        try:
            joined = await self._call(lambda: group.join(id_, self._session_s, topics, process), limit)
            self._id, self._generation = joined
            found: Sequence[TopicPartition] = await self._call(lambda: group.sync(*joined), limit)
        except (kafka.UnknownMemberIdError, kafka.IllegalGenerationError):
            self._forget_membership()
        except kafka.KafkaError:
            self._rejoin.set()
        else:
            return found
        return None

    async def _take_over(self, places: Sequence[TopicPartition]) -> None:
        assignment = Assignment(places)
        self._places, self._places_of = set(places), self._generation
        self._assigned(assignment)
        rebalanced, self._rebalanced = self._rebalanced, None
        self._heartbeats = asyncio.create_task(self._beat())
        self._others = [each for each in self._others if not each.done()]
        self._others.append(asyncio.create_task(self._find_positions(assignment)))
        await self._tell("on_partitions_assigned", self._places)
        assert rebalanced is not None
        rebalanced.set()

    async def _tell(self, method: str, places: set[TopicPartition]) -> None:
        """aiokafka logs what a listener raises, and goes on."""
        try:
            found = getattr(self.listener, method)(set(places))
            if inspect.isawaitable(found):
                await found
        except Exception as error:
            self._broker.note("listener_failed", method=method, error=repr(error))

    async def _find_positions(self, assignment: Assignment) -> None:
        found = await self.committed(assignment.positions)
        for where, position in assignment.positions.items():
            if position.next is None:
                position.seek(found[where].offset if where in found else 0)

    async def _beat(self) -> None:
        group, pause_s = self._broker.group(self._group), self._heartbeat_s
        while self._id:
            await asyncio.sleep(pause_s)
            id_, generation, pause_s = self._id, self._generation, self._heartbeat_s
            if not id_:
                return
            try:
                await self._call(lambda id_=id_, generation=generation: group.heartbeat(id_, generation))
            except kafka.RebalanceInProgressError:
                self._rejoin.set()
            except (kafka.UnknownMemberIdError, kafka.IllegalGenerationError):
                self._forget_membership()
                return
            except kafka.KafkaError:
                pause_s = _RETRY_S

    def _stop_heartbeats(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.cancel()
            self._heartbeats = None

    def _forget_membership(self) -> None:
        self._id, self._generation = "", -1
        self._rejoin.set()

    # -- offsets -------------------------------------------------------------------------------------------------------

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, OffsetAndMetadata]:
        wanted, group = list(partitions), self._broker.group(self._group)

        def found() -> Mapping[TopicPartition, OffsetAndMetadata]:
            return {each: OffsetAndMetadata(*group.committed[each]) for each in wanted if each in group.committed}

        return dict(await self._broker.net.call_until_answered("group", found))

    async def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        """Raises CommitFailedError where the group refuses it, or the member is not of the generation of its partitions
        (`patches.for_aiokafka.member_commits`); tries for ever otherwise."""
        group, process = self._broker.group(self._group), PROCESS.get()
        of = self._places_of
        while True:
            id_, generation = self._id, self._generation
            if generation != of:
                raise kafka.CommitFailedError
            try:
                await self._call(lambda id_=id_, number=generation: group.commit(id_, number, offsets, process))
            except kafka.RebalanceInProgressError as error:
                self._rejoin.set()
                raise kafka.CommitFailedError from error
            except (kafka.UnknownMemberIdError, kafka.IllegalGenerationError) as error:
                self._forget_membership()
                raise kafka.CommitFailedError from error
            except kafka.KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _call(self, effect: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        return await self._broker.net.call("group", effect, timeout_s, line=(id(self), "group"))
