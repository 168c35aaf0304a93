"""What commands say about input behind an open transaction of another program."""

from __future__ import annotations

from streams.sla.instants import SECOND, format_rfc3339
from streams.worker_progress import BlockedInput


def blocked_text(blocked: BlockedInput, now: int) -> str:
    """What can't be read, since when, and why."""
    where = f"{blocked.topic}-{blocked.partition} can't be read from offset {blocked.offset} on"
    since = f"since {format_rfc3339(blocked.since)}, for {(now - blocked.since) // SECOND:,} s"
    return f"{where}: another program's transaction has been open there {since}"


def describe_producers(blocked: BlockedInput) -> str:
    """How to find whose it is, and where it is explained what to do."""
    return (
        f"kafka-transactions.sh describe-producers --topic {blocked.topic} --partition {blocked.partition} names its "
        "producer; see docs/runbooks/open-transaction.md"
    )
