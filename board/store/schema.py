"""Brings a database to the schema of this release (Alembic)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from board.store.engine import is_sqlite, writing
from streams.errors import SlaError

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x51A_B0A2D  # any number: two boards that start at once upgrade one after the other


class NewerDatabase(SlaError):  # noqa: N818 -- it names what is wrong
    """The database was upgraded by a later release."""


def upgrade(engine: Engine) -> None:
    """Create the tables, or bring them to this release; without effect when they are. Raises NewerDatabase."""
    with writing(engine).begin() as connection:
        if not is_sqlite(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        upgrade_connection(connection)


def upgrade_connection(connection: Connection) -> None:
    """As `upgrade`, within the caller's transaction."""
    config = migration_config()
    config.attributes["connection"] = connection
    found = current_revision(connection)
    if found == head_revision():
        return
    if found is not None and found not in {each.revision for each in _scripts(config).walk_revisions()}:
        raise NewerDatabase(
            f"the board's database has the schema {found}, which this release does not know (its newest is "
            f"{head_revision()}): a later release upgraded it. Start that release, or name another database in "
            "SLA_BOARD_DATABASE_URL, which is then built from Kafka"
        )
    command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """The schema revision of the database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The schema revision of this release."""
    head = _scripts(migration_config()).get_current_head()
    assert head is not None
    return head


def migration_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _scripts(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)
