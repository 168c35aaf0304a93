"""The read model of `board_history.story()` at its `NOW`, made once in a run of the tests and copied from then on."""

from __future__ import annotations

import shutil
from pathlib import Path

from board_history import NOW, story
from databases import new_sqlite
from replayed import ingest, replayed
from sqlalchemy import Engine
from story import policies

from board.store.engine import open_engine
from tests.preloaded.session import one_at_a_time, shared_folder


def story_model(path: Path) -> Engine:
    """In an SQLite file of one's own."""
    made = shared_folder() / "story.db"
    with one_at_a_time("story"):
        if not made.exists():
            _make(made)
    shutil.copyfile(made, path)
    return open_engine(f"sqlite:///{path}")


def _make(made: Path) -> None:
    coming = made.with_suffix(".coming")
    engine = new_sqlite(coming)
    ingest(engine, replayed(story(), policies(), NOW))
    engine.dispose()  # the last connection to close writes everything into the one file
    assert [each.name for each in made.parent.glob(f"{coming.name}*")] == [coming.name]
    coming.rename(made)
