"""A sample billing consumer: exact totals per tenant and month in SQLite, through crashes of its own."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from kafka import KafkaConsumer
from kafka.errors import CommitFailedError, RebalanceInProgressError

from streams.serde.codec import Codec
from streams.sla.events import Rejection

_TABLES = """
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS owed (tenant TEXT, month TEXT, amount INTEGER, PRIMARY KEY (tenant, month));
"""


@contextlib.contextmanager
def books(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=600)
    try:
        connection.executescript(_TABLES)
        yield connection
    finally:
        connection.close()


def totals(path: Path) -> dict[tuple[str, str], int]:
    """What is owed, by tenant and month."""
    with books(path) as connection:
        return {(tenant, month): amount for tenant, month, amount in connection.execute("SELECT * FROM owed")}


def consume(bootstrap: str, topic: str, path: Path) -> None:
    """Each credit once: its id and its amount are kept together, and the offset is committed after."""
    codec = Codec()
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="billing",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
    )
    with books(path) as connection:
        while True:
            for records in consumer.poll(timeout_ms=500).values():
                with connection:
                    for record in records:
                        _book(connection, codec, record.value)
            # Out of the group after a long silence: whoever reads these again finds their ids.
            with contextlib.suppress(CommitFailedError, RebalanceInProgressError):
                consumer.commit()


def _book(connection: sqlite3.Connection, codec: Codec, value: bytes) -> None:
    decoded = codec.decode(value, 64 * 1024 * 1024)
    assert not isinstance(decoded, Rejection), decoded
    kind, fields = decoded
    if kind != "credit.issued":
        return
    if connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (fields["event_id"],)).rowcount:
        amount = fields["amount"]["amount_minor"]  # type: ignore[index]
        connection.execute(
            "INSERT INTO owed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
            (fields["tenant_id"], fields["month"], amount),
        )


if __name__ == "__main__":
    consume(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
