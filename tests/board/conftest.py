"""Read models for tests of the board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from board_history import NOW, story
from replayed import ingest, replayed
from sqlalchemy import Engine
from story import policies

from board.store.engine import open_engine
from board.store.schema import upgrade


@pytest.fixture(scope="session")
def read_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The read model of `board_history.story()` at its `NOW`, in SQLite. It is shared: do not write to it."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('board')}/board.db")
    upgrade(engine)
    ingest(engine, replayed(story(), policies(), NOW))
    yield engine
    engine.dispose()


@pytest.fixture
def empty_read_model(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database with the tables and no rows."""
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    yield engine
    engine.dispose()
