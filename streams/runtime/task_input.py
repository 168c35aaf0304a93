"""The input of a task: its record queue, and its requests to the feed that fills the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from streams.runtime.interfaces import Batch, Feed
from streams.runtime.record_queue import RecordQueue


class TaskInput:
    """Fills `queue` from the feed; asks for a rewind when records are missing, and for a pause while it is full."""

    def __init__(
        self, feed: Feed, topics: tuple[str, ...], partition: int, queue_records: int, queue_bytes: int
    ) -> None:
        self.queue = RecordQueue(topics, queue_records, queue_bytes)
        self._feed = feed
        self._topics = topics
        self._partition = partition
        self._rewinds: set[asyncio.Task[None]] = set()

    def offer(self, batch: Batch) -> bool:
        """Queue a batch. False if records before it are missing: it is left out, and they are asked for."""
        follows = self.queue.offer(batch)
        if not follows:
            rewind = asyncio.create_task(self._rewind((batch.topic,)))
            self._rewinds.add(rewind)
            rewind.add_done_callback(self._rewinds.discard)
        self._update_flow((batch.topic,))
        return follows

    async def begin(self) -> None:
        """Have all topics delivered from where the queue expects them."""
        await self._rewind(self._topics)

    def reset(self) -> None:
        """Forget what is queued and ask for no more until the next `begin`."""
        self.queue.reset()
        self._feed.flow(self._topics, self._partition)

    def update_flow(self) -> None:
        """Pause or resume topics whose queue crossed its bound."""
        self._update_flow(self._topics)

    def _update_flow(self, topics: Iterable[str]) -> None:
        changed = self.queue.crossed(topics)
        if changed:
            self._feed.flow(changed, self._partition)

    async def _rewind(self, topics: tuple[str, ...]) -> None:
        await self._feed.rewind(topics, self._partition)
