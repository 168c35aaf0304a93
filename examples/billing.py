"""A billing consumer: what is owed to each tenant for each month, exact in SQLite through crashes at any moment.

    python examples/billing.py kafka:9092 billing.db

A credit's id and its amount are stored in one transaction; the offset is committed to Kafka afterwards. A credit that
is read again after a crash is recognised by its id, so nothing is booked twice and nothing is lost.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
from contextlib import closing

from connect.client import ReceivedEvent, consume_credits

TABLES = """
CREATE TABLE IF NOT EXISTS booked (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS owed (
    tenant TEXT, month TEXT, currency TEXT, amount_minor INTEGER, PRIMARY KEY (tenant, month, currency)
);
"""


def record_credit(books: sqlite3.Connection, event: ReceivedEvent) -> bool:
    """Book a credit; False for any other event and for one that is booked already."""
    if event.type != "credit.issued":
        return False
    amount = event.data["amount"]
    with books:  # one transaction
        if books.execute("INSERT OR IGNORE INTO booked VALUES (?)", (event.id,)).rowcount == 0:
            return False
        books.execute(
            "INSERT INTO owed VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor",
            (event.data["tenant_id"], event.data["month"], amount["currency"], amount["amount_minor"]),
        )
    return True


def opened(path: str) -> sqlite3.Connection:
    """The books, with their tables."""
    books = sqlite3.connect(path, timeout=30)
    books.executescript(TABLES)
    return books


def main() -> None:
    """Read the command line and keep the books until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Keep what is owed in SQLite.")
    parser.add_argument("brokers")
    parser.add_argument("books")
    parser.add_argument("--group", default="billing")
    parser.add_argument("--prefix", default="sla")
    given = parser.parse_args()
    with (
        closing(opened(given.books)) as books,
        consume_credits(given.brokers, group=given.group, prefix=given.prefix) as credits_,
    ):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: credits_.stop())
        for event in credits_:
            record_credit(books, event)


if __name__ == "__main__":
    main()
