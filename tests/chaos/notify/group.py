"""The coordinator of a consumer group: joins, generations, heartbeats, and commits, which it refuses of old members."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from .broker import Broker

State = Literal["empty", "preparing", "completing", "stable"]


class Commit(NamedTuple):
    """One that was taken. `generation` is the member's; -1 of one that the group does not know."""

    at: float
    by: object
    generation: int
    where: TopicPartition
    offset: int
    text: str


class _Member:
    def __init__(self, id_: str, session_s: float, process: int) -> None:
        self.id = id_
        self.session_s = session_s
        self.process = process
        self.topics: Sequence[str] = ()
        self.joining: asyncio.Future[Any] | None = None
        self.syncing: asyncio.Future[Any] | None = None
        self.expires: asyncio.TimerHandle | None = None


class Group:
    """Partitions are assigned by ranges, as the notifier asks for it."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.generation = 0
        self.state: State = "empty"
        self.committed: dict[TopicPartition, tuple[int, str]] = {}
        self.commits: list[Commit] = []
        """All that were taken."""
        self._broker = broker
        self._members: dict[str, _Member] = {}
        self._assigned: Mapping[str, Sequence[TopicPartition]] = {}
        self._planned: Mapping[str, Sequence[TopicPartition]] = {}
        self._deadline: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._number = 0

    def owner(self, partition: int) -> int | None:
        """The process that has a partition."""
        for id_, places in self._assigned.items():
            if id_ in self._members and any(each.partition == partition for each in places):
                return self._members[id_].process
        return None

    def forget(self, topic: str) -> None:
        """Its offsets, as when it is deleted, or they expire."""
        self.committed = {where: each for where, each in self.committed.items() if where.topic != topic}

    # -- requests ------------------------------------------------------------------------------------------------------

    def join(self, member_id: str, session_s: float, topics: Sequence[str], process: int) -> asyncio.Future[Any]:
        """Answered with the member's id and the generation, once all have joined."""
        answer: asyncio.Future[Any] = self._broker.loop.create_future()
        if member_id:
            member = self._members.get(member_id)
        else:  # ranges go by the ids: their order is random
            self._number += 1
            member_id = f"m{self._broker.random.randrange(10**6):06}-{self._number}"
            member = self._members[member_id] = _Member(member_id, session_s, process)
        if member is None:
            answer.set_exception(kafka.UnknownMemberIdError())
            return answer
        member.topics, member.joining = topics, answer
        self._heard_of(member)
        if self.state != "preparing":
            self._prepare()
        self._complete_if_all_joined()
        return answer

    def sync(self, member_id: str, generation: int) -> asyncio.Future[Any]:
        """Answered with the partitions, once the leader has assigned them."""
        answer: asyncio.Future[Any] = self._broker.loop.create_future()
        try:
            member = self._current(member_id, generation)
            if self.state == "preparing":
                raise kafka.RebalanceInProgressError
        except kafka.KafkaError as error:
            answer.set_exception(error)
            return answer
        self._heard_of(member)
        if self.state == "stable":
            answer.set_result(list(self._assigned[member_id]))
            return answer
        member.syncing = answer
        if member_id == next(iter(self._members)):  # the leader
            self._become_stable()
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises KafkaError."""
        self._heard_of(self._current(member_id, generation))
        if self.state == "preparing":
            raise kafka.RebalanceInProgressError

    def commit(self, member_id: str, generation: int, offsets: Mapping[TopicPartition, Any], process: int) -> None:
        """Raises KafkaError where the member is not of this generation. One that the group does not know may commit
        where the group is empty, as in Kafka."""
        if generation >= 0 or self.state != "empty":
            member = self._current(member_id, generation)
            if self.state == "completing":
                raise kafka.RebalanceInProgressError
            self._heard_of(member)
        for where, each in offsets.items():
            offset, text = (each, "") if isinstance(each, int) else (each[0], each[1])
            if where.topic in self._broker.ids:
                self.committed[where] = offset, text
                self.commits.append(Commit(self._broker.loop.time(), process, generation, where, offset, text))

    def leave(self, member_id: str) -> None:
        member = self._members.pop(member_id, None)
        if member is None:
            return
        if member.expires is not None:
            member.expires.cancel()
        for answer in (member.joining, member.syncing):
            if answer is not None and not answer.done():
                answer.set_exception(kafka.UnknownMemberIdError())
        self._assigned = {id_: each for id_, each in self._assigned.items() if id_ != member_id}
        if self.state in {"stable", "completing"}:
            self._prepare()
        elif self.state == "preparing":
            self._complete_if_all_joined()

    # -- rebalances ----------------------------------------------------------------------------------------------------

    def _current(self, member_id: str, generation: int) -> _Member:
        member = self._members.get(member_id)
        if member is None:
            raise kafka.UnknownMemberIdError
        if generation != self.generation:
            raise kafka.IllegalGenerationError
        return member

    def _heard_of(self, member: _Member) -> None:
        if member.expires is not None:
            member.expires.cancel()
        member.expires = self._broker.net.later(member.session_s, lambda: self._expire(member))

    def _expire(self, member: _Member) -> None:
        if self._members.get(member.id) is not member:
            return
        if member.joining is not None and not member.joining.done():
            self._heard_of(member)
            return
        self._broker.note("member_expired", group=self.name, process=member.process)
        self.leave(member.id)

    def _prepare(self) -> None:
        for each in self._members.values():
            if each.syncing is not None and not each.syncing.done():
                each.syncing.set_exception(kafka.RebalanceInProgressError())
            each.syncing = None
        wait_s = self._broker.first_wait_s if self.state == "empty" else 0.0
        self.state = "preparing"
        self._not_before = self._broker.loop.time() + wait_s
        if wait_s:
            self._broker.net.later(wait_s, self._complete_if_all_joined)
        longest = max((each.session_s for each in self._members.values()), default=1.0)
        self._stop_deadline()
        self._deadline = self._broker.net.later(longest, self._complete_without_those_missing)
        if not self._members:
            self._complete()

    def _complete_if_all_joined(self) -> None:
        joined = all(each.joining is not None for each in self._members.values())
        if self.state == "preparing" and joined and self._broker.loop.time() >= self._not_before:
            self._complete()

    def _complete_without_those_missing(self) -> None:
        if self.state == "preparing":
            self._complete()

    def _complete(self) -> None:
        self._stop_deadline()
        for each in [each for each in self._members.values() if each.joining is None]:
            del self._members[each.id]
            if each.expires is not None:
                each.expires.cancel()
            self._broker.note("member_dropped", group=self.name, process=each.process)
        self._assigned = {}
        self.generation += 1
        if not self._members:
            self.state = "empty"
            return
        self.state = "completing"
        self._planned = self._ranges()
        for each in list(self._members.values()):
            answer, each.joining = each.joining, None
            self._heard_of(each)
            if answer is not None and not answer.done():
                answer.set_result((each.id, self.generation))

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _ranges(self) -> Mapping[str, Sequence[TopicPartition]]:
        ids = sorted(self._members)
        found: dict[str, list[TopicPartition]] = {each: [] for each in ids}
        partitions = self._broker.partitions
        share, more = divmod(len(partitions), len(ids))
        for topic in sorted({topic for each in self._members.values() for topic in each.topics}):
            at = 0
            for number, id_ in enumerate(ids if topic in self._broker.ids else ()):
                size = share + (number < more)
                found[id_] += [TopicPartition(topic, each) for each in partitions[at : at + size]]
                at += size
        return found

    def _become_stable(self) -> None:
        self.state, self._assigned = "stable", self._planned
        owners = {self._members[id_].process: sorted({each.partition for each in places})
                  for id_, places in self._planned.items() if id_ in self._members}  # fmt: skip
        self._broker.note("group_stable", group=self.name, generation=self.generation, owners=owners)
        for each in self._members.values():
            if each.syncing is not None and not each.syncing.done():
                self._heard_of(each)
                each.syncing.set_result(list(self._assigned[each.id]))
            each.syncing = None
