"""Builds the read model anew: after a topic was created anew, or to apply a release's new rows to history.

The tables are emptied and every checkpoint is deleted in one transaction; from there on it is an ingest from the start
of the topics. So a rebuild that was killed goes on where it stopped, in the next rebuild or board, and a board that
runs meanwhile shows what has been read so far, and says so (`IngestStatus.reached_end`).
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine, Table, inspect, select

from board.ingest.status import IngestStatus
from board.ingest.thread import Ingest
from board.store.engine import is_sqlite, writing
from board.store.own_tables import OWN
from board.store.schema import current_revision, head_revision, upgrade_connection
from board.store.tables import metadata
from streams.settings import Settings

_LOOK_S = 0.2


def rebuild(
    engine: Engine,
    kafka: Settings,
    *,
    retention: int,
    progress: Callable[[IngestStatus], None] = lambda _: None,
    every_s: float = _LOOK_S,
) -> IngestStatus:
    """Empty the database and read the topics to the ends that they have now. `progress` is called about every `every_s`
    seconds: `read` of `total`, or the `failure` while Kafka or the database is away, which is waited for. `retention`
    is in microseconds. Returns the last status.

    Whatever schema the database has is replaced by this release's. Raises SQLAlchemy's errors.
    """
    empty(engine)
    ingest = Ingest(engine, kafka, retention=retention)
    pause = Event()
    ingest.start()
    try:
        while not (status := ingest.status).reached_end:
            progress(status)
            pause.wait(every_s)
        progress(status)
        return status
    finally:
        ingest.stop()


def empty(engine: Engine) -> None:
    """Drop all tables of the read model, whatever release made them, and create them anew, in one transaction. What the
    board itself has written stays where the tables are those of this release."""
    with writing(engine).connect() as connection:
        if is_sqlite(connection):  # overwriting what is deleted would take as long as writing it; rows follow at once
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA secure_delete = OFF")
        try:
            with connection.begin():
                own = _own_rows(connection)
                _drop(connection)
                upgrade_connection(connection)
                for table, rows in own:
                    connection.execute(table.insert(), rows)
        finally:
            if is_sqlite(connection):
                connection.invalidate()  # the setting is the connection's


def _own_rows(connection: Connection) -> list[tuple[Table, list[dict[str, Any]]]]:
    if current_revision(connection) != head_revision():
        return []
    found = []
    for table in OWN:  # numbers are given anew, in the same order
        columns = [column for column in table.columns if column.autoincrement is not True]
        rows = connection.execute(select(*columns).order_by(*table.primary_key.columns))
        found.append((table, [dict(row._mapping) for row in rows]))
    return [(table, rows) for table, rows in found if rows]


def _drop(connection: Connection) -> None:
    ours = {*metadata.tables, "alembic_version"}
    for name in sorted(ours & set(inspect(connection).get_table_names())):
        connection.exec_driver_sql(f'DROP TABLE "{name}"')
