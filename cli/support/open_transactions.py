"""What commands say about input behind an open transaction of another program."""

from __future__ import annotations

from streams.sla.instants import SECOND, format_rfc3339
from streams.worker_progress import HeldBack


def held_back_text(held: HeldBack, now: int) -> str:
    """What can't be read, since when, and why."""
    return (
        f"{held.topic}-{held.partition} can't be read from offset {held.offset} on: another program's transaction has "
        f"been open there since {format_rfc3339(held.since)}, for {(now - held.since) // SECOND:,} s"
    )


def describe_producers(held: HeldBack) -> str:
    """How to find whose it is, and where it is explained what to do."""
    return (
        f"kafka-transactions.sh describe-producers --topic {held.topic} --partition {held.partition} names its "
        "producer; see docs/runbooks/open-transaction.md"
    )
