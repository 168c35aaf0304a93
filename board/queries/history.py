"""The input events that the read model keeps, as the lines of a history: what `sla verify` and `sla what-if` read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, or_, select, tuple_

from board.store.events import cloud_event
from board.store.tables import entry, named_tenant
from streams.serde.cloudevents_json import format_line
from streams.serde.input_records import CONTRACT_EVENTS, INCIDENT_EVENTS

_INPUTS = (INCIDENT_EVENTS, CONTRACT_EVENTS)
_ROWS = 2_000
_ORDER = (entry.c.arrived_at, entry.c.topic, entry.c.partition, entry.c.offset)
_ERASURE = "tenant.erased"
_OF_TENANT = ("contract.set", "credit.claimed")
#: Events that can name a platform-wide incident.
_SCOPED = ("incident.opened", "incident.reclassified")


@dataclass(frozen=True, slots=True)
class HistoryExtent:
    """How many events there are, and the arrivals of the first and the last (microseconds; None without any)."""

    events: int
    first: int | None
    last: int | None


def every_input() -> ColumnElement[bool]:
    """All input events but erasures: the rows have the pseudonyms already, and would get pseudonyms of these."""
    return and_(entry.c.topic.in_(_INPUTS), entry.c.type != _ERASURE)


def inputs_about(tenant_id: str) -> ColumnElement[bool]:
    """The input events that can decide a tenant's months: its own, those of incidents that ever named it or were ever
    platform-wide, and all maintenance. More than needed changes no result."""
    named = select(named_tenant.c.subject).where(
        named_tenant.c.tenant_id == tenant_id, named_tenant.c.kind == "incident"
    )
    platform = select(entry.c.subject).where(
        entry.c.topic == INCIDENT_EVENTS, entry.c.type.in_(_SCOPED), entry.c.data.contains('"scope":"platform"')
    )
    return or_(
        and_(entry.c.topic == INCIDENT_EVENTS, or_(entry.c.subject.in_(named), entry.c.subject.in_(platform))),
        and_(entry.c.topic == CONTRACT_EVENTS, entry.c.type.not_in((*_OF_TENANT, _ERASURE))),
        and_(entry.c.topic == CONTRACT_EVENTS, entry.c.type.in_(_OF_TENANT), entry.c.subject == tenant_id),
    )


def ever_platform(connection: Connection, incident_id: str) -> bool:
    """Whether an incident ever concerned everybody."""
    query = select(entry.c.offset).where(
        entry.c.subject == incident_id,
        entry.c.topic == INCIDENT_EVENTS,
        entry.c.type.in_(_SCOPED),
        entry.c.data.contains('"scope":"platform"'),
    )
    return connection.execute(query.limit(1)).first() is not None


def extent(connection: Connection, wanted: ColumnElement[bool]) -> HistoryExtent:
    """How much of the history there is."""
    query = select(func.count(), func.min(entry.c.arrived_at), func.max(entry.c.arrived_at)).where(wanted)
    return HistoryExtent(*connection.execute(query).one())


def history_lines(connection: Connection, wanted: ColumnElement[bool]) -> Iterator[str]:
    """The events as JSON lines in the order of `sla tail`: by arrival, topic, partition and offset. All in the
    connection's transaction, so for a part of the history only."""
    query = select(entry).where(wanted).order_by(*_ORDER).execution_options(yield_per=_ROWS)
    for row in connection.execute(query).mappings():
        yield format_line(cloud_event(dict(row)))


def whole_history_lines(engine: Engine, until: int) -> Iterator[str]:
    """Every event that arrived by an instant, in the same order. Each page of them is read in a transaction of its own:
    a long one would keep the database from reusing space."""
    place: tuple[int, str, int, int] | None = None
    while True:
        wanted = [every_input(), entry.c.arrived_at <= until]
        if place is not None:
            # The first condition alone can use the index.
            wanted += [entry.c.arrived_at >= place[0], tuple_(*_ORDER) > tuple_(*place)]
        with engine.connect() as connection:
            rows = connection.execute(select(entry).where(*wanted).order_by(*_ORDER).limit(_ROWS)).mappings().all()
        for row in rows:
            yield format_line(cloud_event(dict(row)))
        if len(rows) < _ROWS:
            return
        last = rows[-1]
        place = last["arrived_at"], last["topic"], last["partition"], last["offset"]
