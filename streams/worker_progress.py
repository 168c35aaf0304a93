"""How far each partition is processed, and which ones statements wait for (R26). Pure; instants in microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streams.sla.instants import MINUTE

#: Row kinds of the incidents agent: the last watermark written, the instant that a ledger partition waits for.
WATERMARK: Final = "@mark"
REQUEST: Final = "@asked"
#: A request is a record of this type: the incident partition, and the instant.
REQUEST_TYPE: Final = "state.mark"
#: A request is answered within seconds; a partition that takes longer is waited for.
LONG_WAIT: Final = MINUTE


class WatermarkRequest(NamedTuple):
    """A ledger partition waits for a watermark at `until`; `asked_at` is when it asked."""

    until: int
    asked_at: int


class PartitionState(NamedTuple):
    """One incident partition. `watermark`: everything that arrived by then is applied; None before the first. `unread`
    is the number of inputs that no worker has applied. `waited_for`: it delays the statements of all tenants."""

    partition: int
    watermark: int | None
    unread: int
    waited_for: bool


def states(
    watermarks: Mapping[int, int], requests: Mapping[int, WatermarkRequest], unread: Mapping[int, int], now: int
) -> list[PartitionState]:
    """Which partitions statements wait for: those that have not answered a request for a minute, or that have no
    watermark although others do or input waits."""

    def waited_for(partition: int) -> bool:
        watermark, request = watermarks.get(partition), requests.get(partition)
        if request is not None and (watermark is None or watermark < request.until):
            return now - request.asked_at >= LONG_WAIT
        return watermark is None and (bool(watermarks) or unread[partition] > 0)

    return [PartitionState(each, watermarks.get(each), unread[each], waited_for(each)) for each in sorted(unread)]


def statements_until(found: Sequence[PartitionState]) -> int | None:
    """Up to when statements can be published; None while some partition has no watermark."""
    watermarks = [each.watermark for each in found if each.watermark is not None]
    return min(watermarks) if watermarks and len(watermarks) == len(found) else None


class BlockedInput(NamedTuple):
    """Input that nobody can read: a transaction of its writer is open from `offset` on, where it wrote at `since`."""

    topic: str
    partition: int
    offset: int
    since: int


class TaskProgress(NamedTuple):
    """One partition of one agent. `reached` is the stream time of its latest transaction, `committed_at` when that was
    written: None before the first. `unread` is the number of inputs that no worker has applied, `unread_internal` that
    of records from other partitions; transaction markers are counted."""

    agent: str
    partition: int
    reached: int | None
    committed_at: int | None
    unread: int
    unread_internal: int


class WorkerProgress(NamedTuple):
    """All incident partitions, by number, and the tasks that process partitions, by agent and partition. `awaited` are
    the instants that ledgers wait for, by incident partition. `workers` is how many processes are members of the
    deployment's consumer group; None when the broker does not tell. `read_at` is when this was read."""

    partitions: tuple[PartitionState, ...]
    tasks: tuple[TaskProgress, ...]
    awaited: Mapping[int, int]
    workers: int | None
    read_at: int
