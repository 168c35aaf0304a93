"""Reads a changelog partition from its first row to its last stable one, and notices rows behind that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka.structs import TopicPartition

from streams.kafka.shutdown import end_consumer
from streams.kafka.unexplained import message_of
from streams.runtime.errors import TaskInterrupted
from streams.runtime.open_transactions import open_transaction
from streams.runtime.recovery_progress import Progress

Rows = Sequence[tuple[bytes, bytes | None]]
Written = Callable[[tuple[TopicPartition, ...]], Awaitable[Mapping[TopicPartition, int]]]
"""Asks for the ends of partitions with what open transactions have written."""

REPLAY_FETCH_BYTES: Final = 8 * 1_048_576
_FETCH_WAIT_MS: Final = 100
#: What ends with a transaction of a former owner shows within moments.
_LOOK_EVERY_S, _LOOKS = 0.2, 25


async def changelog_rows(
    consumer: Any, agent: str, topic: str, partition: int, written: Written | None
) -> AsyncIterator[Rows]:
    """The rows, by a new consumer of committed records, which is stopped in the end. With `written` nothing may be
    behind them. Raises TaskInterrupted, also where a transaction that does not end hides rows."""
    changelog = TopicPartition(topic, partition)
    try:
        await consumer.start()
        consumer.assign([changelog])
        end = await _stable_end(consumer, changelog)
        if written is not None:
            end = await _end_of_all(consumer, changelog, end, written)
        start = (await consumer.beginning_offsets([changelog]))[changelog]
        consumer.seek(changelog, start)
        progress = Progress(agent, partition, "offsets", end - start)
        # The position passes commit markers and rows that compaction removed, so it does reach the end.
        while (position := await consumer.position(changelog)) < end:
            progress.done(position - start)
            fetched = await consumer.getmany(changelog, timeout_ms=_FETCH_WAIT_MS)
            yield [(record.key, record.value) for record in fetched.get(changelog, ())]
        progress.done(end - start)
    except TaskInterrupted:
        raise
    except Exception as error:
        raise TaskInterrupted(f"replay: {message_of(error)}", agent=agent, partition=partition) from error
    finally:
        await end_consumer(consumer)


async def _end_of_all(consumer: Any, changelog: TopicPartition, stable: int, written: Written) -> int:
    for _ in range(_LOOKS):
        if stable >= (await written((changelog,)))[changelog]:
            return stable
        await asyncio.sleep(_LOOK_EVERY_S)
        stable = await _stable_end(consumer, changelog)
    raise TaskInterrupted(open_transaction(changelog, stable))


async def _stable_end(consumer: Any, changelog: TopicPartition) -> int:
    end: int = (await consumer.end_offsets([changelog]))[changelog]
    return end
