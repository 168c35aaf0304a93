"""Writes what becomes of parked messages in time: those that are discarded, and requests to retry that can't be met."""

from __future__ import annotations

from typing import Any

from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import read_key
from connect.notify.parked_messages import ParkedMessages
from connect.notify.row_store import Store
from streams.sla.instants import HOUR, SECOND

#: How long messages that are found to be too old are retained all the same: until then a clock that is ahead may be set
#: right.
_RETAINED_LONGER = HOUR


async def discard_parked(
    parked: ParkedMessages, store: Store, now: int, destination: str, metrics: NotifyMetrics, log: Any
) -> None:
    """Raises the errors of the store."""
    for partition, rows in parked.park_again(now).items():
        await store.write(partition, rows)
        log.warning("retry_without_destination", partition=partition, count=len(rows) // 2)
    before, count = parked.too_old_since, parked.look(now)
    since = parked.too_old_since
    if since is not None and before is None:
        log.warning("parked_messages_too_old", count=count, discarded_in_s=_RETAINED_LONGER // SECOND)
    too_old = since is not None and now - since >= _RETAINED_LONGER
    for partition, rows in parked.discard(now, too_old=too_old).items():
        await store.write(partition, rows)
        metrics.discarded.labels(destination).inc(len(rows))
        log.warning("parked_messages_discarded", partition=partition, count=len(rows))
    for partition, rows in parked.discard_left(now).items() if too_old else ():
        await store.write(partition, rows)
        names = sorted({found.destination for row in rows if (found := read_key(row.key)) is not None})
        log.warning("removed_destination_discarded", partition=partition, count=len(rows), absent=names)
