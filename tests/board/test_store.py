"""The database: the migrations make the tables of the code, newer databases are refused, URLs are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from databases import Database
from sqlalchemy import insert, text

from board.store import schema
from board.store.engine import database_url, is_sqlite, open_engine, write_transaction
from board.store.schema import NewerDatabase, current_revision, head_revision, upgrade
from board.store.tables import checkpoint, metadata
from streams.errors import SettingsError

ROW = {"topic": "alerts", "partition": 0, "topic_id": "", "next_offset": 1, "current_at": 1}


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert current_revision(connection) == head_revision()


def test_an_upgrade_of_an_upgraded_database_changes_nothing(database: Database) -> None:
    with write_transaction(database.engine) as connection:
        connection.execute(insert(checkpoint).values(ROW))
    upgrade(database.engine)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT next_offset FROM checkpoint")).scalar() == 1


def test_a_database_of_a_later_release_is_refused(database: Database) -> None:
    with write_transaction(database.engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match="has the schema 9999, which this release does not know"):
        upgrade(database.engine)


def test_a_failed_upgrade_leaves_the_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")

    def fails(*_: object) -> None:
        with engine.connect():
            raise OSError("the disk is full")

    migrate = schema.command.upgrade
    monkeypatch.setattr(schema.command, "upgrade", lambda *given: (migrate(*given), fails()))
    with pytest.raises(OSError, match="the disk is full"):
        upgrade(engine)
    with engine.connect() as connection:
        assert current_revision(connection) is None
        assert not engine.dialect.has_table(connection, "incident")


def test_a_reader_sees_one_state_of_the_database_and_does_not_wait_for_the_writer(database: Database) -> None:
    count = text("SELECT count(*) FROM checkpoint")
    with database.engine.connect() as reader:
        assert reader.execute(count).scalar() == 0
        with write_transaction(database.engine) as connection:
            connection.execute(insert(checkpoint).values(ROW))
            assert reader.execute(count).scalar() == 0
        assert reader.execute(count).scalar() == 0
    with database.engine.connect() as reader:
        assert reader.execute(count).scalar() == 1


def test_erased_texts_do_not_stay_in_free_pages(database: Database) -> None:
    if not is_sqlite(database.engine):
        with database.engine.connect() as connection:
            version = connection.execute(text("SHOW server_version_num")).scalar()
        assert int(str(version)) >= 140_000  # VACUUM reclaims there; nothing to set
        return
    with database.engine.connect() as connection:
        assert connection.execute(text("PRAGMA secure_delete")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1


def test_only_its_owner_reads_an_sqlite_file(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/new/board.db")
    upgrade(engine)
    with write_transaction(engine) as connection:
        connection.execute(insert(checkpoint).values(ROW))
        files = sorted((tmp_path / "new").iterdir())
        assert [(file.name, file.stat().st_mode & 0o077) for file in files] == [
            ("board.db", 0),
            ("board.db-shm", 0),
            ("board.db-wal", 0),
        ]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://host/board", "'mysql' is not supported"),
        ("sqlite://", "can't be shared by threads"),
        ("sqlite:///:memory:", "can't be shared by threads"),
    ],
)
def test_what_is_no_usable_url_is_refused_with_what_is(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"SLA_BOARD_DATABASE_URL.*{message}"):
        open_engine(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_by_psycopg(scheme: str) -> None:
    assert database_url(f"{scheme}://ann@db/board").drivername == "postgresql+psycopg"


def test_a_postgresql_server_that_vanishes_is_noticed(postgresql: str) -> None:
    engine = open_engine(postgresql)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        given = driver.info.get_parameters()
    engine.dispose()
    idle, interval, count = (int(given[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 30
    assert int(given["tcp_user_timeout"]) <= 30_000


def test_a_file_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "file", Path("/proc")):
        with pytest.raises(SettingsError, match=rf"^SLA_BOARD_DATABASE_URL: {where}/board.db can't be made: "):
            open_engine(f"sqlite:///{where}/board.db")
