"""Reads a topic of alerts or closings from its beginning once it was made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any

from aiokafka.structs import TopicPartition

from connect.notify.close_ordering import CloseOrdering
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore
from connect.notify.read_positions import ReadPositions
from streams.sla.instants import DAY

_UNANSWERED = "their brokers give no answer: they are read from the beginning once they do, and others go on meanwhile"
_NOT_NEW = "it has another id, and records of before: another cluster, perhaps; it is read on where it was"


async def begin_anew(
    positions: ReadPositions, kafka: PageStore, orderings: MutableMapping[int, CloseOrdering], now: int, log: Any
) -> None:
    """Where partitions move meanwhile, or brokers give no answer, it has to be called again. What is applied again is
    harmless: messages keep their ids, and alerts are read before the closings after them."""
    alerts, closings = kafka.topic(ALERTS), kafka.topic(INCIDENTS)
    mine = kafka.consumer.assignment()
    old, unanswered = await _older(positions, kafka, positions.places(mine, alerts, closings))
    places = positions.places([each for each in mine if each.partition not in old], alerts, closings)
    left = {where: offset for where, offset in places.items() if where.partition in unanswered}
    places = {where: offset for where, offset in places.items() if where not in left}
    if old:
        log.warning("topic_not_read_again", partitions=sorted(old), reason=_NOT_NEW)
    for where, offset in places.items():
        kafka.consumer.seek(where, offset)
    for where in (*places, *left):
        orderings.pop(where.partition, None)
    if places and not await kafka.commit(positions.with_texts(places, alerts, closings, now, anew=True)):
        return
    before = positions.left
    positions.went_on(left)
    if places:
        again = {f"{where.topic}/{where.partition}": offset for where, offset in sorted(places.items())}
        log.warning("topic_read_again", offsets=again, reason="it was deleted and made anew")
    if positions.left - before:
        log.warning("topic_not_read_yet", partitions=sorted(positions.left), reason=_UNANSWERED)


async def _older(
    positions: ReadPositions, kafka: PageStore, places: Iterable[TopicPartition]
) -> tuple[set[int], set[int]]:
    """The partitions with records from well before the topics were last found to be the same, and those whose brokers
    give no answer. The topic of the former is not new, as where a name leads to another cluster now: read from its
    beginning, it would page for what is long over."""
    # Alerts have the time of their workers' input, which a backlog holds back.
    asked = {where: (at - DAY) // 1_000 for where in places if (at := positions.same_until(where)) is not None}
    firsts = await asyncio.gather(*(kafka.known_first(where, at) for where, at in asked.items()))
    unanswered = {where.partition for where, first in zip(asked, firsts, strict=True) if first is None}
    old = {where.partition for where, first in zip(asked, firsts, strict=True) if first}
    return old - unanswered, unanswered
