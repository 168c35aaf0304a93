"""Alembic runs this file for every command; `board.store.schema` hands it the connection."""

from alembic import context

import board.store.audit_tables
import board.store.own_tables
import board.store.proposal_tables  # noqa: F401 -- each adds its tables to the metadata
from board.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
