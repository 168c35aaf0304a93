"""Rejected input: the list, and one reject with its original."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true
from sqlalchemy.engine import Row

from board.store.tables import reject
from streams.sla.events import Position


@dataclass(frozen=True, slots=True)
class RejectFilter:
    """Which rejects; None filters nothing. `subject` is the incident, tenant or maintenance window of the original."""

    code: str | None = None
    agent: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class RejectKey:
    """The place of a reject in the list, which has the latest first."""

    rejected_at: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class RejectRow:
    """A reject. `partition` and `offset` are its own in sla.rejected; those of the original have its topic, without
    prefix. `original_size` is None where the original was not copied. `rejected_at` is microseconds UTC."""

    partition: int
    offset: int
    rejected_at: int
    code: str
    message: str
    agent: str | None
    event_type: str | None
    subject: str | None
    original_topic: str | None
    original_partition: int | None
    original_offset: int | None
    original_size: int | None

    @property
    def key(self) -> RejectKey:
        """Its place in the list."""
        return RejectKey(self.rejected_at, self.partition, self.offset)

    @property
    def original_place(self) -> str | None:
        """The coordinates of the original, topic/partition/offset; None for what never was in a topic."""
        if self.original_topic is None or self.original_topic.startswith("intake/"):
            return None
        return f"{self.original_topic}/{self.original_partition}/{self.original_offset}"


@dataclass(frozen=True, slots=True)
class RejectDetail:
    """A reject with the value of its original (None where it was not copied), and its headers in order."""

    row: RejectRow
    original: bytes | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RejectPage:
    """A page of the list; `after` continues it, and is None at its end."""

    rejects: tuple[RejectRow, ...]
    after: RejectKey | None


def list_rejects(
    connection: Connection, chosen: RejectFilter, *, after: RejectKey | None = None, limit: int = 50
) -> RejectPage:
    """The rejects of a filter, the latest first, from behind `after` on."""
    order = (reject.c.rejected_at, reject.c.partition, reject.c.offset)
    wanted = select(*_COLUMNS).where(*_conditions(chosen)).order_by(*(each.desc() for each in order)).limit(limit + 1)
    if after is not None:
        at, partition, offset = order
        same = and_(at == after.rejected_at, partition == after.partition, offset < after.offset)
        behind = or_(at < after.rejected_at, and_(at == after.rejected_at, partition < after.partition), same)
        wanted = wanted.where(at <= after.rejected_at, behind)
    rows = tuple(_row(each) for each in connection.execute(wanted))
    return RejectPage(rows[:limit], rows[limit - 1].key if len(rows) > limit else None)


def count_rejects(connection: Connection, *, since: int = 0) -> dict[str, int]:
    """How many rejects there are of each code since an instant."""
    wanted = select(reject.c.code, func.count()).where(reject.c.rejected_at >= since).group_by(reject.c.code)
    return {str(row[0]): int(row[1]) for row in connection.execute(wanted.order_by(reject.c.code))}


def get_reject(connection: Connection, partition: int, offset: int) -> RejectDetail | None:
    """One reject by its place in sla.rejected; None when it is not there."""
    place = (reject.c.partition == partition, reject.c.offset == offset)
    found = connection.execute(select(*_COLUMNS, reject.c.original, reject.c.headers).where(*place)).one_or_none()
    if found is None:
        return None
    headers = tuple((str(name), str(text)) for name, text in json.loads(found.headers))
    return RejectDetail(_row(found), None if found.original is None else bytes(found.original), headers)


def latest_reject(connection: Connection, original: Position, *, quarantines: bool = True) -> RejectRow | None:
    """The latest reject that names an original; None when there is none. A quarantine names the last input of its
    subject, which was not rejected. `original.topic` is without prefix."""
    wanted = (
        select(*_COLUMNS)
        .where(
            reject.c.original_topic == original.topic,
            reject.c.original_partition == original.partition,
            reject.c.original_offset == original.offset,
            true() if quarantines else ~names_last_input(),
        )
        .order_by(reject.c.rejected_at.desc(), reject.c.partition, reject.c.offset.desc())
        .limit(1)
    )
    found = connection.execute(wanted).first()
    return None if found is None else _row(found)


def names_last_input() -> ColumnElement[bool]:
    """Whether a row of `reject` is a quarantine, as `connect.kafka_io.rejected_records.names_last_input` says of a
    record: an original that is too large to be kept, or whose tenant is erased, still has its type."""
    return and_(reject.c.code == "internal", reject.c.original.is_(None), reject.c.event_type.is_(None))


_COLUMNS: Sequence[ColumnElement[Any]] = (
    *(reject.c[each.name] for each in fields(RejectRow) if each.name in reject.c),
    func.length(reject.c.original).label("original_size"),
)


def _row(found: Row[*tuple[Any, ...]]) -> RejectRow:
    return RejectRow(**{each.name: found._mapping[each.name] for each in fields(RejectRow)})


def _conditions(chosen: RejectFilter) -> list[ColumnElement[bool]]:
    given = ((reject.c.code, chosen.code), (reject.c.agent, chosen.agent), (reject.c.subject, chosen.subject))
    return [column == value for column, value in given if value is not None]
