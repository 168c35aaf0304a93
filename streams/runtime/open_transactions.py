"""Records that are in Kafka and can't be read yet, because a transaction of another program is open before them.

Of inputs a task applies nothing, of outputs nobody gets anything, of a changelog no next owner recovers all. Consumer
lag ends at the last stable offset, so it stays 0 meanwhile. Brokers end an open transaction after its timeout,
15 minutes at most unless they are set otherwise, or never, where its coordinator has lost it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final, NamedTuple

import structlog
from aiokafka.structs import TopicPartition

from streams.runtime import metrics

#: Transactions of publishers last seconds; until then nothing is reported.
REPORTED_AFTER_S: Final = 60.0


def open_transaction(place: TopicPartition, offset: int, lasted_s: int | None = None) -> str:
    """What can't be read, since when as far as that is known, and what to ask Kafka."""
    since = "" if lasted_s is None else f", for {lasted_s} s"
    return (
        f"{place.topic}-{place.partition} can't be read from offset {offset} on{since}: another program's transaction "
        f"is open there; `kafka-transactions.sh describe-producers --topic {place.topic} --partition "
        f"{place.partition}` names its producer"
    )


class _Open(NamedTuple):
    offset: int
    """The last stable offset: there the oldest open transaction begins."""
    since: float
    users: tuple[tuple[str, int], ...]
    """Agent and partition of the tasks that read or write it."""


class OpenTransactions:
    """Since when the last stable offset of each partition has not moved although more is written."""

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._open: dict[TopicPartition, _Open] = {}
        self._reported: set[TopicPartition] = set()
        self._measured: set[tuple[str, str]] = set()
        self._logger = structlog.get_logger(__name__)

    def observe(
        self,
        users: Mapping[TopicPartition, Iterable[tuple[str, int]]],
        stable: Mapping[TopicPartition, int],
        written: Mapping[TopicPartition, int],
    ) -> None:
        """Take the two ends of the partitions that these tasks (agent, partition) read or write; `written` was asked
        for after `stable`. What is open of a partition without an answer stays so."""
        known, now = self._open, self._seconds()
        self._open = {}
        longest: dict[tuple[str, str], float] = {}
        for place, tasks in users.items():
            tasks = tuple(tasks)
            before = known.get(place)
            if place not in stable:
                if before is not None:
                    self._open[place] = before._replace(users=tasks)
            elif written[place] > (offset := stable[place]):
                since = before.since if before is not None and before.offset == offset else now
                self._open[place] = _Open(offset, since, tasks)
            for agent, partition in tasks:
                labels = agent, str(partition)
                lasted = now - self._open[place].since if place in self._open else 0.0
                longest[labels] = max(longest.get(labels, 0.0), lasted)
        for labels, lasted in longest.items():
            metrics.OPEN_TRANSACTION.labels(*labels).set(lasted)
        for labels in self._measured - longest.keys():
            metrics.OPEN_TRANSACTION.remove(*labels)
        self._measured = set(longest)
        self._report(users)

    def problems(self) -> list[dict[str, object]]:
        """Why the worker is not ready: transactions that have been open for a minute."""
        now = self._seconds()
        return [
            {
                "agent": agent,
                "partition": partition,
                "topic": place.topic,
                "reason": open_transaction(place, opened.offset, int(now - opened.since)),
            }
            for place, opened in sorted(self._long(now).items())
            for agent, partition in opened.users
        ]

    def _long(self, now: float) -> dict[TopicPartition, _Open]:
        return {place: opened for place, opened in self._open.items() if now - opened.since >= REPORTED_AFTER_S}

    def _report(self, users: Iterable[TopicPartition]) -> None:
        long = self._long(self._seconds())
        for place in long.keys() - self._reported:
            self._logger.warning(
                "transaction_open", topic=place.topic, partition=place.partition, offset=long[place].offset
            )
        for place in (self._reported - long.keys()).intersection(users):
            self._logger.info("transaction_ended", topic=place.topic, partition=place.partition)
        self._reported = set(long)
