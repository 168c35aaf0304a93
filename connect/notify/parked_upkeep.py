"""Writes what becomes of parked messages in time: those that are discarded, and requests to retry that can't be met."""

from __future__ import annotations

from typing import Any

from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import read_key
from connect.notify.parked_messages import ParkedMessages
from connect.notify.row_store import Store


async def discard_parked(
    parked: ParkedMessages, store: Store, now: int, destination: str, metrics: NotifyMetrics, log: Any
) -> None:
    """Raises the errors of the store."""
    for partition, rows in parked.park_again(now).items():
        await store.write(partition, rows)
        log.warning("retry_without_destination", partition=partition, count=len(rows) // 2)
    for partition, rows in parked.discard(now).items():
        await store.write(partition, rows)
        metrics.discarded.labels(destination).inc(len(rows))
        log.warning("parked_messages_discarded", partition=partition, count=len(rows))
    for partition, rows in parked.discard_left(now).items():
        await store.write(partition, rows)
        names = sorted({found.destination for row in rows if (found := read_key(row.key)) is not None})
        log.warning("removed_destination_discarded", partition=partition, count=len(rows), absent=names)
