"""How well guaranteed times were kept: shares of clocks met, times to respond and to resolve.

Only what has a verdict counts. Incidents whose history was loaded (backfill) are left out unless they are asked for.
A time to respond is that of the last response clock: of a reopened incident it ends with the response after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal, or_, select

from board.store.tables import incident, incident_tenant, verdict
from streams.sla.instants import Month, month_bounds

#: The metrics of a verdict.
METRICS = ("response", "update", "resolution")


@dataclass(frozen=True, slots=True)
class Share:
    """How many clocks had a verdict, and how many of them were met."""

    met: int
    total: int

    @property
    def percent(self) -> float | None:
        """Between 0 and 100; None when nothing had a verdict."""
        return 100 * self.met / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class AttainmentRow:
    """Shares by metric under one key: a severity, a month or a tenant. Metrics without a verdict are left out."""

    key: str
    shares: dict[str, Share]

    @property
    def breached(self) -> int:
        """Clocks of all metrics that were breached."""
        return sum(share.total - share.met for share in self.shares.values())


@dataclass(frozen=True, slots=True)
class Durations:
    """Median and 90th percentile of durations in microseconds, by the nearest rank; None when there are none."""

    count: int
    median: int | None
    p90: int | None


@dataclass(frozen=True, slots=True)
class TimesRow:
    """Times from the opening of incidents to their first response and to their end, under one key."""

    key: str
    respond: Durations
    resolve: Durations


NO_DURATIONS = Durations(0, None, None)
NO_TIMES = TimesRow("", NO_DURATIONS, NO_DURATIONS)


# -- shares ----------------------------------------------------------------------------------------------------------


def attainment_by_severity(
    connection: Connection, months: Sequence[str], *, backfill: bool = False
) -> list[AttainmentRow]:
    """Verdicts of these UTC months by severity."""
    return _shares(connection, verdict.c.severity, months, backfill=backfill)


def attainment_by_month(
    connection: Connection, months: Sequence[str], *, backfill: bool = False
) -> list[AttainmentRow]:
    """Verdicts by UTC month; only months that have some."""
    return _shares(connection, verdict.c.month, months, backfill=backfill)


def attainment_by_tenant(
    connection: Connection, months: Sequence[str], *, backfill: bool = False, limit: int = 20
) -> list[AttainmentRow]:
    """Verdicts about incidents that concern a tenant now, those with the most breaches first. Platform-wide incidents
    concern nobody by name."""
    met = func.sum(case((verdict.c.verdict == "met", 1), else_=0))
    breaches = func.sum(case((verdict.c.verdict == "met", 0), else_=1))
    source = verdict.join(incident_tenant, incident_tenant.c.incident_id == verdict.c.incident_id)
    wanted = _wanted(months, backfill=backfill)
    tenant = incident_tenant.c.tenant_id
    worst = (
        select(tenant)
        .select_from(source)
        .where(*wanted)
        .group_by(tenant)
        .order_by(breaches.desc(), tenant)
        .limit(limit)
    )
    names = list(connection.execute(worst).scalars())
    query = (
        select(tenant.label("key"), verdict.c.metric, met.label("met"), func.count().label("total"))
        .select_from(source)
        .where(*wanted, tenant.in_(names))
        .group_by(tenant, verdict.c.metric)
    )
    found = {row.key: row for row in _rows(connection.execute(query))}
    return [found[name] for name in names]


def _shares(
    connection: Connection, key: ColumnElement[Any], months: Sequence[str], *, backfill: bool
) -> list[AttainmentRow]:
    met = func.sum(case((verdict.c.verdict == "met", 1), else_=0))
    query = (
        select(key.label("key"), verdict.c.metric, met.label("met"), func.count().label("total"))
        .where(*_wanted(months, backfill=backfill))
        .group_by(key, verdict.c.metric)
        .order_by(key)
    )
    return _rows(connection.execute(query))


def _wanted(months: Sequence[str], *, backfill: bool) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [verdict.c.month.in_(months), verdict.c.verdict.in_(("met", "breached"))]
    return wanted if backfill else [*wanted, verdict.c.backfill.is_(False)]


def _rows(found: Iterable[Any]) -> list[AttainmentRow]:
    shares: dict[str, dict[str, Share]] = {}
    for row in found:
        shares.setdefault(row.key, {})[row.metric] = Share(int(row.met), int(row.total))
    return [AttainmentRow(key, by_metric) for key, by_metric in shares.items()]


def backfilled_verdicts(connection: Connection, months: Sequence[str]) -> int:
    """How many verdicts of these months are of loaded history."""
    query = select(func.count()).where(*_wanted(months, backfill=True), verdict.c.backfill.is_(True))
    return int(connection.execute(query).scalar_one())


# -- times -----------------------------------------------------------------------------------------------------------


def times_by_month(connection: Connection, months: Sequence[Month], *, backfill: bool = False) -> list[TimesRow]:
    """Times of the incidents opened in each UTC month; only months that have some."""
    rows = [row for month in months for row in _times(connection, [month], literal(month), backfill=backfill)]
    return sorted(rows, key=lambda row: row.key)


def times_by_severity(connection: Connection, months: Sequence[Month], *, backfill: bool = False) -> list[TimesRow]:
    """Times of the incidents opened in these UTC months (which follow each other), by their severity now."""
    return sorted(_times(connection, months, incident.c.severity, backfill=backfill), key=lambda row: row.key)


def _times(
    connection: Connection, months: Sequence[Month], key: ColumnElement[Any], *, backfill: bool
) -> list[TimesRow]:
    respond = _durations(connection, months, key, incident.c.responded_at, backfill=backfill)
    resolve = _durations(connection, months, key, incident.c.ended_at, backfill=backfill, status="resolved")
    return [
        TimesRow(name, respond.get(name, NO_DURATIONS), resolve.get(name, NO_DURATIONS))
        for name in dict.fromkeys([*respond, *resolve])
    ]


def _durations(
    connection: Connection,
    months: Sequence[Month],
    key: ColumnElement[Any],
    until: ColumnElement[Any],
    *,
    backfill: bool,
    status: str | None = None,
) -> dict[str, Durations]:
    """Median and p90 by key. Databases differ in their percentile functions, so ranks are counted by windows."""
    if not months:
        return {}
    start, end = month_bounds(min(months), "UTC")[0], month_bounds(max(months), "UTC")[1]
    opened = incident.c.opened_at
    wanted = [opened >= start, opened < end, until >= opened]
    if status is not None:
        wanted.append(incident.c.status == status)
    if not backfill:
        wanted.append(incident.c.backfill.is_(False))
    took = until - opened
    ranked = (
        select(
            key.label("key"),
            took.label("took"),
            func.row_number().over(partition_by=key, order_by=took).label("place"),
            func.count().over(partition_by=key).label("number"),
        )
        .where(*wanted)
        .subquery()
    )
    half, ninth = (ranked.c.number + 1) // 2, (ranked.c.number * 9 + 9) // 10
    query = select(ranked, half.label("half"), ninth.label("ninth")).where(
        or_(ranked.c.place == half, ranked.c.place == ninth)
    )
    found: dict[str, Durations] = {}
    for row in connection.execute(query):
        known = found.get(row.key, NO_DURATIONS)
        median = row.took if row.place == row.half else known.median
        p90 = row.took if row.place == row.ninth else known.p90
        found[row.key] = Durations(row.number, median, p90)
    return found
