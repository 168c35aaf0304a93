"""Restores a task: its state from the changelog, its position in the input from the checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.errors import SlaError
from streams.runtime.checkpoint import CHECKPOINT_KEY, Checkpoint, decode_checkpoint
from streams.runtime.errors import (
    InputLost,
    OffsetsDiffer,
    StateLost,
    StateUnreadable,
    TaskInterrupted,
    TopicRecreated,
    WorkerRefused,
)
from streams.runtime.interfaces import Bounds, TaskLog
from streams.runtime.ownership import OWNER_KEY
from streams.runtime.processor import Processor
from streams.runtime.recovery_progress import Progress

_ROWS_PER_YIELD = 2_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """A restored processor, the next offsets (`checkpoint`), and where the input ended at that time."""

    processor: Processor
    checkpoint: Checkpoint
    ends: Mapping[str, int]
    offsets_missing: bool
    """The consumer group has no offset where the changelog has one: the next transaction restores it."""
    topic_ids: Mapping[str, bytes]
    """The ids of all topics that the task reads, its changelog among them."""


async def recover(
    log: TaskLog,
    make: Callable[[int], Processor],
    agent: str,
    partition: int,
    topics: tuple[str, ...],
    *,
    claim: Callable[[Sequence[bytes]], Awaitable[None]] | None = None,
) -> Recovered:
    """Replay and check; call after fencing. `claim` gets the owner rows of the changelog, oldest first, and raises
    where the owner is another deployment. Raises OffsetsDiffer, InputLost, TopicRecreated, StateLost, StateUnreadable
    or TaskInterrupted."""
    topic_ids = await log.topic_ids()  # before the changelog is read: made anew after this, it is noticed
    rows: dict[bytes, bytes] = {}
    owners: list[bytes] = []
    async for chunk in log.replay():
        for key, value in chunk:
            if key == OWNER_KEY and value is not None:
                owners.append(value)
            elif value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        await asyncio.sleep(0)
    try:
        raw = rows.pop(CHECKPOINT_KEY, None)
        checkpoint = None if raw is None else decode_checkpoint(raw)
    except (ValueError, TypeError) as error:
        raise StateUnreadable(f"the checkpoint row: {error}", agent=agent, partition=partition) from error
    if claim is not None:
        # Whoever writes checkpoints with ids has written the owner before, and compaction keeps it.
        if checkpoint is not None and checkpoint.topic_ids and not owners:
            raise StateLost(agent=agent, partition=partition)
        try:
            await claim(owners)
        except (ValueError, TypeError) as error:
            raise StateUnreadable(f"the owner row: {error}", agent=agent, partition=partition) from error
    known_ids = checkpoint.topic_ids if checkpoint else {}
    check_topic_ids(known_ids, topic_ids, agent=agent, partition=partition)
    committed = await log.committed()
    bounds = await log.bounds()
    offsets = starting_offsets(checkpoint, committed, bounds, agent=agent, partition=partition, topics=topics)
    processor = make(partition)
    progress = Progress(agent, partition, "rows", len(rows))
    for count, (key, value) in enumerate(rows.items()):
        try:
            processor.restore(key, value)
        except SlaError as error:
            raise WorkerRefused(str(error), agent=agent, partition=partition) from error
        except MemoryError as error:  # the row is right, and is read again
            raise TaskInterrupted("this process is out of memory", agent=agent, partition=partition) from error
        except Exception as error:
            raise StateUnreadable(f"row {key!r}: {error!r}", agent=agent, partition=partition) from error
        if count % _ROWS_PER_YIELD == 0:
            progress.done(count)
            await asyncio.sleep(0)
    progress.done(len(rows))
    rows.clear()
    processor.restored()
    return Recovered(
        processor=processor,
        checkpoint=Checkpoint(
            offsets, checkpoint.time if checkpoint else 0, {**_of(topics, known_ids), **_of(topics, topic_ids)}
        ),
        ends={topic: bounds[topic].end for topic in topics},
        offsets_missing=checkpoint is not None
        and any(topic not in committed for topic in topics if topic in checkpoint.offsets),
        topic_ids={**topic_ids, **known_ids},
    )


def _of(topics: tuple[str, ...], ids: Mapping[str, bytes]) -> dict[str, bytes]:
    return {topic: ids[topic] for topic in topics if topic in ids}


def check_topic_ids(known: Mapping[str, bytes], found: Mapping[str, bytes], *, agent: str, partition: int) -> None:
    """Raises TopicRecreated if a topic has another id than the one that is known."""
    for topic, topic_id in found.items():
        if known.get(topic, topic_id) != topic_id:
            raise TopicRecreated(agent=agent, partition=partition, topic=topic, known=known[topic], found=topic_id)


def starting_offsets(
    checkpoint: Checkpoint | None,
    committed: Mapping[str, int],
    bounds: Mapping[str, Bounds],
    *,
    agent: str,
    partition: int,
    topics: tuple[str, ...],
) -> dict[str, int]:
    """The next offset per topic: the changelog's; the log's start where neither it nor the group knows the topic.

    A different group offset means that somebody moved it, or that the changelog was lost: OffsetsDiffer.
    """
    offsets: dict[str, int] = {}
    for topic in topics:
        known = checkpoint.offsets.get(topic) if checkpoint else None
        group = committed.get(topic)
        if group is not None and group != known:
            raise OffsetsDiffer(agent=agent, partition=partition, topic=topic, applied=known, committed=group)
        start, end = bounds[topic]
        offset = start if known is None else known
        if not start <= offset <= end:
            raise InputLost(agent=agent, partition=partition, topic=topic, applied=offset, log_start=start, log_end=end)
        offsets[topic] = offset
    return offsets
