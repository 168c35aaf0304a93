"""How well guaranteed times were kept: shares of clocks met, times to respond and to resolve.

Only what has a verdict counts. Incidents whose history was loaded (backfill) are left out unless they are asked for.
A time to respond is that of the last response clock: of a reopened incident it ends with the response after that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

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


class VerdictCount(NamedTuple):
    """How many clocks of one kind were met, of how many that had a verdict."""

    month: str
    severity: str
    metric: str
    backfill: bool
    met: int
    total: int


def verdict_counts(connection: Connection, months: Sequence[str]) -> list[VerdictCount]:
    """The verdicts of these UTC months, loaded history included. All shares but those of tenants follow from them."""
    key = [verdict.c[name] for name in ("month", "verdict", "backfill", "severity", "metric")]  # the order of the index
    query = select(*key, func.count().label("number")).where(*_of_months(months)).group_by(*key)
    counts: dict[tuple[str, str, str, bool], tuple[int, int]] = {}
    for row in connection.execute(query):
        name = row.month, row.severity, row.metric, bool(row.backfill)
        met, total = counts.get(name, (0, 0))
        counts[name] = met + (row.number if row.verdict == "met" else 0), total + row.number
    return [VerdictCount(*name, *numbers) for name, numbers in sorted(counts.items())]


def shares_by_severity(
    counts: Iterable[VerdictCount], months: Collection[str], *, backfill: bool
) -> list[AttainmentRow]:
    """The shares of some of the months by severity."""
    return _rows((one.severity, one) for one in counts if one.month in months and (backfill or not one.backfill))


def shares_by_month(counts: Iterable[VerdictCount], *, backfill: bool) -> list[AttainmentRow]:
    """The shares by UTC month; only months that have some."""
    return _rows((one.month, one) for one in counts if backfill or not one.backfill)


def attainment_by_severity(
    connection: Connection, months: Sequence[str], *, backfill: bool = False
) -> list[AttainmentRow]:
    """Verdicts of these UTC months by severity."""
    return shares_by_severity(verdict_counts(connection, months), months, backfill=backfill)


def attainment_by_month(
    connection: Connection, months: Sequence[str], *, backfill: bool = False
) -> list[AttainmentRow]:
    """Verdicts by UTC month; only months that have some."""
    return shares_by_month(verdict_counts(connection, months), backfill=backfill)


def attainment_by_tenant(
    connection: Connection, months: Sequence[str], *, backfill: bool = False, limit: int = 20
) -> list[AttainmentRow]:
    """Verdicts about incidents that concern a tenant now, those with the most breaches first; tenants without a breach
    follow by id. Platform-wide incidents concern nobody by name."""
    tenant = incident_tenant.c.tenant_id
    source = verdict.join(incident_tenant, incident_tenant.c.incident_id == verdict.c.incident_id)
    wanted = _of_months(months)
    if not backfill:
        wanted.append(verdict.c.backfill.is_(False))
    breaches = func.count().label("breaches")
    worst = (
        select(tenant)
        .select_from(source)
        .where(*wanted, verdict.c.verdict == "breached")
        .group_by(tenant)
        .order_by(breaches.desc(), tenant)
        .limit(limit)
    )
    names = list(connection.execute(worst).scalars())
    if len(names) < limit:
        others = (
            select(tenant)
            .distinct()
            .select_from(source)
            .where(*wanted, tenant.not_in(names))
            .order_by(tenant)
            .limit(limit - len(names))
        )
        names += connection.execute(others).scalars()
    counted = (verdict.c.severity, verdict.c.metric, verdict.c.verdict)
    rows = []
    for name in names:  # of several at once, SQLite looks at every verdict for each
        query = select(*counted, func.count().label("number")).select_from(source)
        query = query.where(*wanted, tenant == name).group_by(*counted)
        counts = [
            VerdictCount("", row.severity, row.metric, backfill, row.number * (row.verdict == "met"), row.number)
            for row in connection.execute(query)
        ]
        rows += _rows((name, one) for one in counts)
    return rows


def _of_months(months: Sequence[str]) -> list[ColumnElement[bool]]:
    return [verdict.c.month.in_(months), verdict.c.verdict.in_(("met", "breached"))]


def _rows(found: Iterable[tuple[str, VerdictCount]]) -> list[AttainmentRow]:
    shares: dict[str, dict[str, Share]] = {}
    for key, one in found:
        known = shares.setdefault(key, {}).get(one.metric, Share(0, 0))
        shares[key][one.metric] = Share(known.met + one.met, known.total + one.total)
    return [AttainmentRow(key, shares[key]) for key in sorted(shares)]


# -- times -----------------------------------------------------------------------------------------------------------


class TookTimes:
    """Durations of incidents by UTC month of their opening and by severity, to the response and to the end."""

    def __init__(self) -> None:
        self._respond: dict[tuple[Month, str], list[int]] = {}
        self._resolve: dict[tuple[Month, str], list[int]] = {}

    def add(self, month: Month, severity: str, opened: int, responded: int | None, resolved: int | None) -> None:
        """One incident."""
        key = month, severity
        if responded is not None and responded >= opened:
            self._respond.setdefault(key, []).append(responded - opened)
        if resolved is not None and resolved >= opened:
            self._resolve.setdefault(key, []).append(resolved - opened)

    def by_month(self) -> list[TimesRow]:
        """Only months that have some."""
        return self._by(lambda key: key[0])

    def by_severity(self, months: Collection[str]) -> list[TimesRow]:
        """Of some of the months, by the incidents' severity now."""
        return self._by(lambda key: key[1] if key[0] in months else None)

    def _by(self, name: Callable[[tuple[Month, str]], str | None]) -> list[TimesRow]:
        sides: list[dict[str, list[int]]] = [{}, {}]
        for side, durations in zip(sides, (self._respond, self._resolve), strict=True):
            for key, each in durations.items():
                if (group := name(key)) is not None:
                    side.setdefault(group, []).extend(each)
        respond, resolve = ({group: _durations(each) for group, each in side.items()} for side in sides)
        return [
            TimesRow(group, respond.get(group, NO_DURATIONS), resolve.get(group, NO_DURATIONS))
            for group in sorted(respond.keys() | resolve.keys())
        ]


