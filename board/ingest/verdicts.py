"""The verdict that stands of each clock, folded from alerts in the order of their partition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from board.ingest.rows import Row, RowLike
from board.ingest.upserts import delete_rows, upsert
from board.store.chunks import chunks
from board.store.events import json_text
from board.store.tables import verdict

_KEY = ("incident_id", "metric", "instance")
_NAMES = tuple(column.name for column in verdict.columns if column.name != "superseded")

ClockName = tuple[str, str, int]


def apply_verdicts(connection: Connection, changes: Sequence[Row]) -> None:
    """Apply verdicts and retractions (rows without `verdict`) to the table."""
    if not changes:
        return
    keys = {_key(each) for each in changes}
    before = standing_verdicts(connection, {incident for incident, _, _ in keys})
    after: dict[ClockName, list[Row]] = {}
    for change in changes:
        key = _key(change)
        after[key] = folded(after[key] if key in after else before.get(key, []), change)
    write_verdicts(connection, after.values())
    gone = [key for key, standing in after.items() if not standing and key in before]
    delete_rows(connection, verdict, [dict(zip(_KEY, key, strict=True)) for key in gone])


def standing_verdicts(connection: Connection, incidents: Iterable[str]) -> dict[ClockName, list[Row]]:
    """All verdicts that stand of each clock of the incidents; the last is the one to be shown."""
    found: dict[ClockName, list[Row]] = {}
    for chunk in chunks(sorted(incidents)):
        for row in connection.execute(select(verdict).where(verdict.c.incident_id.in_(chunk))).mappings():
            shown = {name: row[name] for name in _NAMES}
            hidden = json.loads(row["superseded"]) if row["superseded"] else []
            found[_key(shown)] = [*({**shown, **each} for each in hidden), shown]
    return found


def write_verdicts(connection: Connection, clocks: Iterable[Sequence[Row]]) -> None:
    """Write the verdicts of clocks, each as `standing_verdicts` returns them; a clock without any is left out."""
    upsert(connection, verdict, [_row(standing) for standing in clocks if standing], "replace")


def _row(standing: Sequence[Row]) -> Row:
    *others, shown = standing
    hidden = [{name: each[name] for name in _NAMES if each[name] != shown[name]} for each in others]
    return {**shown, "superseded": json_text(hidden) if hidden else None}


def folded(standing: Sequence[Row], change: Row) -> list[Row]:
    """The verdicts of a clock that stand after a change, the shown one last; a retraction has no `verdict`. A new met
    replaces the one before. A breach stands until its deadline is retracted, and hides a met."""
    kind = change.get("verdict")
    if kind == "met":
        others = [each for each in standing if each["verdict"] != "met"]
        return [dict(change), *others]
    others = [each for each in standing if each["verdict"] == "met" or each["deadline"] != change["deadline"]]
    return others if kind is None else [*others, dict(change)]


def _key(row: RowLike) -> ClockName:
    return row["incident_id"], row["metric"], row["instance"]
