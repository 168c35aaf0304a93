"""Opens the database of the read model: SQLite or PostgreSQL, by URL."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from streams.errors import SettingsError

#: How long a connection waits for another's lock, and for a connection to PostgreSQL.
_WAIT_S: Final = 10
#: A server that has vanished without a word, as in a failover, is noticed within half a minute; the system's settings
#: take hours. In seconds; `tcp_user_timeout` in milliseconds.
_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_WRITES = "writes"
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers and the writer do not wait for each other
    "PRAGMA synchronous = NORMAL",  # a power cut may lose the last transactions, whose records are then read again
    f"PRAGMA busy_timeout = {_WAIT_S * 1000}",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 8000",  # pages of 4 KiB: a page that many transactions change is copied once
    "PRAGMA cache_size = -16384",  # KiB, for each connection
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA secure_delete = ON",  # erased texts do not stay in free pages (R29)
)


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`; nothing is connected yet. The directory of
    an SQLite file is created.

    Each transaction sees one state of the database. One that writes must begin on `writing(engine)`. Raises
    SettingsError for a URL that can't be used.
    """
    parsed = database_url(url)
    if parsed.drivername.startswith("sqlite"):
        return _sqlite(parsed)
    return create_engine(
        parsed,
        pool_size=8,
        max_overflow=40,
        pool_pre_ping=True,
        pool_recycle=1800,
        isolation_level="REPEATABLE READ",
        connect_args={"connect_timeout": _WAIT_S, "application_name": "sla-board", **_KEEPALIVES},
    )


def database_url(url: str) -> URL:
    """The parsed URL with its driver. Raises SettingsError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(f"SLA_BOARD_DATABASE_URL: not a database URL; {_ALLOWED}") from None
    kind = parsed.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        if importlib.util.find_spec("psycopg") is None:
            raise SettingsError(
                "SLA_BOARD_DATABASE_URL names PostgreSQL, whose driver is not installed: install the extra `postgresql`"
            )
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise SettingsError(f"SLA_BOARD_DATABASE_URL: {kind!r} is not supported; {_ALLOWED}")
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError("SLA_BOARD_DATABASE_URL: a database in memory can't be shared by threads; name a file")
    return parsed


_ALLOWED = "allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write: SQLite locks for writing at the begin, where waiting is possible."""
    return engine.execution_options(**{_WRITES: True})


@contextlib.contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; committed at the end, rolled back by an exception. PostgreSQL need not wait for its
    disk: after a crash of its machine the records of the last transactions are read again."""
    with writing(engine).begin() as connection:
        if not is_sqlite(connection):
            connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
        yield connection


def is_sqlite(connection: Connection | Engine) -> bool:
    """Whether the database is SQLite; else it is PostgreSQL."""
    return connection.dialect.name == "sqlite"


def _sqlite(url: URL) -> Engine:
    assert url.database is not None
    file = Path(url.database).absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.touch(mode=0o600)  # SQLite gives its other files the same mode
    except OSError as error:
        raise SettingsError(f"SLA_BOARD_DATABASE_URL: {file} can't be made: {error.strerror}") from error
    engine = create_engine(url, pool_size=8, max_overflow=40, connect_args={"timeout": _WAIT_S})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
