"""The record queue of a task: takes batches per topic, returns records in order of arrival, skips no offset."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from streams.runtime.interfaces import Batch, RawRecord


class RecordQueue:
    """Holds records that were delivered and are not applied yet.

    Batches say which offsets they cover, so a missing stretch is seen even where commit markers make gaps normal.
    A topic is full when its queue exceeds `bound` records or `bound_bytes` of memory. Until `begin` says
    where each topic starts, batches are held; past the bounds they are dropped, as the rewind that follows `begin`
    brings them again.
    """

    def __init__(self, topics: Sequence[str], bound: int, bound_bytes: int = 16 * 1024 * 1024) -> None:
        self._bound = bound
        self._bound_bytes = bound_bytes
        self._sizes: dict[str, deque[list[int]]] = {topic: deque() for topic in topics}
        """Per topic, of each queued batch: records not applied yet, bytes of the whole batch."""
        self._bytes: dict[str, int] = dict.fromkeys(topics, 0)
        self._closed: set[str] = set()
        self._queues: dict[str, deque[RawRecord]] = {topic: deque() for topic in topics}
        self._pairs = tuple(self._queues.items())
        self._received: dict[str, int] = {}
        self._early: list[Batch] = []
        self.size = 0

    def begin(self, offsets: Mapping[str, int]) -> None:
        """Start at these offsets; held batches that continue from them are queued."""
        self._received = dict(offsets)
        self._closed.clear()
        early, self._early, self.size = self._early, [], 0
        for batch in early:
            self.offer(batch)

    def reset(self) -> None:
        """Forget everything; hold batches until `begin`."""
        self._closed.clear()
        for queue in self._queues.values():
            queue.clear()
        for sizes in self._sizes.values():
            sizes.clear()
        self._bytes = dict.fromkeys(self._bytes, 0)
        self._received = {}
        self._early = []
        self.size = 0

    def offer(self, batch: Batch) -> bool:
        """Queue a batch. False if records before it are missing: it is dropped, and a rewind is needed."""
        if not self._received:
            self._early.append(batch)
            self.size += len(batch.records)
            if self.size > self._bound or sum(each.size for each in self._early) > self._bound_bytes:
                self._early, self.size = [], 0
            return True
        expected = self._received[batch.topic]
        if batch.start > expected:
            return False
        if batch.end <= expected:
            return True
        records = batch.records
        if batch.start < expected:
            records = [record for record in records if record.offset >= expected]
        if records:
            self._queues[batch.topic].extend(records)
            self._sizes[batch.topic].append([len(records), batch.size])
            self._bytes[batch.topic] += batch.size
            self.size += len(records)
        self._received[batch.topic] = batch.end
        return True

    def received(self, topic: str) -> int | None:
        """The next offset wanted from the feed; None before `begin`."""
        return self._received.get(topic)

    def head(self) -> tuple[str, RawRecord] | None:
        """The queued record that arrived first; ties go to the topic named first."""
        best: tuple[str, RawRecord] | None = None
        for topic, queue in self._pairs:
            if queue and (best is None or queue[0].timestamp < best[1].timestamp):
                best = topic, queue[0]
        return best

    def pop(self, topic: str) -> None:
        """The head of `topic` is applied."""
        self._queues[topic].popleft()
        self.size -= 1
        sizes = self._sizes[topic]
        oldest = sizes[0]
        oldest[0] -= 1
        if not oldest[0]:
            sizes.popleft()
            self._bytes[topic] -= oldest[1]

    def upcoming(self, topic: str, limit: int) -> list[RawRecord]:
        """The next records of `topic`, at most `limit`; they stay queued."""
        return list(islice(self._queues[topic], limit))

    def position(self, topic: str) -> int:
        """The next offset to apply: everything below it is applied or was a marker."""
        queue = self._queues[topic]
        return queue[0].offset if queue else self._received[topic]

    def positions(self) -> dict[str, int]:
        """`position` of every topic."""
        return {topic: self.position(topic) for topic in self._queues}

    def newest_ms(self) -> int:
        """The latest timestamp among the last queued record of each topic; 0 if nothing is queued."""
        return max((queue[-1].timestamp for queue in self._queues.values() if queue), default=0)

    def accepts(self, topic: str) -> bool:
        """Whether the queue accepts more of `topic`."""
        return topic not in self._closed

    def crossed(self, topics: Iterable[str]) -> list[str]:
        """Topics whose queue exceeded a bound, or drained to half of both, since the last call."""
        changed = []
        for topic in topics:
            queued, size = len(self._queues[topic]), self._bytes[topic]
            full = queued > self._bound or size > self._bound_bytes
            if full and topic not in self._closed:
                self._closed.add(topic)
                changed.append(topic)
            elif topic in self._closed and queued * 2 <= self._bound and size * 2 <= self._bound_bytes:
                self._closed.discard(topic)
                changed.append(topic)
        return changed

    def all_queued(self) -> bool:
        """Whether every topic has a queued record, so that the head is the earliest of all."""
        return all(queue for _, queue in self._pairs)

    def reached(self, ends: Mapping[str, int]) -> bool:
        """Whether everything below `ends` has been received."""
        return all(self._received[topic] >= end for topic, end in ends.items())

    def covered_ms(self, ends: Mapping[str, int]) -> int | None:
        """The timestamp below which no record is missing; None if everything below `ends` has been received.

        A topic with records queued is covered up to the last of them: it may be closed, so that its end is not reached
        before they are applied.
        """
        short = [queue for topic, queue in self._pairs if self._received[topic] < ends.get(topic, 0)]
        return min((max(q[0].timestamp, q[-1].timestamp) if q else 0 for q in short), default=None)

    def empty_short_of(self, ends: Mapping[str, int]) -> bool:
        """Whether a topic has nothing queued although records of it below `ends` have not been received."""
        return any(not queue and self._received[topic] < ends.get(topic, 0) for topic, queue in self._pairs)
