"""Read models for tests of the board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import SubprocessError

import pytest
from acting import ActingBoard
from databases import Database, migrated, new_database, new_sqlite, start_postgresql
from sqlalchemy import Engine
from story_model import story_model

from board.store.engine import open_engine


@pytest.fixture(scope="session")
def read_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The read model of `board_history.story()` at its `NOW`, in SQLite. It is shared: do not write to it."""
    engine = story_model(tmp_path_factory.mktemp("board") / "board.db")
    yield engine
    engine.dispose()


@pytest.fixture
def board(read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActingBoard]:
    """A board over the shared read model on which people act; nothing is sent to Kafka."""
    monkeypatch.setattr("board.actions.present.topic_ends", lambda *_: {})
    found = ActingBoard(read_model, tmp_path)
    yield found
    found.app.state.context.actions.close(2)


@pytest.fixture
def empty_read_model(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database with the tables and no rows."""
    engine = new_sqlite(tmp_path / "board.db")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own."""
    try:
        running = start_postgresql()
    except (ImportError, OSError, RuntimeError, SubprocessError) as error:
        pytest.skip(f"no PostgreSQL can be started here: {error!r}")
    with running as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/board.db"
        engine = new_sqlite(tmp_path / "board.db")
    else:
        server = request.getfixturevalue("postgresql")
        url = new_database(server, migrated(server))
        engine = open_engine(url)
    yield Database(request.param, engine, url)
    engine.dispose()
