"""Reads a topic of alerts or closings from its beginning once it was made anew."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from connect.notify.close_ordering import CloseOrdering
from connect.notify.page_store import ALERTS, INCIDENTS, PageStore
from connect.notify.read_positions import ReadPositions


async def begin_anew(
    positions: ReadPositions, kafka: PageStore, orderings: MutableMapping[int, CloseOrdering], log: Any
) -> None:
    """Where partitions move meanwhile, it has to be called again. What is applied again is harmless: messages keep
    their ids, and alerts are read before the closings after them."""
    places = positions.places(kafka.consumer.assignment(), kafka.topic(ALERTS), kafka.topic(INCIDENTS))
    for where, offset in places.items():
        kafka.consumer.seek(where, offset)
        orderings.pop(where.partition, None)
    if places and not await kafka.commit(places):
        return
    positions.went_on()
    if places:
        again = {f"{where.topic}/{where.partition}": offset for where, offset in sorted(places.items())}
        log.warning("topic_read_again", offsets=again, reason="it was deleted and made anew")
