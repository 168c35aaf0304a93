"""Set-based writes that both databases know: many rows with one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Column, Connection, Dialect, Table, and_, bindparam, delete, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from board.ingest.rows import Row
from board.store.chunks import chunks

#: What to do with a row whose primary key exists: keep the old one; replace it; replace it by one that arrived earlier,
#: was written later, or has a higher revision.
Conflict = Literal["keep", "replace", "earliest", "latest", "highest"]

_EARLIEST = ("arrived_at", "partition", "offset")
_LATEST = ("published_at", "partition", "offset")


def upsert(connection: Connection, table: Table, rows: Sequence[Row], conflict: Conflict) -> None:
    """Insert rows that all have the same columns."""
    if rows:
        sql, order = _statement(connection.dialect, table, conflict, tuple(rows[0]))
        # Past SQLAlchemy's handling of parameters, a fifth of the time: the drivers store these values as they are.
        connection.exec_driver_sql(sql, [*rows] if order is None else [tuple(map(row.get, order)) for row in rows])


def delete_keys(connection: Connection, column: Column[Any], keys: Iterable[str]) -> None:
    """Delete the rows whose column has one of the values."""
    for chunk in chunks(sorted(keys)):
        connection.execute(delete(column.table).where(column.in_(chunk)))


def delete_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Delete rows by their primary keys; other values of the rows are ignored."""
    if rows:
        keys = [column.name for column in table.primary_key]
        condition = and_(*(table.c[name] == bindparam(f"key_{name}") for name in keys))
        connection.execute(
            delete(table).where(condition), [{f"key_{name}": row[name] for name in keys} for row in rows]
        )


@lru_cache(maxsize=128)
def _statement(
    dialect: Dialect, table: Table, conflict: Conflict, names: tuple[str, ...]
) -> tuple[str, Sequence[str] | None]:
    """The statement for the driver, and the order of its parameters if they have no names."""
    make: Callable[[Table], Any] = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    insert = make(table).values({name: bindparam(name) for name in names})
    keys = [column.name for column in table.primary_key]
    new = insert.excluded
    where: Any = None
    match conflict:
        case "earliest":
            where = tuple_(*(new[name] for name in _EARLIEST)) < tuple_(*(table.c[name] for name in _EARLIEST))
        case "latest":
            where = tuple_(*(new[name] for name in _LATEST)) > tuple_(*(table.c[name] for name in _LATEST))
        case "highest":
            where = new["revision"] > table.c["revision"]
        case "keep" | "replace":
            pass
    changed = {name: new[name] for name in names if name not in keys}
    if conflict == "keep":
        compiled = insert.on_conflict_do_nothing(index_elements=keys).compile(dialect=dialect)
    else:
        compiled = insert.on_conflict_do_update(index_elements=keys, set_=changed, where=where).compile(dialect=dialect)
    return str(compiled), compiled.positiontup