def took_times(connection: Connection, months: Sequence[Month], *, backfill: bool = False) -> TookTimes:
    """The times of the incidents opened in these UTC months. They are sorted here: window functions of SQLite take
    several times as long."""
    found = TookTimes()
    if not months:
        return found
    bounds = sorted((*month_bounds(month, "UTC"), month) for month in months)
    starts = [start for start, _, _ in bounds]
    opened = incident.c.opened_at
    wanted = [opened >= bounds[0][0], opened < bounds[-1][1]]
    if not backfill:
        wanted.append(incident.c.backfill.is_(False))
    query = select(opened, incident.c.severity, incident.c.status, incident.c.responded_at, incident.c.ended_at).where(
        *wanted
    )
    for opened_at, severity, status, responded_at, ended_at in connection.execute(query):
        _, end, month = bounds[bisect_right(starts, opened_at) - 1]
        if opened_at < end:
            found.add(month, severity, opened_at, responded_at, ended_at if status == "resolved" else None)
    return found


def times_by_month(connection: Connection, months: Sequence[Month], *, backfill: bool = False) -> list[TimesRow]:
    """Times of the incidents opened in each UTC month; only months that have some."""
    return took_times(connection, months, backfill=backfill).by_month()


def times_by_severity(connection: Connection, months: Sequence[Month], *, backfill: bool = False) -> list[TimesRow]:
    """Times of the incidents opened in these UTC months, by their severity now."""
    return took_times(connection, months, backfill=backfill).by_severity(months)


def _durations(took: list[int]) -> Durations:
    took.sort()
    return Durations(len(took), took[(len(took) + 1) // 2 - 1], took[(9 * len(took) + 9) // 10 - 1])
